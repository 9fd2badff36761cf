"""What the gateway tells of itself: figures, a status page and log lines, without patient data."""
