"""The mixture as CUDA graphs: recorded once, then replayed with other images, weights and alphas.

A step of the alphas is thousands of small operations, which take longer to start than a GPU takes to do them. A graph
starts them all at once. What it reads and writes are the same places in memory each time, so images and
probabilities are copied there first; weights are, where they are, the optimizer's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fna.errors import UserError

WARMUP = 3
"""Calls before recording, in which torch makes what it makes at a first time (3 in its `make_graphed_callables`)."""
THREAD_LOCAL = "thread_local"
"""The loader's thread may go on to pin memory while this one records."""

Mixture = Callable[..., Sequence[Tensor]]


class Recording:
    """`function(images, *probabilities)`, tensors to tensors, with gradients for the probabilities alone.

    Made with images and probabilities of the shapes that it is called with afterwards. Nothing in the function may read
    a value from the device.
    """

    def __init__(self, function: Mixture, images: Tensor, probabilities: Sequence[Tensor]) -> None:
        self.images = images.detach().clone()
        self.probabilities = [row.detach().clone().requires_grad_() for row in probabilities]
        self._warm_up(function)
        self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        pool = torch.cuda.graph_pool_handle()
        with torch.cuda.graph(self._forward, pool=pool, capture_error_mode=THREAD_LOCAL):
            self.outputs = tuple(function(self.images, *self.probabilities))
        self.incoming = [torch.empty_like(output) for output in self._learning()]
        with torch.cuda.graph(self._backward, pool=pool, capture_error_mode=THREAD_LOCAL):
            self.gradients = torch.autograd.grad(self._learning(), self.probabilities, self.incoming)

    def _warm_up(self, function: Mixture) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUP):
                self.outputs = tuple(function(self.images, *self.probabilities))
                learning = self._learning()
                torch.autograd.grad(learning, self.probabilities, [torch.zeros_like(output) for output in learning])
        torch.cuda.current_stream().wait_stream(stream)
        del self.outputs

    def _learning(self) -> list[Tensor]:
        """Outputs that depend on a probability."""
        return [output for output in self.outputs if output.requires_grad]

    def fits(self, images: Tensor) -> bool:
        """Whether these images are of the recorded shape and type."""
        return images.shape == self.images.shape and images.dtype == self.images.dtype

    def __call__(self, images: Tensor, probabilities: Sequence[Tensor]) -> list[Tensor]:
        """As the function; the outputs are valid until the next call."""
        return list(_Replayed.apply(self, images, *probabilities))

    def replay(self, images: Tensor, probabilities: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs, without their history."""
        self.images.copy_(images)
        torch._foreach_copy_(self.probabilities, list(probabilities))
        self._forward.replay()
        return tuple(output.detach() for output in self.outputs)

    def replay_backward(self, incoming: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Gradients of the probabilities from those of the outputs that depend on one."""
        torch._foreach_copy_(self.incoming, list(incoming))
        self._backward.replay()
        return tuple(gradient.detach() for gradient in self.gradients)


def record(function: Mixture, images: Tensor, probabilities: Sequence[Tensor]) -> Recording:
    """A recording in the precision that is set (`torch.autocast`); raises UserError where torch cannot make it."""
    kind = images.device.type
    dtype, enabled = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
    try:
        with torch.autocast(kind, dtype, enabled, cache_enabled=False):  # cached weights would be old ones
            return Recording(function, images, probabilities)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        first = str(error).splitlines()[0]  # torch's own hints on how to debug it follow
        raise UserError(
            f"the mixture cannot be recorded as a CUDA graph: {first}. Go on with --search.alpha_graph false"
        ) from error


class _Replayed(torch.autograd.Function):
    """A call of a recording."""

    @staticmethod
    def forward(ctx: Any, recording: Recording, images: Tensor, *probabilities: Tensor) -> tuple[Tensor, ...]:
        ctx.recording = recording
        outputs = recording.replay(images, probabilities)
        learning = [output.requires_grad for output in recording.outputs]
        ctx.mark_non_differentiable(*(output for output, learns in zip(outputs, learning, strict=True) if not learns))
        ctx.learning = learning
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        incoming = [gradient for gradient, learns in zip(gradients, ctx.learning, strict=True) if learns]
        return (None, None, *ctx.recording.replay_backward(incoming))
