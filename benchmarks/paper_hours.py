"""Hours of a paper's recipe, from its measured steps, beside those that the paper prints."""

from collections.abc import Mapping

from benchmarks.cases import Case
from benchmarks.rows import Finding, single
from benchmarks.settings import Settings
from fna.config.files import load_config, recipe_path
from fna.study.cost import HOURS_A_DAY, TABLE_2, TABLE_4, Cited
from fna.study.projection import PAPER_DATA, Phase, TimedPart, parts_of

NAME = "projected hours"
HOURS_OF_UNIT = {"GHs": 1, "GDs": HOURS_A_DAY}
PHASE_NAMES: dict[Phase, str] = {"search": "architecture adaptation", "adapt": "parameter adaptation"}
COLUMNS: dict[str, dict[Phase, int]] = {"seg": {"search": 1, "adapt": 2}, "det": {"search": 3, "adapt": 5}}
"""Which cells of a row of Table 2 and of Table 4 the phases are."""
CITED = {
    "cityscapes-deeplabv3": ("Table 2: one V100, four TITAN-Xp", TABLE_2, "FNA"),
    "coco-retinanet": ("Table 4: TITAN-Xp", TABLE_4, "FNA (RetinaNet)"),
    "coco-ssdlite": ("Table 4: TITAN-Xp", TABLE_4, "FNA (SSDLite)"),
}
"""Where the paper prints the hours of its recipes, and on what."""
NOTE = (
    "seconds of a step times the iterations of the recipe, in proportion to its batch; images in memory, validations "
    "left out, hours of one device. The paper's are printed ones, on its own devices."
)


def hours_rows(case: Case, steps: Mapping[str, tuple[int, float]], settings: Settings) -> list[Finding]:
    """A row for each phase all of whose kinds of steps were timed; `steps` are images and seconds by kind."""
    config = load_config(recipe_path(case.name))
    images = PAPER_DATA[case.name.split("-")[0]][0]
    rows = []
    for phase, name in PHASE_NAMES.items():
        parts = [part for part in parts_of(config, images) if part.phase == phase]
        if any(part.step not in steps for part in parts):
            continue
        hours = sum(TimedPart(part, *steps[part.step]).hours for part in parts)
        where, table, method = CITED[case.name]
        paper = printed_hours(table, method, COLUMNS[config.task][phase])
        ratio = single(hours / paper)
        title = f"{case.name}, {case.config.precision}, {name}"
        rows.append(Finding(NAME, title, "projected", single(hours), "h", where, single(paper), ratio, note=NOTE))
    return rows


def printed_hours(table: tuple[Cited, ...], method: str, column: int) -> float:
    """A cell such as `6 GDs` in hours."""
    cell = next(row.cells[column] for row in table if row.method == method)
    value, unit = cell.split()
    return float(value) * HOURS_OF_UNIT[unit]
