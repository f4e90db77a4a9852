"""Tables of rows: from what `--data` names to columns and splits."""
