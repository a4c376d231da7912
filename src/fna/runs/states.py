"""States of a training in its run folder, from which it goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fna.files import whole
from fna.runs.engine import Engine


class States:
    """Reads and writes the states of a run; names are paths below its folder."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine

    def write(self, name: str, state: Mapping[str, Any]) -> None:
        """Write a state of tensors and values, whole or not at all."""
        with whole(self.folder / name) as temporary:
            torch.save(dict(state), temporary)

    def read(self, name: str) -> dict[str, Any] | None:
        """A state written by `write`, read weights-only; None if there is none."""
        path = self.folder / name
        return torch.load(path, map_location=self.engine.device, weights_only=True) if path.is_file() else None

    def save(self, name: str, parts: Mapping[str, Any], step: int) -> None:
        """Write the state dicts of modules and optimizers after `step` steps, and the loss scale of 16-mixed."""
        state = {key: part.state_dict() for key, part in parts.items()}
        scale = self.engine.fabric.strategy.precision.state_dict()
        self.write(name, state | {"step": step} | ({"scale": scale} if scale else {}))

    def restore(self, name: str, parts: Mapping[str, Any]) -> int:
        """Load what `save` wrote into modules and optimizers; the step to go on with, 0 where nothing was saved."""
        state = self.read(name)
        if state is None:
            return 0
        for key, part in parts.items():
            part.load_state_dict(state[key])
        if "scale" in state:
            self.engine.fabric.strategy.precision.load_state_dict(state["scale"])
        return int(state["step"])
