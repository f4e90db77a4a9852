"""Models and tokenizers of both teachers and students: locate, check, load, probe, call."""
