"""PyTorch: data, networks, objectives, training runs, evaluation."""
