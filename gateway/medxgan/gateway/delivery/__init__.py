"""From the journal to the archives."""
