"""Decoded images in memory, which a process and the loader's workers that are forked from it fill and read together."""

import math
import mmap
import multiprocessing
import threading
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from fna.errors import UserError

MOST_PARTS = 2
"""Tensors of a sample: an image, and at most a mask or a size."""
MOST_DIMENSIONS = 3
DTYPES = (torch.uint8, torch.int64)
COLUMNS = 1 + MOST_PARTS * (1 + MOST_DIMENSIONS)


class ImageCache:
    """Tensors of samples by number, first come first kept, in at most `size_bytes` of memory.

    Pixels lie in one anonymous shared mapping, which takes pages of the machine only as it fills. Processes that are
    forked from this one have the same pages, so that what one has decoded serves all, and the limit is for all of them
    together. Images (3, H, W) come back channels-last, whatever they were.
    Raises UserError where the machine refuses so much memory.
    """

    def __init__(self, samples: int, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._pixels = torch.frombuffer(_shared_memory(size_bytes), dtype=torch.uint8)
        # One row a sample: its first byte + 1, or 0 where it is not there; then type and shape of each part.
        table = np.frombuffer(_shared_memory(8 * COLUMNS * samples + 8), dtype=np.int64)
        self._used, self._rows = table[:1], table[1 : 1 + COLUMNS * samples].reshape(samples, COLUMNS)
        self._lock = _lock()

    def get(self, number: int) -> tuple[Tensor, ...] | None:
        """The parts of a sample, not to be written to, or None where they are not kept."""
        row = self._rows[number].tolist()
        if not row[0]:
            return None
        start, parts = row[0] - 1, []
        for place in range(1, COLUMNS, 1 + MOST_DIMENSIONS):
            code, *shape = row[place : place + 1 + MOST_DIMENSIONS]
            if code:
                dtype, shape = DTYPES[code - 1], [side - 1 for side in shape if side]
                stop = start + math.prod(shape) * dtype.itemsize
                parts.append(_read(self._pixels[start:stop], dtype, shape))
                start = stop
        return tuple(parts)

    def put(self, number: int, parts: tuple[Tensor, ...]) -> None:
        """Keep the parts of a sample if there is room for all of them."""
        flat = [_bytes(part) for part in parts]
        needed = sum(map(len, flat))
        with self._lock:
            start = int(self._used[0])
            if self._rows[number, 0] or start + needed > self.size_bytes:
                return
            self._used[0] = start + needed
        torch.cat(flat, out=self._pixels[start : start + needed])
        codes = [[1 + DTYPES.index(part.dtype), *_padded(part.shape)] for part in parts]
        with self._lock:  # and not before: another process may read the row at any time
            self._rows[number, 1 : 1 + len(parts) * (1 + MOST_DIMENSIONS)] = sum(codes, [])
            self._rows[number, 0] = start + 1


def _shared_memory(size_bytes: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, max(8, size_bytes))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"the cache of images wants {size_bytes:,} bytes of memory, which this machine does not give ({error}); "
            f"set cache to less, such as 1G, or to 0"
        ) from error


def _lock() -> AbstractContextManager[object]:
    """For the processes that share the memory: those that are forked, or this one alone."""
    if "fork" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("fork").Lock()
    return threading.Lock()


def _padded(shape: torch.Size) -> list[int]:
    """Sides + 1, for a side may be 0, and 0 for each axis that there is not."""
    return [side + 1 for side in shape] + [0] * (MOST_DIMENSIONS - len(shape))


def _bytes(part: Tensor) -> Tensor:
    """The tensor's memory, uint8 (n,); of an image with the three values of a pixel side by side."""
    return (part.permute(1, 2, 0) if part.ndim == MOST_DIMENSIONS else part).reshape(-1).view(torch.uint8)


def _read(memory: Tensor, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if len(shape) == MOST_DIMENSIONS:
        channels, height, width = shape
        return memory.view(dtype).view(height, width, channels).permute(2, 0, 1)
    if dtype != torch.uint8:
        memory = memory.clone()  # a number of eight bytes may start at any byte of the memory, but not of a tensor
    return memory.view(dtype).view(shape)
