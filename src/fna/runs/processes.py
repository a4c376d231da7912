"""Several processes that train one network: how they are started, and what they tell each other.

Every process has the whole network and its share of each batch. Fabric starts the processes (or finds itself started by
torchrun or SLURM) and connects them; networks are not wrapped. Gradients are averaged in one piece after each backward
pass, over the parameters that have one: all processes draw the same path, so all have the same ones, and nobody has to
look for unused parameters. Where one process ends by an error, all do, and one of them says why.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from fna.config.config import Config
from fna.errors import UserError


class Replicas(DDPStrategy):
    """Fabric's processes and connections, with networks left as they are."""

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        """The module itself, with the first process's parameters and buffers."""
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)
        return module


def layout(config: Config) -> tuple[int, int]:
    """(processes on each node, nodes): those that torchrun or SLURM has started, else the configured ones.

    Raises UserError where both are given and differ.
    """
    wanted, started = (config.devices, config.nodes), started_by_launcher()
    if started is None:
        return wanted
    if wanted not in ((1, 1), started):
        raise UserError(
            f"--devices {wanted[0]} --nodes {wanted[1]}, but the launcher has started {started[0]} process(es) on each "
            f"of {started[1]} node(s); leave both flags out"
        )
    return started


def started_by_launcher() -> tuple[int, int] | None:
    """(processes on each node, nodes) of torchrun or srun; None where this process was started by hand, or by us."""
    get = os.environ.get
    if TorchElasticEnvironment.detect():
        here = int(get("LOCAL_WORLD_SIZE", "1"))
        return here, int(get("WORLD_SIZE", "1")) // here
    if SLURMEnvironment.detect():
        nodes = int(get("SLURM_NNODES", "1"))
        return int(get("SLURM_NTASKS_PER_NODE", "") or int(get("SLURM_NTASKS", "1")) // nodes), nodes
    return None


def check_batch(config: Config, section: str) -> None:
    """Raises UserError where the batch of `search` or `adapt` cannot be shared out evenly."""
    (here, nodes), batch = layout(config), getattr(config, section).batch
    if batch % (here * nodes):
        raise UserError(
            f"{section}.batch is {batch}, which {here * nodes} processes cannot share evenly; "
            f"it is the batch of all together, so use a multiple of {here * nodes}"
        )


def connected(config: Config, accelerator: str, devices: list[int] | int) -> Fabric:
    """Fabric with all its processes started and connected; a single one needs neither.

    Raises UserError where there are not so many devices.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    here, nodes = layout(config)
    if here * nodes == 1:
        return Fabric(accelerator=accelerator, devices=devices, precision=config.precision)
    if isinstance(devices, list):
        raise UserError(f"--device {config.device} is one device, but there are {here} processes; use --device cuda")
    gpus = torch.cuda.device_count()
    if accelerator != "cpu" and gpus and here > gpus:
        raise UserError(f"--devices {here}, but torch sees {gpus} CUDA device(s) here; use at most {gpus}")
    fabric = Fabric(
        accelerator=accelerator, devices=here, num_nodes=nodes, strategy=Replicas(), precision=config.precision
    )
    fabric.launch()
    return fabric


SAID, STATUS, GONE = "fna/said", "fna/status", "fna/gone"
"""Keys in the store of the connected processes, on the first one's machine: how many have come to say why all end, the
exit status of the one that has said it, and whether the first one ends."""
WAIT_SECONDS = 10.0


def end(status: int, text: str, error: BaseException) -> int:
    """Called once where a process ends by an error: says `text`, unless another process says why all of them end.

    Returns the exit status: 0 where another process, not the first, has nothing to add. All others end, too, at the
    next thing that they tell each other. The first one is given some time to do so by itself, for a launcher that sees
    another one fail ends it the hard way.
    """
    if not dist.is_initialized():
        print(text, file=sys.stderr)
        return status
    first, store = dist.get_rank() == 0, dist.distributed_c10d._get_default_store()
    stderr = sys.stderr if first else silenced()
    if is_lost(error):
        text = (
            "fna: error: another process of this training has ended without a word: killed, or out of memory? "
            "What was saved before stays, so --resume RUN goes on from there"
        )
    try:
        mine = store.add(SAID, 1) == 1
        if mine:
            print(text, file=stderr, flush=True)
            store.set(STATUS, str(status))
        if first:
            store.set(GONE, "")
            return int(store.get(STATUS))
    except RuntimeError:
        return 0  # the store is the first process's, so it is that one that has ended, and has said why
    leave(store)
    return status if mine else 0


def silenced() -> TextIO:
    """The stderr of this process, of which torch's own words on broken connections are a part no longer."""
    stderr = os.fdopen(os.dup(2), "w")
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)
    return stderr


def is_lost(error: BaseException) -> bool:
    """Whether a connection to another process has broken."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in ("gloo", "nccl", "connection closed"))


def leave(store: dist.distributed_c10d.Store) -> None:
    """Break the connections, and wait until the first process has noticed and ends."""
    if dist.get_backend() == "gloo":
        dist.destroy_process_group()
    deadline = time.monotonic() + WAIT_SECONDS
    with suppress(RuntimeError):
        while not store.check([GONE]) and time.monotonic() < deadline:
            time.sleep(0.1)


def average_gradients(parameters: Iterable[nn.Parameter], world_size: int) -> None:
    """The mean over processes of the gradients that there are, sent in one piece."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world_size
    for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view(gradient.shape))


def mean(value: Tensor, world_size: int) -> Tensor:
    """The mean over processes."""
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / world_size


def share_of(weight: Tensor, world_size: int) -> Tensor:
    """This process's weight over the mean one; 1 for all where no process has any."""
    total = weight.detach().double().clone()
    dist.all_reduce(total)
    return weight * world_size / total if float(total) > 0 else torch.ones_like(weight)


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether any process has the flag set."""
    value = torch.tensor(int(flag), device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return bool(value)


def assert_alike(tensors: Sequence[Tensor], what: str) -> None:
    """Raises RuntimeError where the tensors are not the same in all processes, to the last bit."""
    bits = torch.cat([tensor.detach().float().flatten() for tensor in tensors]).view(torch.int32).long()
    place = torch.arange(1, len(bits) + 1, device=bits.device)
    checksum = (bits * place).sum()
    ends = torch.stack([checksum, -checksum])
    dist.all_reduce(ends, dist.ReduceOp.MAX)
    if int(ends[0]) != -int(ends[1]):
        raise RuntimeError(f"{what} differ between processes, which must not be: all take the same steps")


def gathered(part: Any, world_size: int) -> list[Any]:
    """What every process has, in the order of the processes."""
    parts: list[Any] = [None] * world_size
    dist.all_gather_object(parts, part)
    return parts
