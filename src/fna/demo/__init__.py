"""The offline demonstration: drawn scenes, a seed trained on the spot on another task, and the whole method on them."""

from fna.demo.main import demo

__all__ = ["demo"]
