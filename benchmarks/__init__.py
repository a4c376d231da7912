"""What `fna` takes in time and memory, each figure beside a reference that was measured in the same run.

`python -m benchmarks --help`; what is measured and how is in docs/performance.md.
"""

import fna  # noqa: F401  # before torch, as every command of fna has it: so its threads wait as there
