"""One image through the adapted and through the seed's network, by PyTorch and by ONNX Runtime."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from benchmarks.rows import Finding
from benchmarks.settings import Settings
from benchmarks.timing import Stopwatch, compared, race
from fna.arch.arch import HW
from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.arch.zoo import build as zoo_arch
from fna.nn.network import build
from fna.use.export import export
from fna.use.load import load, network_file
from fna.weights.checkpoint import NetworkInfo, load_network, save_network
from fna.weights.seeds import IMAGENET_MEAN, IMAGENET_STD

NAME = "inference"
IMAGE: HW = (360, 480)
TINY_IMAGE: HW = (64, 96)
CAMVID_CLASSES = 11
STRIDE = 16
THREADS = (1, 2)
TRAININGS = {"adapted": "train", "seed": "seed"}
"""What a run of `fna adapt` calls the two."""

Runner = Callable[[], object]


def inference(settings: Settings) -> list[Finding]:
    """The paper's segmentation network against MobileNetV2 under the same head, and both networks of each run given."""
    rows = []
    with TemporaryDirectory() as folder:
        files = {name: zoo_file(Path(folder) / f"{name}.safetensors", name, settings) for name in ZOO}
        rows += pair(ZOO_CASE, files["fna_deeplabv3"], files["mobilenet_v2"], Path(folder) / "zoo", settings)
        for run in settings.runs:
            adapted, seed = (network_file(run, training) for training in TRAININGS.values())
            rows += pair(run.name, adapted, seed, Path(folder) / run.name, settings)
    return rows


ZOO = ("fna_deeplabv3", "mobilenet_v2")
ZOO_CASE = "fna_deeplabv3 against mobilenet_v2 under deeplabv3"


def zoo_file(file: Path, name: str, settings: Settings) -> Path:
    """A published architecture with random weights, as a trained network's file."""
    arch = zoo_arch(name, 0.1 if settings.size == "tiny" else 1.0)
    imgsz = TINY_IMAGE if settings.size == "tiny" else IMAGE
    classes = tuple(f"class {number}" for number in range(CAMVID_CLASSES))
    design = Design("none", arch, parse_head("deeplabv3"), STRIDE, imgsz)
    info = NetworkInfo(design, "seg", classes, IMAGENET_MEAN, IMAGENET_STD)
    network = build(design, len(classes), random_seed=0)
    save_network(file, network.state_dict(), info)
    return file


def pair(case: str, adapted: Path, seed: Path, folder: Path, settings: Settings) -> list[Finding]:
    """Rows of one pair of networks: for each number of threads PyTorch, and ONNX Runtime where it can be exported."""
    info = load_network(adapted)[1]
    image = torch.randn(1, 3, *info.design.imgsz, generator=torch.Generator().manual_seed(0))
    height, width = info.design.imgsz
    before = torch.get_num_threads()
    rows: list[Finding] = []
    try:
        for threads in THREADS:
            torch.set_num_threads(threads)
            runners = {
                "PyTorch, adapted": pytorch(adapted, image, settings.device),
                "PyTorch, seed": pytorch(seed, image, settings.device),
            }
            if info.task == "seg" and settings.device == "cpu":
                runners |= {
                    "ONNX Runtime, adapted": onnx_runtime(adapted, folder / "adapted.onnx", image, threads),
                    "ONNX Runtime, seed": onnx_runtime(seed, folder / "seed.onnx", image, threads),
                }
            named = f"{case}, {height}x{width}, batch 1, {threads} thread{'s' * (threads > 1)}"
            rows += raced(named, runners, settings)
    finally:
        torch.set_num_threads(before)
    return rows


def raced(case: str, runners: dict[str, Runner], settings: Settings) -> Sequence[Finding]:
    """Adapted against seed in each engine, and the adapted one in ONNX Runtime against PyTorch."""
    times = race(runners, settings.pace, device_watch(settings.device))
    against = [(name, name.replace("adapted", "seed")) for name in runners if name.endswith("adapted")]
    if "ONNX Runtime, adapted" in runners:
        against.append(("ONNX Runtime, adapted", "PyTorch, adapted"))
    return [compared(NAME, case, ours, other, times.compare(ours, other)) for ours, other in against]


def pytorch(file: Path, image: Tensor, device: str) -> Runner:
    """The network as `fna.use.load` gives it, images channels-last as `fna predict` has them."""
    network: nn.Module = load(file).to(device)
    batch = image.to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> object:
        return network(batch)

    return run


def onnx_runtime(file: Path, exported: Path, image: Tensor, threads: int) -> Runner:
    """The file that `fna export` writes, once, in a session with so many threads."""
    import onnxruntime

    if not exported.is_file():
        export(file, "onnx", exported)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    pixels = {"images": image.numpy()}
    return lambda: session.run(["logits"], pixels)


def device_watch(device: str) -> Stopwatch:
    """Waits for a GPU before it reads the clock."""
    return Stopwatch(partial(torch.cuda.synchronize, device)) if device.startswith("cuda") else Stopwatch()
