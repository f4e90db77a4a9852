"""Tasks, sources, columns, splits: from a user's data to tokenised examples."""
