"""The cache: all that knows how one lies on a disk."""
