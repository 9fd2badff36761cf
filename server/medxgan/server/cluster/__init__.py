"""Serving on Ray Serve. The only place that imports ray."""
