"""Reading and writing the files of a run folder; without torch."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fna.errors import UserError


def check_run_folder(folder: Path) -> None:
    """Raise a UserError for a folder that is no run, or one of before designs: nothing of it is read or written."""
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder} is not a run folder: it has no config.yaml")
    if (folder / "seed-arch.json").is_file() and not (folder / "seed-design.json").is_file():
        raise UserError(
            f"{folder} is a run of before networks had designs, which this version does not read: run it again into a "
            "new folder. Its architecture can be used: --arch takes its arch.json as a file"
        )


def new_folder(out: str | Path) -> Path:
    """Make `out`, or `out-2` and so on where it exists and is not empty; nothing is ever overwritten."""
    folder, n = Path(out), 1
    while folder.exists() and any(folder.iterdir()):
        n += 1
        folder = Path(f"{out}-{n}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that takes its place when the block ends without an exception.

    So a file is there whole or not at all, whatever stops the process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file, None where there is none; a UserError names a file that is not JSON."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}. Restore the file, or delete it to leave its part out") from error


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics CSV as text; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("step")]
