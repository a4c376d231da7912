"""Peak memory counted from the data is what torch's own trace of the built network keeps alive at its convolutions."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fna.arch.arch import HW, Arch, Stage
from fna.arch.design import Design
from fna.arch.heads import HEADS, describe, parse_head
from fna.arch.layers import MBConv, Skip
from fna.arch.space import expand
from fna.arch.zoo import lookup
from fna.cost.budget import Budget
from fna.cost.measure import MEMORY, decision_costs
from fna.cost.memory import candidate_memory, memory_by_step, peak_memory
from fna.families import mobilenet_v3, resnet
from fna.families.family import Family
from fna.nn.network import assemble
from fna.search.derive import derive

OURS = [name for name in HEADS if not name.startswith("smp:")]
CONVOLUTIONS = ("aten.convolution", "aten.addmm", "aten.mm")


class Trace(TorchDispatchMode):
    """Every operation that runs, with the tensors that it reads and makes."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[str, list[torch.Tensor], list[torch.Tensor]]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        tensors = [[t for t in tree_leaves(tree) if isinstance(t, torch.Tensor)] for tree in (args, made)]
        self.operations.append((str(operation), *tensors))
        return made


def traced(network: torch.nn.Module, imgsz: HW) -> list[int]:
    """Of every convolution in turn: bytes of the tensors that are there and that it or something later reads."""
    image = torch.empty(1, 3, *imgsz, device="meta")
    with torch.no_grad(), Trace() as trace:
        results = network.to("meta").eval()(image)
    operations = [("image", [], [image]), *trace.operations, ("end", tree_leaves(results), [])]

    def storage(tensor: torch.Tensor) -> int:
        return tensor.untyped_storage()._cdata

    weights = {storage(tensor) for tensor in [*network.parameters(), *network.buffers()]}
    born: dict[int, tuple[int, int]] = {}
    last: dict[int, int] = {}
    for i, (_, reads, makes) in enumerate(operations):
        last |= dict.fromkeys(map(storage, [*reads, *makes]), i)
        for tensor in makes:
            born.setdefault(storage(tensor), (i, tensor.untyped_storage().nbytes()))
    return [
        sum(size for key, (start, size) in born.items() if start <= i <= last[key] and key not in weights)
        for i, (name, *_) in enumerate(operations)
        if name.startswith(CONVOLUTIONS)
    ]


@pytest.mark.parametrize(
    "name", [*OURS, "fpn(taps=8+16)", "deeplabv3plus(light=true)", "retinanet(tower=2, light=true)"]
)
@pytest.mark.parametrize("arch", ["mobilenet_v2_w035", "fna_ssdlite"])
def test_the_peak_is_that_of_the_built_network(arch: str, name: str) -> None:
    backbone, imgsz = lookup(arch), (96, 160)
    stride = parse_head(name).output_stride
    head = describe(name, backbone, 6, stride)
    counted = list(memory_by_step(backbone, head, imgsz, stride).values())
    measured = traced(assemble(backbone, head, stride, 0), imgsz)
    assert peak_memory(backbone, head, imgsz, stride) == max(measured)
    first = len(counted) - sum(len(part.at) for part in head.convs)
    assert counted[:first] == measured[:first], "convolution by convolution in the backbone"
    assert max(counted[first:]) == max(measured[first:]), "and the most in the head, which orders them in its own way"


