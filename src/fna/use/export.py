"""Networks in formats for other programs, each compared with the original on images before it is kept."""

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fna.data.layouts.opening import open_data
from fna.data.reading.images import read_image
from fna.errors import UserError, unknown
from fna.files import whole, write_json
from fna.tasks.kinds import find_task
from fna.use.load import load, network_file
from fna.weights.checkpoint import NetworkInfo, load_network
from fna.weights.trained import TrainedNetwork, prepare

Runner = Callable[[Tensor], Tensor]

CHECK_IMAGES = 4
LARGEST_DIFFERENCE = 1e-3
"""Of logits, relative to the largest one. Another order of summation in float32 makes about 1e-6."""
LEAST_EQUAL = 0.999
"""Share of pixels with the same best class; near-equal classes may swap."""
EXTRA = ("onnx", "onnxscript", "onnxruntime")


def export(
    run_or_file: str | Path,
    format: str = "onnx",
    out: str | Path | None = None,
    check_images: Sequence[str | Path] = (),
    training: str = "train",
) -> Path:
    """Write the network as `onnx`, `safetensors` or `pt2` (torch.export), check it, and return the file.

    Input: images (N, 3, H, W), float32, prepared as the metadata says (docs/export.md); output: logits. ONNX and pt2
    take any batch and any size above the output stride. `out`: default RUN/export/model.FORMAT
    (TRAINING.FORMAT for another than `train`), for a file FOLDER/export/NAME.FORMAT.
    The check runs the file and PyTorch on `check_images`, else on validation images of the run's data, else on noise,
    and writes its result to check.json beside the file.
    Raises UserError for an unknown format or missing packages, RuntimeError if file and PyTorch disagree: then there is
    no file.
    """
    if format not in WRITERS:
        raise unknown("format", format, WRITERS)
    missing = [name for name in EXTRA if find_spec(name) is None] if format == "onnx" else []
    if missing:
        raise UserError(
            f'ONNX export needs {", ".join(missing)}, not installed here. Install with: pip install "fna[export]"'
        )
    source = network_file(run_or_file, training)
    kind = find_task(load_network(source)[1].task)
    if not kind.exported:
        raise UserError(
            f"{source} is for {kind.title}, whose networks are not exported so far. The file itself is "
            "safetensors with all metadata; fna.load reads it, and fna.load_backbone gives the adapted backbone alone"
        )
    network = load(source).to(memory_format=torch.contiguous_format)
    file = _target(Path(run_or_file), out, format, training)
    images, described = _images(Path(run_or_file), check_images, network.info)
    with whole(file) as temporary:
        runner = WRITERS[format](network, source, temporary)
        result = compare(network, runner, images) | {"images": described}
        _write_check(file, result)
        if not result["agrees"]:
            raise RuntimeError(
                f"the {format} file disagrees with PyTorch and was not kept: largest difference of logits "
                f"{result['max_difference']:.2g} (largest logit {result['max_logit']:.2g}), same class in "
                f"{result['equal_argmax']:.2%} of pixels. Details: {file.parent / 'check.json'}"
            )
    return file


def metadata(info: NetworkInfo) -> dict[str, str]:
    """What the file says of itself: `NetworkInfo.metadata` and how a picture becomes the input; values are JSON."""
    return info.metadata() | {
        "channel_order": json.dumps("RGB"),
        "layout": json.dumps("NCHW"),
        "scale": json.dumps(1 / 255),
        "preprocessing": json.dumps("(pixels * scale - mean) / std, float32"),
    }


