"""Where films come from: a folder, a list, an archive."""
