"""The explainers of `Attribute`: one file per method, and the table that lists them."""
