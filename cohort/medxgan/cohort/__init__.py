"""Many films explained in one run: a table with a row for each, their maps, and a report."""
