"""Device, precision and processes of a run: what a training step asks of them, whether there is one process or many."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from fna.config.config import Config
from fna.errors import UserError
from fna.nn.sync_norm import synchronise
from fna.runs import processes


class Engine:
    """Lightning Fabric with all processes of the run, which it starts and connects."""

    def __init__(self, config: Config) -> None:
        self.sync_norm = config.sync_norm
        self.scales_losses = config.precision == "16-mixed"
        self.fabric: Fabric = processes.connected(config, _accelerator(config.device), _devices(config.device))
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic = True  # else its gradients of weights are other ones each time

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

    @property
    def world_size(self) -> int:
        """How many processes there are."""
        return self.fabric.world_size

    def setup(self, network: nn.Module, *optimizers: Optimizer) -> Any:
        """The network (and optimizers) on the device, in the precision, and alike in all processes."""
        if self.together and self.sync_norm:
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
        strict = not self.scales_losses
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

    def any_of(self, flag: bool) -> bool:
        """Whether any process has the flag set."""
        return processes.any_of(flag, self.device) if self.together else flag


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
