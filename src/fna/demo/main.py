"""`fna demo`: from drawn scenes to an adapted network, with two networks beside it that show what each part is for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fna.demo.pretrain import MEAN, STD, pretrain_seed
from fna.demo.scenes import draw_scenes
from fna.pipeline import adapt, train
from fna.report.text import giga, mega, percent, seconds, table
from fna.run import read_json, write_text


@dataclass(frozen=True)
class Row:
    """One fine-tuned network: val mIoU as a fraction, cost of the whole model, wall time of its fine-tuning."""

    name: str
    score: float
    madds: int
    params: int
    seconds: float


def final_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, mIoU in percent."""
    header = ["", "val mIoU", "MAdds", "params", "fine-tuning, s"]
    cells = ([r.name, percent(r.score), giga(r.madds), mega(r.params), seconds(r.seconds)] for r in rows)
    return table(header, cells)
