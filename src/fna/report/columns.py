"""What the drawing of architectures shows: zoo names, JSON files and run folders as columns, with their costs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fna.arch.arch import HW, Arch
from fna.arch.decision import Decision
from fna.arch.design import find_arch
from fna.cost.count import count_backbone
from fna.errors import UserError, unknown
from fna.files import write_bytes
from fna.report import figures
from fna.report.architectures import Column, draw_architectures
from fna.report.files import RunFiles
from fna.report.text import giga, mega

PAPER_DPI = 300
FORMATS = {".svg": figures.svg, ".png": lambda drawn: figures.png(drawn, PAPER_DPI)}
DEFAULT_SIZE = ((224, 224), 32)
"""Height and width, and output stride, at which costs are counted where no run says it: ImageNet's."""


def figure_architectures(archs: Sequence[str | Path], out: str | Path) -> list[Path]:
    """Draw architectures beside each other, stage by stage (as paper figure 4), and write OUT; returns the files.

    `archs`: zoo names, JSON files, and run folders, of which the seed's architecture and all adapted ones are drawn;
    equal columns are drawn once. `out` ends in .svg or .png; without a suffix both are written.
    Raises UserError for an unknown architecture, a run folder without one, and another suffix.
    """
    out = Path(out)
    if out.suffix and out.suffix not in FORMATS:
        raise unknown("format of a figure", out.suffix, FORMATS)
    drawn = draw_architectures(*side_by_side(archs))
    files = [out] if out.suffix else [out.with_name(out.name + suffix) for suffix in FORMATS]
    for file in files:
        write_bytes(file, FORMATS[file.suffix](drawn))
    return files


def side_by_side(archs: Sequence[str | Path]) -> tuple[list[Column], str]:
    """The columns, and the footnote on their costs: of backbones at the runs' size where it is one, else at 224x224."""
    sources = [RunFiles(Path(a)) if (Path(a) / "config.yaml").is_file() else str(a) for a in archs]
    runs = [source for source in sources if isinstance(source, RunFiles)]
    sizes = {(run.imgsz, run.output_stride) for run in runs}
    imgsz, stride = sizes.pop() if len(sizes) == 1 else DEFAULT_SIZE
    imgsz, stride = (imgsz, stride) if imgsz else DEFAULT_SIZE
    columns: list[Column] = []
    for source in sources:
        if isinstance(source, RunFiles):
            made = run_columns(source, imgsz, stride)
            if not made:
                raise UserError(f"{source.folder} has no architecture to draw (seed-design.json, design.json)")
        else:
            arch = find_arch(source)
            made = [Column(_name(Path(source)), arch, stride, (_backbone(arch, imgsz, stride),))]
        known = [_bare(column) for column in columns]
        columns += [column for column in made if _bare(column) not in known]
    if len(runs) < 2:
        columns = [replace(column, source="") for column in columns]
    return columns, footnote(imgsz, stride, any(run.whole_costs for run in runs))


def run_columns(run: RunFiles, imgsz: HW | None, output_stride: int) -> list[Column]:
    """The architectures of a run, the seed's first, with the cost of backbones at this size and of whole models."""
    head, depths = run.config.get("head", "its head"), space_depths(run.search.space) if run.search else {}
    columns = []
    for name, arch in run.archs.items():
        lines = [_backbone(arch, imgsz, output_stride)] if imgsz else []
        cost = run.whole_costs.get(name)
        if cost:
            lines.append(f"with {head} {giga(cost['madds'])} / {mega(cost['params'])}")
        columns.append(Column(name, arch, run.output_stride, tuple(lines), depths, run.folder.resolve().name))
    return columns


def _bare(column: Column) -> Column:
    """What two columns have in common that are drawn as one."""
    return replace(column, source="", depths={})


def footnote(imgsz: HW, output_stride: int, whole: bool) -> str:
    """What the numbers under the names are."""
    text = (
        f"MAdds / params: of the backbone for one image of {imgsz[0]}x{imgsz[1]} (height x width) "
        f"at output stride {output_stride}"
    )
    return text + (", and of the whole model at the size of its run." if whole else ".")


def space_depths(decisions: Sequence[Decision]) -> dict[int, int]:
    """Layers that each searched stage has in the space."""
    depths: dict[int, int] = {}
    for decision in decisions:
        _, stage, *place = decision.name.split(".")
        depth = int(place[0]) + 1 if place else len(decision.candidates[0])
        depths[int(stage)] = max(depth, depths.get(int(stage), 0))
    return depths


def _backbone(arch: Arch, imgsz: HW, output_stride: int) -> str:
    count = count_backbone(arch, imgsz, output_stride)
    return f"backbone {giga(count.madds)} / {mega(count.params)}"


def _name(path: Path) -> str:
    """A zoo name as it is; a file's name without suffix, its folder's where it is just called design.json."""
    if path.suffix != ".json":
        return path.name
    return path.resolve().parent.name if path.stem == "arch" else path.stem
