"""Ranks every explainer of a bundle on labelled images, against baselines that any of them must beat."""
