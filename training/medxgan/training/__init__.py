"""PyTorch: data, networks, objectives, training runs, familiarity."""
