"""What a run is to know of its machine, and to ask of it."""

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from fna import __version__


def environment() -> dict[str, Any]:
    """Versions, machine and command of this process."""
    import torchvision

    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "fna": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": cuda,
        "command": " ".join(["fna", *sys.argv[1:]]),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        return names[0] if names else platform.processor()
    return platform.processor()


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt (malloc.h)."""


def keep_memory() -> bool:
    """Let the C library keep freed memory for the next step; whether it can.

    glibc gives large blocks back to the system at once, which then has to clear every page of the next step's tensors:
    a quarter of a training step on a CPU (docs/log.md). Other C libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
