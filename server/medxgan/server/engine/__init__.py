"""What runs a bundle's graphs, and the one thread that calls it."""
