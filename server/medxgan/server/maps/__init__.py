"""The maps of an explanation: what they show, and how they cross the wire."""

from medxgan.server.maps.rendering import render

__all__ = ["render"]