@torch.inference_mode()
def compare(network: nn.Module, runner: Runner, images: Sequence[Tensor]) -> dict[str, Any]:
    """Logits of both on each image (3, H, W), and on the first one with its mirror image at another size."""
    first = images[0][None]
    other_size = [max(33, side * 3 // 4 + 1) for side in first.shape[2:]]
    smaller = F.interpolate(first, other_size, mode="bilinear", align_corners=False)
    batches = [*(image[None] for image in images), torch.cat([smaller, smaller.flip(-1)])]
    difference, largest, equal, pixels = 0.0, 0.0, 0, 0
    for batch in batches:
        ours, theirs = network(batch), runner(batch)
        if ours.shape != theirs.shape:
            raise RuntimeError(f"the exported file gives {tuple(theirs.shape)}, PyTorch {tuple(ours.shape)}")
        # A nan counts as the largest number: max() may drop it, and JSON has neither nan nor infinity.
        difference = max(difference, (ours - theirs).abs().nan_to_num(nan=torch.finfo(ours.dtype).max).max().item())
        largest = max(largest, ours.abs().max().item())
        same = ours.argmax(1) == theirs.argmax(1)
        equal, pixels = equal + int(same.sum()), pixels + same.numel()
    agrees = difference <= LARGEST_DIFFERENCE * largest and equal >= LEAST_EQUAL * pixels
    return {
        "agrees": agrees,
        "max_difference": difference,
        "max_logit": largest,
        "equal_argmax": equal / pixels,
        "shapes": [list(batch.shape) for batch in batches],
    }


def _write_onnx(network: TrainedNetwork, source: Path, file: Path) -> Runner:
    import onnxruntime
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    program = torch.onnx.export(
        network,
        (_example(),),
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=_dynamic(network.info),
    )
    assert program is not None
    # Every node comes with the stack trace that made it: paths of this machine, and most of a small file.
    ClearMetadataAndDocStringPass()(program.model)
    program.model.metadata_props.update(metadata(network.info))
    program.save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def _write_pt2(network: TrainedNetwork, source: Path, file: Path) -> Runner:
    program = torch.export.export(network, (_example(),), dynamic_shapes=_dynamic(network.info))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    torch.export.save(program, file, extra_files={"metadata.json": json.dumps(metadata(network.info))})
    return torch.export.load(file).module()


def _write_safetensors(network: TrainedNetwork, source: Path, file: Path) -> Runner:
    copyfile(source, file)
    return load(file)


WRITERS: dict[str, Callable[[TrainedNetwork, Path, Path], Runner]] = {
    "onnx": _write_onnx,
    "pt2": _write_pt2,
    "safetensors": _write_safetensors,
}


def _example() -> Tensor:
    """Any size does: only shapes are traced, and they are symbols."""
    return torch.zeros(2, 3, 64, 96)


def _dynamic(info: NetworkInfo) -> tuple[dict[int, Any]]:
    """Free batch, height and width; the deepest feature map has more than one pixel."""
    least = info.design.output_stride + 1
    dims = torch.export.Dim("batch"), torch.export.Dim("height", min=least), torch.export.Dim("width", min=least)
    return ({0: dims[0], 2: dims[1], 3: dims[2]},)


def _target(source: Path, out: str | Path | None, format: str, training: str) -> Path:
    if out is None:
        folder, name = (
            (source, "model" if training == "train" else training) if source.is_dir() else (source.parent, source.stem)
        )
        return folder / "export" / f"{name}.{format}"
    if Path(out).suffix != f".{format}":
        raise UserError(f"the output file {out} must end in .{format}")
    return Path(out)


def _images(source: Path, given: Sequence[str | Path], info: NetworkInfo) -> tuple[list[Tensor], list[str]]:
    """Images for the check at the network's own size, and what they are."""
    files, reason = list(map(Path, given)), "a file and not a run was given"
    if not files and source.is_dir():
        files, reason = _validation_images(source, info.task)
    if files:
        return [prepare(read_image(file), info, info.design.imgsz) for file in files], [str(file) for file in files]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, *info.design.imgsz), dtype=torch.uint8, generator=generator)
    return [prepare(noise, info)], [f"noise: {reason}"]


def _validation_images(run: Path, task: str) -> tuple[list[Path], str]:
    """Some validation images of the run's data, or why there are none."""
    description = run / "run.json"
    if not description.is_file():
        return [], f"{description} does not exist, so the run's data are unknown"
    try:
        samples = open_data(json.loads(description.read_text(encoding="utf-8"))["data"], task).splits.get("val", ())
    except UserError as error:
        return [], f"the run's data cannot be opened ({error})"
    files = [sample.image for sample in samples]
    return files[:: max(1, len(files) // CHECK_IMAGES)][:CHECK_IMAGES], "the run's data have no validation images"


def _write_check(file: Path, result: dict[str, Any]) -> None:
    """Add the result to check.json, which has one entry per exported file."""
    path = file.parent / "check.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_json(path, before | {file.name: result})
