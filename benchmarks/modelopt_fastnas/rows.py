"""The table of all random seeds, and what FastNAS changed."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from fna.report.results import bullets, mean_and_spread
from fna.report.text import duration, giga, mega, minutes, table
from fna.tasks.score import Score

PERCENT = Score("")
"""How scores are shown, which are fractions here."""
NAMES = {
    "seed": "seed",
    "again": "seed, fine-tuned twice",
    "fastnas": "FastNAS",
}
TRAINED = {"seed": ("seed",), "again": ("first", "again"), "fastnas": ("first", "fastnas")}
"""The fine-tunings that a network has behind it."""

Result = Mapping[str, Any]


def markdown(found: Sequence[Result]) -> str:
    """One line a network over all random seeds, differences by random seed, and the layers that were changed."""
    score = found[0]["score"]
    header = ["", "random seeds", f"best val {score}", "each", f"last val {score}", "MAdds", "params"]
    body = [row(found, training) for training in found[0]["stages"]]
    lines = [difference(found, training) for training in found[0]["stages"] if training != "fastnas"]
    lines += [line for result in found for line in pruning_lines(result)]
    return "\n\n".join([table([*header, "fine-tuning, min", "search, min"], body), bullets(lines)])


def row(found: Sequence[Result], training: str) -> list[str]:
    """The cells of a network."""
    trainings, seconds = [result["stages"][training] for result in found], [result["seconds"] for result in found]
    best = [entry["best"] for entry in trainings]
    fine_tuning = fmean(sum(entry.get(name, 0.0) for name in TRAINED[training]) for entry in seconds)
    search = minutes(fmean(entry["prune"] for entry in seconds) if training == "fastnas" else None)
    return [
        NAMES[training],
        str(len(best)),
        mean_and_spread(best, PERCENT),
        ", ".join(map(PERCENT.shown, best)),
        PERCENT.shown(fmean(entry["last"] for entry in trainings)),
        giga(fmean(entry["madds"] for entry in trainings)),
        mega(fmean(entry["params"] for entry in trainings)),
        minutes(fine_tuning),
        search,
    ]


def difference(found: Sequence[Result], training: str) -> str:
    """FastNAS minus another network, random seed by random seed."""
    values = [result["stages"]["fastnas"]["best"] - result["stages"][training]["best"] for result in found]
    each = ", ".join(map(PERCENT.difference, values))
    return f"FastNAS minus {NAMES[training]}: **{PERCENT.difference(fmean(values))}** points (by random seed {each})."


def pruning_lines(result: Result) -> list[str]:
    """What FastNAS did with one random seed."""
    pruned, name = result["pruned"], f"random seed {result['random_seed']}"
    changed = ", ".join(f"{layer} {old} to {new}" for layer, (old, new) in pruned["changed"].items()) or "nothing"
    forced = f"; with them {', '.join(pruned['forced'])}" if pruned["forced"] else ""
    scores = " before, ".join(map(PERCENT.shown, pruned["scores"])) + " after pruning"
    return [
        f"{name}: {len(pruned['searchable'])} layers searchable, in {duration(result['seconds']['prune'])}; "
        f"{result['score']} on the {result['score_images']} held-out images {scores}.",
        f"{name}, changed: {changed}{forced}.",
    ]
