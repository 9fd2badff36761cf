"""The Open Inference Protocol (KServe v2), with Triton's extensions, beside our own service: explainers as models."""
