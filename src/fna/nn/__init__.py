"""Modules: data in, nn.Module out."""
