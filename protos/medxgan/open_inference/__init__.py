"""The Open Inference Protocol as descriptors; `medxgan.server.open_inference.messages` makes classes of them."""
