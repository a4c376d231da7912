"""FNA: adapt the architecture and the parameters of a pretrained network to your own images."""

__version__ = "0.1.0"
