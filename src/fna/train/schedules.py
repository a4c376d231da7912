"""Learning rates as pure functions of the step."""

import math
from collections.abc import Sequence

from torch.optim import Optimizer


def warmup(step: int, steps: int, start: float, peak: float) -> float:
    """Linear from `start` at step 0 to `peak` at step `steps`."""
    return start + (peak - start) * min(1.0, step / steps) if steps else peak


def polynomial(step: int, total: int, peak: float, power: float, warmup_steps: int = 0, start: float = 0.0) -> float:
    """Linear warm-up, then peak * (1 - progress) ** power down to 0 at `total` (paper 4.1, fine-tuning)."""
    if step < warmup_steps:
        return warmup(step, warmup_steps, start, peak)
    return peak * (1 - (step - warmup_steps) / max(1, total - warmup_steps)) ** power


def cosine(step: int, total: int, peak: float, end: float, warmup_steps: int = 0, start: float = 0.0) -> float:
    """Linear warm-up, then half a cosine from `peak` to `end` at `total` (paper 4.1, search)."""
    if step < warmup_steps:
        return warmup(step, warmup_steps, start, peak)
    progress = (step - warmup_steps) / max(1, total - warmup_steps)
    return end + (peak - end) * (1 + math.cos(math.pi * progress)) / 2


def stepped(
    step: int, total: int, peak: float, milestones: Sequence[float], warmup_steps: int = 0, start: float = 0.0
) -> float:
    """Linear warm-up, then `peak` divided by 10 after each of `milestones`, shares of `total` (paper A.1)."""
    if step < warmup_steps:
        return warmup(step, warmup_steps, start, peak)
    return peak * 0.1 ** sum(step >= share * total for share in milestones)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Give every parameter group `lr` times its `factor` (1 where it has none)."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("factor", 1.0)
