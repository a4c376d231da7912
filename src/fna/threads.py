"""How the threads of torch wait for each other. The standard library alone: this runs before torch is imported."""

import os
from collections.abc import MutableMapping

WAITING = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
"""How long a waiting thread spins before it sleeps: what GNU's OpenMP counts up to (torch's own on Linux), and the
milliseconds of Intel's and LLVM's (conda, macOS). With 10,000 GNU's keeps 92 to 104 % of its speed on idle cores of two
machines, and beside a busy process is two to many times as fast as by default; 1000 is faster there, but on one of the
two takes a quarter of the speed on idle cores (docs/performance.md)."""


def wait_politely(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads that wait for others go to sleep soon, in this process and all that it starts.

    By default they spin: on cores that other processes use, too, they so keep from work the very thread that they wait
    for, and a training stands still. What the user has set stays: either variable, or both by OMP_WAIT_POLICY. OpenMP
    reads them when torch is imported, so where that was before `fna`, this process keeps its way of waiting.
    """
    if "OMP_WAIT_POLICY" not in environment:
        for name, value in WAITING.items():
            environment.setdefault(name, value)
