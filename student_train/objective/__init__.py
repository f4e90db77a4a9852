"""The objective: a table of terms, a table of distances, and a table of methods."""
