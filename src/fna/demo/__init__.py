"""The offline demonstration: drawn scenes, a seed trained on the spot on another task, and the final table."""
