"""The bundles that medxgan ships, NAME/VERSION/, in this folder: `medxgan` finds them once they are installed."""
