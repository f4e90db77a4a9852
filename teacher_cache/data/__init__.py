"""Tasks, targets, splits, examples: from a user's tables to tokenised examples."""
