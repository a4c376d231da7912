"""Families of networks, one file each: blocks as data, and how the checkpoints of other libraries name them."""
