"""Passes of a network, or learned steps, in place of a solver's steps: see `benchmarks/learned_steps.py`."""
