"""The second tool: train students from a cache, where the teacher has never been."""
