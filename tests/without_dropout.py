"""The command line with heads that drop nothing, so that a loss is the same however images are shared out."""

import sys

import fna.nn.heads.parts
from fna.cli.main import main

if __name__ == "__main__":
    fna.nn.heads.parts.DROPOUT = 0.0
    sys.exit(main())
