"""medxgan inside NVIDIA's Triton Inference Server: a model repository, and the models in its Python backend."""
