"""From a film to its results: the server is asked here, and nowhere else."""
