"""`python -m fna.cli`."""

import sys

from fna.cli.main import main

sys.exit(main())
