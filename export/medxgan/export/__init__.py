"""From a trained model to a bundle of graphs that need no PyTorch: the gradient is traced ahead of time."""
