"""The models that are served, and how many requests they take at once."""
