"""Models and tokenizers: found, checked, loaded and probed, alike for teachers and students."""
