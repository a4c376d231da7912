"""A process's own copy of a folder, which goes with the process, however that ends."""

import atexit
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

PREFIX = "fna-copy-"
LOCK = "in-use"
"""A file in each copy's parent that its process keeps locked; the system lets go of it even after kill -9."""

held: list[IO[str]] = []


def private_copy(folder: Path) -> Path:
    """A copy of `folder` for this process, gone at its end; an empty one where the folder is on another machine.

    Copies that killed processes have left behind are removed first.
    """
    remove_abandoned()
    parent = Path(tempfile.mkdtemp(prefix=PREFIX))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    held.append(locked(parent))
    private = parent / folder.name
    if folder.is_dir():
        shutil.copytree(folder, private)
    else:
        private.mkdir()
    return private


def locked(parent: Path) -> IO[str]:
    """The lock of a new parent, which gets its name once it is held, so that nobody finds it free before."""
    from fcntl import LOCK_EX, flock  # here, for other verbs run on systems that do not have it

    new = parent / f"{LOCK}-soon"
    lock = new.open("w", encoding="utf-8")
    with suppress(OSError):  # a file system without locks: then nobody removes it either
        flock(lock, LOCK_EX)
    new.rename(parent / LOCK)
    return lock


def remove_abandoned() -> None:
    """Remove the copies whose processes have ended."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), lock.open(encoding="utf-8") as file:  # another user's, or in use
            flock(file, LOCK_EX | LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
