"""An explanation in a notebook. It needs the extra `notebook`."""
