"""Parameters: names and tensors."""
