"""Sizes of a generator that trains in seconds."""

SMALL_GENERATOR = """\
z1_size = 6
z2_size = 3
channels = [8, 8, 6]
pathology_channels = [8, 6, 4]
discriminator_channels = [4, 6, 8]
encoder_channels = [4, 6, 8]"""
"""Lines of a configuration's section `[generator]`."""
