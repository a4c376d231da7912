"""Generated text inside a hand-written Markdown file, between markers."""

from collections.abc import Sequence
from pathlib import Path

from fna.errors import UserError
from fna.files import write_bytes
from fna.report.results import results


def section_of(folders: Sequence[Path], name: str, brief: bool) -> str:
    """The folder's own table, its heading two lower, where the only folder has one (studies do); else one over runs."""
    own = folders[0] / "table.md"
    if len(folders) == 1 and own.is_file():
        text = own.read_text(encoding="utf-8")
        return f"##{text}" if text.startswith("# ") else text
    return results(folders, name, brief)


def replace_section(file: str | Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- results:NAME -->` and `<!-- /results:NAME -->` in a Markdown file.

    The file is written whole or not at all. Raises UserError where the file cannot be read or does not have each marker
    once, the opening one first.
    """
    path = Path(file)
    first, last = f"<!-- results:{name} -->", f"<!-- /results:{name} -->"
    try:
        content = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    before, opening, rest = content.partition(first)
    _, closing, after = rest.partition(last)
    if not opening or not closing or content.count(first) > 1 or content.count(last) > 1:
        raise UserError(f"{path} must have the markers {first} and {last}, each once and in this order; add them there")
    write_bytes(path, f"{before}{first}\n{text.strip()}\n{last}{after}".encode())
