"""Measures bundles as they are served: sets their thresholds, states their figures, ranks the maps that they make."""
