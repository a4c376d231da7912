"""What people wait for before anything is trained: start, counts, the super network, derivation, the check of data."""

import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.images import CLASSES, draw
from benchmarks.rows import Finding, measured
from benchmarks.settings import Settings, Size
from benchmarks.timing import Pace, compared, race
from fna.arch.heads import describe
from fna.arch.space import Space, expand
from fna.arch.zoo import build as zoo_arch
from fna.arch.zoo import mobilenet_v2
from fna.cost.budget import Budget
from fna.cost.count import candidate_madds
from fna.data.check.check import check
from fna.data.layouts.opening import open_data
from fna.nn.network import assemble, build_supernet
from fna.search.derive import derive
from fna.weights.channels import Weights
from fna.weights.remap import remap

NAME = "small things"
CITYSCAPES = (1024, 2048)
BUDGETS = 10
FILES: dict[Size, int] = {"full": 10_000, "quick": 1000, "tiny": 40}
SMALL_IMAGE = (96, 128)
VAL_SHARE = 5
"""One image in so many is of the val split."""


def small_things(settings: Settings) -> list[Finding]:
    """Rows with the limits that are wanted of each."""
    rows = [*commands(settings.pace), *parts(settings.pace, settings.size)]
    with TemporaryDirectory() as folder:
        rows.append(checking(Path(folder), FILES[settings.size], settings.pace))
    return rows


def commands(pace: Pace) -> list[Finding]:
    """Whole commands, from their start to their end."""
    words = ["mobilenet_v2", "--head", "deeplabv3", "--imgsz", "1024x2048", "--classes", "19"]
    runs: dict[str, tuple[list[str], float]] = {"fna --help": (["--help"], 0.5), "fna count": (["count", *words], 0.3)}
    times = race({name: partial(_run, words) for name, (words, _) in runs.items()}, pace)
    return [measured(NAME, name, "fna", times.of(name), at_most=limit) for name, (_, limit) in runs.items()]


def _run(words: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "fna.cli.main", *words], check=True, capture_output=True)


def parts(pace: Pace, size: Size) -> list[Finding]:
    """The super network of the paper's segmentation space, and derivations from its costs and from drawn scores."""
    seed = zoo_arch("mobilenet_v2", 0.1) if size == "tiny" else mobilenet_v2()
    head = describe("deeplabv3", seed, 19, 16)
    weights: Weights = assemble(seed, head, 16, 0).backbone.state_dict()

    def grown() -> None:
        network = build_supernet(expand(seed, taps=head.taps), head, 16, 0)
        fitted, _ = remap(seed, weights, expand(seed, taps=head.taps), network.backbone.state_dict())
        network.backbone.load_state_dict(fitted)

    works: dict[str, tuple[Callable[[], object], float]] = {
        "the paper's segmentation space: expanded, built, remapped": (grown, 1.0),
        f"derivation under {BUDGETS} budgets": (derivation(expand(mobilenet_v2())), 0.2),
    }
    times = race({name: work for name, (work, _) in works.items()}, pace)
    return [measured(NAME, name, "fna", times.of(name), at_most=limit) for name, (_, limit) in works.items()]


def derivation(space: Space) -> Callable[[], object]:
    """Derives under budgets from the cheapest path to the dearest, all but these two."""
    costs = candidate_madds(space, CITYSCAPES, 16)
    numbers = random.Random(0)
    scores = [[numbers.gauss(0, 1) for _ in row] for row in costs]
    low, high = sum(map(min, costs)), sum(map(max, costs))
    budgets = [low + (high - low) * place // (BUDGETS + 1) for place in range(1, BUDGETS + 1)]
    return lambda: [derive(scores, {"madds": costs}, Budget({"madds": budget})) for budget in budgets]


def checking(folder: Path, files: int, pace: Pace) -> Finding:
    """`fna check` against reading every byte of the same files, which the system holds in memory."""
    images = files // 2
    val = images // VAL_SHARE
    for split, count, first in (("train", images - val, 0), ("val", val, images - val)):
        draw(folder / "images" / split, count, SMALL_IMAGE, folder / "masks" / split, first)
    names = "\n".join(f"class {number}" for number in range(CLASSES))
    (folder / "classes.txt").write_text(names, encoding="utf-8")
    found = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in found)

    def checked() -> None:
        report = check(open_data(folder, "seg"))
        assert not report.errors, report.text()

    def read() -> None:
        for file in found:
            file.read_bytes()

    times = race({"check": checked, "read": read}, Pace(min(3, pace.rounds), 1, pace.seconds))
    comparison = times.compare("check", "read")
    rate = size / comparison.contestant.median / 1e6
    note = (
        f"{size / 1e6:.0f} MB, each image and mask of {SMALL_IMAGE[0]}x{SMALL_IMAGE[1]} decoded; "
        f"{len(found) / comparison.contestant.median:,.0f} files or {rate:.0f} MB a second: "
        f"a disk that gives less than that is what limits it"
    )
    return compared(NAME, f"fna check, {files:,} files", "fna", "reading them from memory", comparison, note=note)
