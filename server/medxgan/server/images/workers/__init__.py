"""Decoding of files in worker processes that are limited and may be killed."""
