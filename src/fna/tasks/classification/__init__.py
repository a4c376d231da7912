"""Image classification: one class for an image."""
