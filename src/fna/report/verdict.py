"""The sentence that matters: is the adapted network better than the seed it came from?"""

from fna.report.files import RunFiles, TrainingFiles

CHANCE = 0.02
"""Measured: one network fine-tuned with two random seeds can differ by so much in a score that is a fraction."""


def verdict(run: RunFiles, training: TrainingFiles, label: str) -> str:
    """Whether the network of `training` beats its seed, in words, with the advice that follows."""
    seed = next((other for other in run.trainings if run.is_seed(other)), None)
    if training.metrics is None:
        return f"The {label} is not finished, so nothing can be said about it yet."
    if seed is None:
        return (
            f"Whether the {label} beats its seed is not known: the seed was not trained in this run (--baseline true)."
        )
    if seed.metrics is None:
        return f"Whether the {label} beats its seed is not known yet: the seed is not finished."
    ours, theirs = training.metrics["best"]["score"], seed.metrics["best"]["score"]
    score, difference = run.kind.score, ours - theirs
    direction = f"; {score.direction}" if score.direction else ""
    numbers = (
        f"{score.shown(ours)} against {score.shown(theirs)} val {score.name} "
        f"({score.difference(difference)}{score.points}{direction})"
    )
    if training.cost.get("madds") and seed.cost.get("madds"):
        numbers += f", at {100 * training.cost['madds'] / seed.cost['madds']:.0f} % of the seed's MAdds"
    chance = ""
    if score.unit != "%":
        chance = " One random seed each: what chance does to this score is not known."
    elif abs(difference) < CHANCE:
        chance = " One random seed each: a difference this small can be chance."
    if score.better(ours, theirs):
        return f"**The {label} beats its seed**: {numbers}.{chance}"
    return (
        f"**The {label} does NOT beat its seed**: {numbers}.{chance} "
        f"Keep the seed architecture: its fine-tuned weights are in `{seed.name}/best.safetensors`."
    )