def test_a_network_worked_by_hand() -> None:
    # Image 3x8x8 = 192. Stem: 2 channels at 4x4 = 32. Layer 0 (2 -> 2, expansion 2, shortcut): expand 32 -> 64,
    # depthwise 64 -> 64, project 64 -> 32; its input waits for the sum. Layer 1 (2 -> 4, expansion 1, stride 2):
    # depthwise 32 -> 8, project 8 -> 16.
    arch = Arch(2, (Stage(2, 1, (MBConv(3, 2),)), Stage(4, 2, (MBConv(3, 1),))), 8)
    expected = {
        "stem": 192 + 32,
        "stages.0.0.expand": 32 + 64,
        "stages.0.0.depthwise": 64 + 64 + 32,
        "stages.0.0.project": 64 + 32 + 32,
        "stages.1.0.depthwise": 32 + 8,
        "stages.1.0.project": 8 + 16,
    }
    found = memory_by_step(arch, None, (8, 8), 32)
    assert found == {name: 4 * numbers for name, numbers in expected.items()}
    assert peak_memory(arch, None, (8, 8)) == 4 * 224
    # FPN of width 8 on strides 2 and 4: stage 0 (32 numbers) waits for its lateral while stage 1 is made, and the
    # branches for their sums: lateral.1 8x2x2 = 32, lateral.0 8x4x4 = 128, the context 8.
    head = describe("fpn(width=8, taps=2)", arch, 3, 32)
    wired = memory_by_step(arch, head, (8, 8), 32)
    in_numbers = {name: size // 4 for name, size in wired.items()}
    assert in_numbers["stages.1.0.depthwise"] == 32 + 8, "its input is what waits"
    assert in_numbers["stages.1.0.project"] == 8 + 16 + 32
    assert in_numbers["context"] == 4 + 8 + 16 + 32
    assert in_numbers["lateral.0"] == 32 + 128 + 8 + 16
    assert in_numbers["lateral.1"] == 16 + 32 + 8 + 128
    assert in_numbers["finest.depthwise"] == 128 + 128
    assert in_numbers["score"] == 128 + 3 * 16


def test_the_peak_of_a_network_is_the_largest_of_its_parts_whatever_else_it_has() -> None:
    seed, imgsz = lookup("mobilenet_v2_w035"), (64, 96)
    for name in ("fpn", "ssdlite"):
        head = describe(name, seed, 4, 32)
        space = expand(seed, taps=head.taps)
        rows = candidate_memory(space, Design("none", seed, parse_head(name), 32, imgsz), 4)
        generator = torch.Generator().manual_seed(0)
        for _ in range(5):
            path = [int(torch.randint(len(row), (), generator=generator)) for row in rows]
            arch = space.pick(path)
            searched = [f"stages.{s}." for s in range(1, 7)]
            inside = {k: v for k, v in memory_by_step(arch, head, imgsz, 32).items() if k.startswith(tuple(searched))}
            assert max(row[c] for row, c in zip(rows, path, strict=True)) == max(inside.values())
        assert all(
            row[c] == 0 for row, (_, ops) in zip(rows, space.searched, strict=True) for c in [-1] if ops[c] == Skip()
        )


def test_a_limit_of_memory_leaves_out_the_options_that_need_more_and_derives_exactly_from_the_others() -> None:
    seed, imgsz = lookup("mobilenet_v2_w035"), (64, 96)
    space, design = expand(seed), Design("none", seed, parse_head("fpn"), 32, imgsz)
    costs = decision_costs(space, space.layer_decisions(space.path_of(seed)), design, 4)
    scores = [[float(value) for value in row] for row in costs["madds"]]  # the dearest is the best
    limit = sorted(value for row in costs["memory"] for value in row)[-3]
    path = derive(scores, costs, Budget({"memory": limit}))
    assert all(costs["memory"][d][c] <= limit for d, c in enumerate(path))
    for d, (row, memory) in enumerate(zip(scores, costs["memory"], strict=True)):
        assert row[path[d]] == max(score for score, need in zip(row, memory, strict=True) if need <= limit)
    assert MEMORY.text(40 << 20) == "40.00 MiB of activations"
    assert Budget.parse("memory=40M").as_dict() == {"memory": 40 << 20}


@pytest.mark.parametrize("family", [mobilenet_v3.FAMILY, resnet.FAMILY], ids=lambda family: family.name)
def test_layers_of_other_families_are_counted_convolution_by_convolution(family: Family) -> None:
    # Gates that wait for their factor, shortcuts with a convolution, sums before the activation, a pooled stem.
    for arch in family.archs.values():
        head = describe("fpn", arch, 6, 32)
        counted = list(memory_by_step(arch, head, (96, 160), 32).values())
        backbone = len(counted) - len(head.convs)
        assert counted[:backbone] == traced(assemble(arch, head, 32, 0), (96, 160))[:backbone]
