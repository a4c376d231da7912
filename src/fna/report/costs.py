"""What each network costs, part by part, counted from its architecture."""

from fna.arch.arch import placed
from fna.cost.count import Count, count_backbone, count_op, count_stem, total
from fna.report.files import RunFiles
from fna.report.text import NOTHING, mega, table


def cost_tables(run: RunFiles) -> str:
    """MAdds and parameters of every part of every network of the run; empty where the image size is not known."""
    if run.imgsz is None or not run.archs:
        return ""
    parts = {name: _parts(run, name) for name in run.archs}
    names = list(dict.fromkeys(part for counts in parts.values() for part in counts))
    rows = []
    for part in names:
        found = [counts.get(part) for counts in parts.values()]
        rows.append(
            [part, *(mega(c.madds if c else None) for c in found), *(f"{c.params:,}" if c else NOTHING for c in found)]
        )
    return table(["", *(f"{name}: MAdds" for name in parts), *(f"{name}: params" for name in parts)], rows)


def _parts(run: RunFiles, name: str) -> dict[str, Count]:
    """Stem, stages, backbone; head and whole model too where the run has counted the whole model."""
    arch, imgsz, stride = run.archs[name], run.imgsz, run.output_stride
    assert imgsz is not None
    layers = [(place.stage, count_op(place, op)) for place, op in placed(arch, imgsz, stride)]
    parts = {"stem": count_stem(arch, imgsz)}
    for s in range(len(arch.stages)):
        parts[f"stage {s}"] = total(count for stage, count in layers if stage == s)
    parts["backbone"] = count_backbone(arch, imgsz, stride)
    whole = run.whole_costs.get(name)
    if whole:
        model = Count(whole["params"], whole["conv_madds"], whole["linear_madds"], whole["conv_bias_adds"])
        parts["head"] = minus(model, parts["backbone"])
        parts["whole model"] = model
    return parts


def minus(whole: Count, part: Count) -> Count:
    """What is left of `whole` without `part`."""
    names = ("params", "conv_madds", "linear_madds", "conv_bias_adds")
    return Count(*(getattr(whole, name) - getattr(part, name) for name in names))
