"""Pictures, sheets and the report of an explanation, as files. They need the extra `cli`."""
