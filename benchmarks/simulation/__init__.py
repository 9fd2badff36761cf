"""A fleet of medxgan servers in simulated time, calibrated by measured step times: see `benchmarks/scale.py`."""
