"""The figures, one file each; the definitions that the report prints are in `catalogue.py`."""
