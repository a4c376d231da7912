"""Architectures as data: standard library only, no torch."""
