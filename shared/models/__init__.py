"""Models and tokenizers, of teachers and students alike: locate, check, load, probe, call."""
