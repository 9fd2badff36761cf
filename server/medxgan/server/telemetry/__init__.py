"""What a server tells of itself: figures, traces of who asked for what, and whether it is well."""
