"""The command line with heads that drop nothing, so that a loss is the same however images are shared out."""

import sys

import fna.nn.heads
from fna.cli.main import main

if __name__ == "__main__":
    fna.nn.heads.DROPOUT = 0.0
    sys.exit(main())
