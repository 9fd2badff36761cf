"""What is wrong with a bundle."""


class BundleError(Exception):
    """A bundle's schema, hashes or shapes do not agree; the message says which, by file and field."""
