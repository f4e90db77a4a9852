"""Runs a teacher once over examples and mixup pairs, and writes its logits to a cache."""
