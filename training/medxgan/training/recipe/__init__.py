"""A recipe for the generator of any classifier: sizes, steps and weights, and beforehand what it will cost."""

from medxgan.training.recipe.budget import RecipeError
from medxgan.training.recipe.running import train_by_recipe

__all__ = ["RecipeError", "train_by_recipe"]
