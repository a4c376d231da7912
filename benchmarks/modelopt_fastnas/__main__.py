"""`python -m benchmarks.modelopt_fastnas`."""

import sys

from benchmarks.modelopt_fastnas.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
