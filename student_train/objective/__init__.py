"""The objective: a table of terms and a table of distances."""
