"""The inversion: the solver, the batch that many requests share, and the starts of one image."""
