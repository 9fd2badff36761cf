"""How each map is made."""
