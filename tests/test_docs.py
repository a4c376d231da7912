"""The pages lead where they say."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from fna.arch.design import KEYS
from fna.arch.frame import Frame
from fna.search.result import DecisionRecord, Finalist, SearchResult, Tried, Verdict, Worth

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} leads to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} leads to {target}"


def test_a_marked_section_stands_once_in_the_docs() -> None:
    found = [
        name
        for page in ROOT.glob("docs/*.md")
        for name in re.findall(r"^<!-- results:(\S+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(found) == sorted(set(found))
    assert {"camvid-w035", "ssdlite-w035"} <= set(found)


def test_every_file_that_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.]+/)+[\w.]*)`", text)
    assert "arch/layers.py" in named
    places = [ROOT, ROOT / "src/fna"]
    missing = [n for n in named if "NAME" not in n and not any((place / n).exists() for place in places)]
    assert missing == []


def test_the_tree_of_the_readme_names_every_folder_of_the_package_and_no_other() -> None:
    tree = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("    src/fna/\n")[2].partition("    benchmarks/")[0]
    )
    named = re.findall(r"^      (\w+)/", tree, re.MULTILINE)
    folders = [folder.name for folder in (ROOT / "src/fna").iterdir() if folder.is_dir()]
    assert sorted(named) == sorted(set(folders) - {"__pycache__"})


def test_the_page_of_files_names_every_key_that_is_read() -> None:
    text = (ROOT / "docs/files.md").read_text(encoding="utf-8")
    records = (SearchResult, Verdict, Finalist, Tried, Worth, DecisionRecord)
    keys = {
        *KEYS,
        *(field.name for field in fields(Frame)),
        *(key for record in records for key in record.model_fields),
    }
    assert {key for key in keys if f"`{key}`" not in text} == set()
