"""In place of the package of this name, for processes of Ray: each imports jsonschema, which builds a grammar of
internationalized URIs for seconds where that package is there, and does without where it is not."""

raise ImportError
