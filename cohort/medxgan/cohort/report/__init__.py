"""The report of a run: what its rows and maps say together, on one page."""
