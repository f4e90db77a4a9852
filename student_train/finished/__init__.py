"""Finished models: evaluate one on labelled rows, predict with one."""
