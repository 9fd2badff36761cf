"""MODEL_CARD.md: what a bundle says of itself, for a clinician to read."""

from medxgan.export.model_card.card import model_card

__all__ = ["model_card"]
