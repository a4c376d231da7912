"""A run is a folder: configuration, environment, logs, states, cost ledger. What processes share goes through it."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from fna.config.config import Config
from fna.config.files import load_config, to_yaml
from fna.files import check_run_folder, new_folder, read_json, write_json, write_text
from fna.runs import processes
from fna.runs.engine import Engine
from fna.runs.ledger import Ledger
from fna.runs.machine import environment, keep_memory
from fna.runs.private_copy import private_copy
from fna.runs.states import States


class Run:
    """A run folder and the process that works on it, with the parts that do the work: `engine`, `states`, `ledger`.

    Of several processes that train together, the first one has the folder. Each other one has a private copy, gone with
    it, and says nothing: all of them do the same, so each finds there what it needs.
    """

    def __init__(self, folder: Path, config: Config, engine: Engine | None = None) -> None:
        self.config = config
        self.again: str | None = None
        """What to type after an interruption; default: the run's verb with --resume."""
        if config.threads:
            torch.set_num_threads(config.threads)
        keep_memory()
        self.engine = engine or Engine(config)
        others = self.engine.rank > 0
        self.console = Console(quiet=others)
        self.folder = private_copy(folder) if others else folder
        if others:
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # open as long as the process is
            warnings.simplefilter("ignore")
        self.states = States(self.folder, self.engine)
        self.ledger = Ledger(self.folder, self.engine, self.note)
        if self.engine.together:
            self.engine.fabric.barrier()

    @classmethod
    def create(cls, out: str | Path, config: Config) -> "Run":
        """A new folder; where `out` exists and is not empty, `out-2` and so on. Never overwrites."""
        engine = Engine(config)
        devices, nodes = processes.layout(config)
        config = config.model_copy(update={"devices": devices, "nodes": nodes})
        folder = Path(engine.fabric.broadcast(str(new_folder(out)) if engine.rank == 0 else ""))
        run = cls(folder, config, engine)
        write_text(run.folder / "config.yaml", to_yaml(config))
        write_json(run.folder / "env.json", environment())
        return run

    @classmethod
    def open(cls, folder: str | Path, **changes: Any) -> "Run":
        """An existing run with its own configuration; `changes` replace keys that do not alter results.

        Of torchrun or SLURM it takes their processes, however many there were before.
        """
        folder = Path(folder)
        check_run_folder(folder)
        if processes.started_by_launcher():
            changes = {"devices": 1, "nodes": 1} | changes
        return cls(folder, load_config(folder / "config.yaml").model_copy(update=changes))

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        return self.engine.device

    def note(self, text: str) -> None:
        """One line on the console and in log.txt."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of this run, or None."""
        return read_json(self.folder / name)
