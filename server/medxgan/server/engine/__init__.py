"""Engines that run a bundle's graphs. ONNX Runtime is imported in this folder alone."""
