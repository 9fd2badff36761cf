"""The reading room: an explanation in a browser."""
