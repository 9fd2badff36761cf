"""What is known of each film, on the disk: rows in SQLite, and files."""
