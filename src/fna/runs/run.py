"""A run is a folder: configuration, environment, logs, states, cost ledger. What processes share goes through it."""

import csv
import ctypes
import os
import platform
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim import Optimizer

from fna import __version__
from fna.config import Config, load_config, to_yaml
from fna.errors import Interrupted, UserError
from fna.files import read_json, read_metrics, whole, write_json, write_text
from fna.nn.sync_norm import synchronise
from fna.runs import processes
from fna.runs.private_copy import private_copy

PLAIN_SECONDS = 15.0
"""Where the output is not a terminal, progress is one line per so many seconds."""


def new_folder(out: str | Path) -> Path:
    """Make `out`, or `out-2` and so on where it exists and is not empty; nothing is ever overwritten."""
    folder, n = Path(out), 1
    while folder.exists() and any(folder.iterdir()):
        n += 1
        folder = Path(f"{out}-{n}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def environment() -> dict[str, Any]:
    """Versions, machine and command of this process."""
    import torchvision

    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "fna": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": cuda,
        "command": " ".join(["fna", *sys.argv[1:]]),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        return names[0] if names else platform.processor()
    return platform.processor()


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt (malloc.h)."""


def keep_memory() -> bool:
    """Let the C library keep freed memory for the next step; whether it can.

    glibc gives large blocks back to the system at once, which then has to clear every page of the next step's tensors:
    a quarter of a training step on a CPU (docs/log.md). Other C libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


class MetricsLog:
    """A CSV that is only ever appended to; on resuming, rows from steps that will be repeated are dropped."""

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        self.rows = [row for row in read_metrics(path) if int(row["step"]) < first_step]
        if path.exists():
            self._rewrite()

    def add(self, step: int, **values: float) -> None:
        """One row; new columns may appear at any time."""
        known = list(self.rows[0]) if self.rows else []
        row = {"step": str(step)} | {key: f"{value:.6g}" for key, value in values.items()}
        self.rows.append(row)
        if any(key not in known for key in row):
            self._rewrite()
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, known).writerow(row)

    def _rewrite(self) -> None:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        self.rows = [{key: row.get(key, "") for key in columns} for row in self.rows]
        lines = [",".join(columns), *(",".join(row.values()) for row in self.rows)]
        write_text(self.path, "\r\n".join(lines) + "\r\n")


