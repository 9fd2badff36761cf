"""From the three forms that an image may come in to one grey picture."""