class Run:
    """A run folder and the process that works on it.

    Of several processes that train together, the first one has the folder. Each other one has a private copy, gone with
    it, and says nothing: all of them do the same, so each finds there what it needs.
    """

    def __init__(self, folder: Path, config: Config, fabric: Fabric | None = None) -> None:
        self.folder = folder
        self.config = config
        self.console = Console()
        self._stop = False
        self.again: str | None = None
        """What to type after an interruption; default: the run's verb with --resume."""
        if config.threads:
            torch.set_num_threads(config.threads)
        keep_memory()
        self.fabric = fabric or connected(config)
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic = True  # else its gradients of weights are other ones each time
        if self.rank:
            self.folder = private_copy(folder)
            self.console = Console(quiet=True)
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # open as long as the process is
            warnings.simplefilter("ignore")
        if self.together:
            self.fabric.barrier()

    @classmethod
    def create(cls, out: str | Path, config: Config) -> "Run":
        """A new folder; where `out` exists and is not empty, `out-2` and so on. Never overwrites."""
        fabric = connected(config)
        devices, nodes = processes.layout(config)
        config = config.model_copy(update={"devices": devices, "nodes": nodes})
        folder = Path(fabric.broadcast(str(new_folder(out)) if fabric.global_rank == 0 else ""))
        run = cls(folder, config, fabric)
        write_text(run.folder / "config.yaml", to_yaml(config))
        write_json(run.folder / "env.json", environment())
        return run

    @classmethod
    def open(cls, folder: str | Path, **changes: Any) -> "Run":
        """An existing run with its own configuration; `changes` replace keys that do not alter results.

        Of torchrun or SLURM it takes their processes, however many there were before.
        """
        folder = Path(folder)
        if not (folder / "config.yaml").is_file():
            raise UserError(f"{folder} is not a run folder: it has no config.yaml")
        if processes.started_by_launcher():
            changes = {"devices": 1, "nodes": 1} | changes
        return cls(folder, load_config(folder / "config.yaml").model_copy(update=changes))

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        return self.fabric.device

    @property
    def rank(self) -> int:
        """Of this process among all; 0 has the run folder."""
        return self.fabric.global_rank

    @property
    def together(self) -> int:
        """How many processes there are, where there are several, else 0."""
        return self.fabric.world_size if self.fabric.world_size > 1 else 0

    def setup(self, network: nn.Module, *optimizers: Optimizer) -> Any:
        """The network (and optimizers) on the device, in the precision, and alike in all processes."""
        if self.together and self.config.sync_norm:
            synchronise(network)
        return self.fabric.setup(network, *optimizers)

    def whole_batch(self, loss: Tensor, weight: Tensor | None) -> Tensor:
        """This process's part of a loss over the whole batch, which is the mean of all parts.

        `loss` is a mean over this process's share, in which everything together has the `weight`; None where shares of
        one size weigh the same.
        """
        if not self.together or weight is None:
            return loss
        return loss * processes.share_of(weight, self.together).to(loss.dtype)

    def backward(self, loss: Tensor, parameters: Iterable[nn.Parameter], **how: Any) -> None:
        """Gradients of the loss, of all processes together; `parameters` are those that may have some."""
        self.fabric.backward(loss, **how)
        if self.together:
            processes.average_gradients(parameters, self.together)

    def clip(self, model: nn.Module, optimizer: Optimizer, norm: float) -> None:
        """Scale the optimizer's gradients down to a norm, if theirs is larger.

        One that is not finite is an error, but in 16-mixed, which skips such steps and scales losses by less then.
        """
        strict = self.config.precision != "16-mixed"
        self.fabric.clip_gradients(model, optimizer, max_norm=norm, error_if_nonfinite=strict)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes of a number, on the device: who reads it waits until the device is done with it."""
        return processes.mean(value, self.together) if self.together else value.detach()

    def gather(self, part: Any) -> list[Any]:
        """What every process has."""
        return processes.gathered(part, self.together) if self.together else [part]

    def assert_alike(self, tensors: Sequence[Tensor], what: str) -> None:
        """Raises RuntimeError where the tensors differ between processes in a single bit."""
        if self.together:
            processes.assert_alike(tensors, what)

    def spread_buffers(self, network: nn.Module) -> None:
        """The first process's norm statistics for all; without synchronised norms each has its own."""
        if self.together:
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def note(self, text: str) -> None:
        """One line on the console and in log.txt."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of this run, or None."""
        return read_json(self.folder / name)

    def save_state(self, name: str, state: Mapping[str, Any]) -> None:
        """Write a state of tensors and plain values, whole or not at all."""
        with whole(self.folder / name) as temporary:
            torch.save(dict(state), temporary)

    def load_state(self, name: str) -> dict[str, Any] | None:
        """A state written by `save_state`, read weights-only; None if there is none."""
        path = self.folder / name
        return torch.load(path, map_location=self.device, weights_only=True) if path.is_file() else None

    def save(self, name: str, parts: Mapping[str, Any], step: int) -> None:
        """Write the state dicts of modules and optimizers after `step` steps, and the loss scale of 16-mixed."""
        state = {key: part.state_dict() for key, part in parts.items()}
        scale = self.fabric.strategy.precision.state_dict()
        self.save_state(name, state | {"step": step} | ({"scale": scale} if scale else {}))

    def restore(self, name: str, parts: Mapping[str, Any]) -> int:
        """Load what `save` wrote into modules and optimizers; the step to go on with, 0 where nothing was saved."""
        state = self.load_state(name)
        if state is None:
            return 0
        for key, part in parts.items():
            part.load_state_dict(state[key])
        if "scale" in state:
            self.fabric.strategy.precision.load_state_dict(state["scale"])
        return int(state["step"])

    @contextmanager
    def ledger(self, stage: str) -> Iterator[None]:
        """Add the wall and device time of the block to the stage's entry in cost.json, however the block ends."""
        start, last = time.monotonic(), time.monotonic()

        def add() -> None:
            nonlocal last
            now = time.monotonic()
            costs = self.read_json("cost.json") or {}
            entry = costs.setdefault(stage, {"wall_seconds": 0.0, "device_hours": 0.0})
            entry["wall_seconds"] = round(entry["wall_seconds"] + now - last, 2)
            entry["device_hours"] = round(entry["wall_seconds"] * self.fabric.world_size / 3600, 5)
            entry["device"] = str(self.device)
            entry["threads"] = torch.get_num_threads()
            write_json(self.folder / "cost.json", costs)
            last = now

        self._add_time = add
        try:
            yield
        finally:
            add()
            self.note(f"  {stage}: {time.monotonic() - start:.0f} s")

    def steps(self, label: str, first: int, last: int, save: Callable[[int], None]) -> Iterator[int]:
        """Step numbers with progress on the console; saves when due, and on Ctrl-C saves and raises Interrupted.

        `save(n)` is called after n steps are done, and after the last one.
        """
        self._stop = False
        previous = signal.signal(signal.SIGINT, self._ask_to_stop)
        saved, done = time.monotonic(), first
        try:
            with self._progress(label, first, last) as advance:
                for step in range(first, last):
                    # Dropout: a function of random seed, step and, since each has other images, process.
                    torch.manual_seed((self.config.seed << 32) + (self.rank << 24) + step)
                    yield step
                    done = step + 1
                    advance(done)
                    if self.together:
                        self._stop = processes.any_of(self._stop, self.device)
                    due = time.monotonic() - saved > 60 * self.config.checkpoint_minutes
                    if self._stop or due or done == last:
                        save(done)
                        self._add_time()
                        saved = time.monotonic()
                    if self._stop and self.rank:
                        sys.exit(0)  # the first process says it for all
                    if self._stop:
                        verb = (self.read_json("run.json") or {}).get("verb", "adapt")
                        again = self.again or f"fna {verb} --resume {self.folder}"
                        raise Interrupted(f"stopped; the state is saved. Go on with: {again}")
        finally:
            signal.signal(signal.SIGINT, previous)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True

    @contextmanager
    def _progress(self, label: str, first: int, last: int) -> Iterator[Callable[[int], None]]:
        start = time.monotonic()
        if self.console.is_terminal:
            columns = (
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TaskProgressColumn(show_speed=True),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self.console, transient=True) as progress:
                task = progress.add_task(label, total=last, completed=first)
                yield lambda done: progress.update(task, completed=done)
            return
        shown = start

        def plain(done: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown > PLAIN_SECONDS and done < last and not self.rank:
                rate = (done - first) / (now - start)
                print(f"  {label} {done}/{last}  {rate:.2f} steps/s  {(last - done) / rate:.0f} s left", flush=True)
                shown = now

        yield plain


def _accelerator(device: str) -> str:
    name = device.split(":")[0]
    if name not in ("auto", "cpu", "cuda", "mps"):
        raise UserError(f"device is {device!r}; write auto, cpu, cuda, cuda:N or mps")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is 'cuda', but torch sees no CUDA device here; use --device cpu")
    return name


def _devices(device: str) -> list[int] | int:
    index = device.partition(":")[2]
    return [int(index)] if index.isdigit() else 1


def connected(config: Config) -> Fabric:
    """Fabric for the configured devices, with all processes that train together."""
    return processes.connected(config, _accelerator(config.device), _devices(config.device))
