"""The command line: one verb, one function; torch is imported by the verbs that need it."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fna import __version__
from fna.errors import Interrupted, UserError, unknown
from fna.flags import PROCESS_KEYS, Parser, config_parser
from fna.tasks.kinds import TASKS


@dataclass(frozen=True)
class Verb:
    """A verb: what it says of itself, and the function that gets the words after it."""

    help: str
    main: Callable[[list[str]], int]


def check(words: list[str]) -> int:
    """Exit status 1 when the data has errors."""
    parser = Parser(prog="fna check", description="Find the layout, count, and name everything that is wrong.")
    parser.add_argument("data", help="folder or YAML file")
    learned = "; ".join(f"{kind.name}, the {kind.data}" for kind in TASKS.values())
    parser.add_argument("--task", choices=tuple(TASKS), help=f"for data that fit several: {learned}")
    args = parser.parse_args(words)
    from fna.data.check.check import check as check_data
    from fna.data.layouts.opening import open_data

    report = check_data(open_data(args.data, args.task))
    print(report.text())
    return 1 if report.errors else 0


def count(words: list[str]) -> int:
    """Counts from the data alone, no torch; a plain backbone is run."""
    parser = Parser(prog="fna count", description="Parameters, multiply-adds and peak activation memory of a network.")
    what = "design or architecture: a JSON file, a run folder, a zoo name (mobilenet_v2_w035 ...) or timm:NAME"
    parser.add_argument("network", metavar="NETWORK", help=what)
    heads = "fpn, lraspp, deeplabv3, ssdlite, retinanet ... (docs/heads.md has all), with options as in"
    parser.add_argument("--head", help=f"{heads} 'fpn(width=64)'; default: the design's, else none: the backbone alone")
    parser.add_argument("--imgsz", help="HxW, one number is a square; default: the design's, else 224")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--os", type=int, help="output stride; default: the design's, else what the head has by itself")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(words)
    if args.classes < 1:
        raise UserError(f"--classes must be at least 1, got {args.classes}")
    from fna.arch.arch import Arch
    from fna.arch.heads import OutsideHead
    from fna.cost.measure import MEASURES
    from fna.cost.memory import peak_memory

    arch, design, imgsz, stride = counted(args.network, args.head, args.imgsz, args.os)
    head = None if design is None else design.described(args.classes)
    by_data = isinstance(arch, Arch) and not isinstance(head, OutsideHead)
    # Plain backbones and other libraries' heads are counted by running them, which needs torch.
    cost = import_module("fna.cost.count" if by_data else "fna.nn.cost")
    backbone = cost.count_backbone(arch, imgsz, stride)
    whole = backbone if design is None else cost.count(design, args.classes)
    # What convolutions read only layers and heads as data say.
    memory = {"memory": peak_memory(arch, head, imgsz, stride)} if by_data else {}
    if args.json:
        print(json.dumps(whole.as_dict() | memory | {"backbone": backbone.as_dict()}, indent=1))
        return 0
    if design is None:
        print(f"{args.network}, {imgsz[0]}x{imgsz[1]}, output stride {stride}")
    else:
        print(f"{design}, {args.classes} classes")
    for name, part in (("whole model", whole), ("backbone", backbone)):
        print(f"  {name:<12} {part.params:>14,} params  {part.madds:>18,} MAdds")
    for name, value in memory.items():
        print(f"  {f'peak {name}':<12} {MEASURES[name].text(value)}, one image")
    return 0


def counted(network: str, head: str | None, size: str | None, stride: int | None) -> tuple[Any, Any, Any, int]:
    """What is counted: backbone, design (None: the backbone alone), image size and output stride."""
    from fna.arch.arch import parse_imgsz
    from fna.arch.design import Design, find, is_found
    from fna.arch.heads import parse_head

    if is_found(network):
        found = find(network)
    else:
        from fna.nn.plain import describe_plain

        found = describe_plain(network)
    known = found if isinstance(found, Design) else None
    arch: Any = known.arch if known else found
    kind = parse_head(head) if head not in (None, "none") else known.head if known and head is None else None
    imgsz = parse_imgsz(size) if size else known.imgsz if known else (224, 224)
    if stride is None:
        own = known.output_stride if known and kind == known.head else None
        stride = own or (kind.output_stride if kind else 32)
    design = Design(known.seed if known else network, arch, kind, stride, imgsz, resize=True) if kind else None
    return arch, design, imgsz, stride


def job_parser(verb: str, description: str) -> Any:
    """The parser of a verb that makes a run folder."""
    parser = config_parser(f"fna {verb}", description, "runs/run", "new run folder; a number is added where it exists")
    parser.add_argument("--resume", metavar="RUN", help="go on with an interrupted run, with its own configuration")
    if verb == "train":
        parser.add_argument("--arch", default="seed", help="seed, or a JSON file, run folder or zoo name")
    return parser


def job(verb: str, description: str) -> Callable[[list[str]], int]:
    """The main function of a verb that makes a run folder."""

    def main(words: list[str]) -> int:
        parser = job_parser(verb, description)
        args = parser.parse_args(words).as_dict()
        from fna.config.files import from_data

        data, out, resume, arch = (args.pop(key, None) for key in ("data", "out", "resume", "arch"))
        args.pop("recipe", None)
        config = from_data(args)
        if (data is None) == (resume is None):
            raise UserError(f"fna {verb} needs a data folder, or --resume RUN")
        from fna import jobs, pipeline

        if resume is not None:
            given = {key for key in PROCESS_KEYS if any(w == f"--{key}" or w.startswith(f"--{key}=") for w in words)}
            others = [w for w in words if w.startswith("--") and w.split("=")[0][2:] not in {*PROCESS_KEYS, "resume"}]
            if others:
                raise UserError(
                    f"{others[0]}: a resumed run keeps its own configuration; only {', '.join(PROCESS_KEYS)} may change"
                )
            saved_verb, work, arch = jobs.reopen(resume, **{key: getattr(config, key) for key in given})
            if saved_verb != verb:
                raise UserError(
                    f"{resume} was made by fna {saved_verb}; go on with: fna {saved_verb} --resume {resume}"
                )
        else:
            work = jobs.start(verb, data, out, config, arch)
        pipeline.execute(verb, work, arch)
        return 0

    return main


def val(words: list[str]) -> int:
    """Evaluate the best network of a run again."""
    parser = Parser(prog="fna val", description="Evaluate a run's best network on its validation images.")
    parser.add_argument("run")
    parser.add_argument("--training", "--stage", dest="training", default="train", help="train, seed, or train-BUDGET")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--devices", type=int, default=1, help="processes that share the images")
    args = parser.parse_args(words)
    if args.devices < 1:
        raise UserError(f"--devices must be at least 1, got {args.devices}")
    from fna.config.files import load_config
    from fna.pipeline import validate

    result = validate(args.run, args.training, device=args.device, devices=args.devices, nodes=1)
    score = TASKS[load_config(Path(args.run) / "config.yaml").task].score
    values = [*result["per_class"].items(), *((n, v) for n, v in result.items() if n != "score")]
    for name, value in values:
        if value is None or isinstance(value, float):
            print(f"  {name:<20} {score.shown(value):>5}")
    return 0


def predict(words: list[str]) -> int:
    """Masks, boxes or classes for images."""
    parser = Parser(
        prog="fna predict", description="Write the mask or the boxes of each image, drawn and raw, or its classes."
    )
    parser.add_argument("run", help="run folder or safetensors file")
    parser.add_argument("images", nargs="+", help="image files or folders")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--training", "--stage", dest="training", default="train", help="train, seed, or train-BUDGET")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args = parser.parse_args(words)
    from fna.use.predict import predict as predict_images

    images = [Path(image) for image in args.images]
    written = predict_images(args.run, images, Path(args.out), args.device, args.training)
    print(f"{len(written)} image(s) -> {args.out}")
    return 0


def export(words: list[str]) -> int:
    """Write and check a network in another format."""
    parser = Parser(prog="fna export", description="Export a run's best network; the file is checked against PyTorch.")
    parser.add_argument("run", help="run folder or safetensors file")
    parser.add_argument("--format", default="onnx", help="onnx, safetensors or pt2")
    parser.add_argument("--out", help="file to write; default RUN/export/model.FORMAT")
    parser.add_argument("--training", "--stage", dest="training", default="train", help="train, seed, or train-BUDGET")
    args = parser.parse_args(words)
    from fna.use.export import export as export_network

    print(export_network(args.run, args.format, args.out, training=args.training))
    return 0


def report(words: list[str]) -> int:
    """One run's report, or a table over many runs."""
    parser = Parser(prog="fna report", description="Write RUN/report.md; with --into, a table over all runs given.")
    parser.add_argument("runs", nargs="+", help="run folders; with --into also one folder of a study")
    parser.add_argument("--into", metavar="FILE", help="replace a marked section of this Markdown file by the table")
    parser.add_argument("--section", default="results", help="name of the marked section")
    parser.add_argument("--brief", action="store_true", help="without architectures and commands")
    args = parser.parse_args(words)
    from fna.report import replace_section, section_of, write_report

    folders = [Path(run) for run in args.runs]
    if args.into:
        replace_section(Path(args.into), args.section, section_of(folders, args.section, args.brief))
        print(args.into)
        return 0
    for folder in folders:
        print(write_report(folder))
    return 0


def figure(words: list[str]) -> int:
    """A picture for a paper."""
    kinds = {"architectures": figure_architectures, "predictions": figure_predictions}
    parser = Parser(prog="fna figure", description="Figures for a paper; each kind has its own --help.")
    parser.add_argument("kind", choices=tuple(kinds))
    return kinds[parser.parse_args(words[:1]).kind](words[1:])


def figure_architectures(words: list[str]) -> int:
    """Architectures beside each other."""
    parser = Parser(prog="fna figure architectures", description="Draw architectures side by side, layer by layer.")
    parser.add_argument("archs", nargs="+", metavar="ARCH", help="zoo name, JSON file or run folder (seed and adapted)")
    parser.add_argument("--out", required=True, help="FILE.svg or FILE.png; both without a suffix")
    args = parser.parse_args(words)
    from fna.report.columns import figure_architectures as draw

    print("\n".join(map(str, draw(args.archs, args.out))))
    return 0


def figure_predictions(words: list[str]) -> int:
    """Predictions of a seed and of an adapted network beside input and truth."""
    parser = Parser(
        prog="fna figure predictions",
        description="Draw the validation images in which seed and adapted network differ most, whichever is better.",
    )
    parser.add_argument("run", metavar="RUN", help="run of fna adapt; with RUN2, the run of the first network")
    parser.add_argument("other", nargs="?", metavar="RUN2", help="run of the second network, such as the adapted one")
    parser.add_argument("--out", required=True, help="FILE.png, or a folder for the picture and the scores")
    parser.add_argument("--images", type=int, default=4, help="rows; default 4")
    parser.add_argument(
        "--training", "--stage", dest="training", default="train", help="of the second network: train, or train-BUDGET"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args = parser.parse_args(words)
    from fna.report.predictions import figure_predictions as draw

    comparison = draw(args.run, args.other, args.out, args.images, args.training, args.device)
    print(f"{comparison.text()}\n{args.out}")
    return 0


def derive(words: list[str]) -> int:
    """Further architectures from a finished search."""
    parser = Parser(prog="fna derive", description="Derive architectures under other budgets from a run's search.")
    parser.add_argument("run")
    parser.add_argument(
        "--budget", required=True, help="limits for the whole model, such as 0.5G,0.6G or 0.5G+params=2M"
    )
    args = parser.parse_args(words)
    from fna.pipeline import derive_again

    derive_again(args.run, args.budget)
    return 0


def demo(words: list[str]) -> int:
    """The whole pipeline on drawn scenes."""
    parser = Parser(
        prog="fna demo", description="Draw scenes, pretrain a small seed, adapt it, report; offline, about 3 minutes."
    )
    shown = [kind for kind in TASKS.values() if kind.recipe]
    learned = "; ".join(f"{kind.name}: {kind.data}" for kind in shown)
    parser.add_argument("--task", choices=[kind.name for kind in shown], default=shown[0].name, help=learned)
    parser.add_argument("--out", default="runs/demo")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    args = parser.parse_args(words)
    from fna.demo import demo as run_demo

    run_demo(args.out, args.seed, task=args.task)
    return 0


STUDIES = ("effectiveness", "strategies", "search", "cost", "tables")
"""The sub-verbs of `fna study`, each a module of `fna.study` with a `main`."""


def study(words: list[str]) -> int:
    """The paper's tables on the user's data."""
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: fna study {{{','.join(STUDIES)}}} ...   (fna study NAME --help has its flags)")
        return 0
    if words[0] not in STUDIES:
        raise unknown("study", words[0], STUDIES)
    return int(import_module(f"fna.study.{words[0]}").main(words[1:]))


VERBS = {
    "demo": Verb("the whole pipeline on built-in synthetic images, offline", demo),
    "check": Verb("layout, counts, class histogram, and what is wrong with the data", check),
    "adapt": Verb(
        "search, derive, fine-tune and compare with the seed",
        job("adapt", "Adapt a pretrained network's architecture and parameters to a folder of images."),
    ),
    "search": Verb("search and derive only", job("search", "Search an architecture for a folder of images.")),
    "derive": Verb("other budgets from a finished search", derive),
    "train": Verb(
        "fine-tune any architecture from the remapped seed",
        job("train", "Fine-tune an architecture, the seed's own as the baseline."),
    ),
    "val": Verb("evaluate a run", val),
    "predict": Verb("masks, boxes or classes for images", predict),
    "export": Verb("ONNX, safetensors or pt2, checked", export),
    "report": Verb("write a run's report, or a table over runs", report),
    "study": Verb("the paper's ablations and comparisons on your data, and what they cost", study),
    "figure": Verb("architectures, or predictions of seed and adapted network, side by side", figure),
    "count": Verb("parameters and MAdds of an architecture", count),
}


def usage() -> str:
    """The text of fna --help."""
    lines = [f"  {name:<8} {verb.help}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: fna VERB ... [--debug]",
            "",
            "Adapt a pretrained network to your own images.",
            "",
            *lines,
            "",
            "fna VERB --help has the flags of a verb. --debug shows the traceback of an error. --version",
        ]
    )


CLOSED_PIPE = 141
"""The exit status of what a shell ends by SIGPIPE."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a verb; a user's mistake is one line on stderr and exit status 2."""
    words = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    try:
        if words[0] not in VERBS:
            raise unknown("verb", words[0], VERBS)
        status = VERBS[words[0]].main(words[1:])
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read it has gone, as after `| head`: there is nothing left to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except UserError as error:
        if debug:
            raise
        return ended(2, f"fna: error: {error}", error)
    except Interrupted as stop:
        return ended(130, f"fna: {stop}", stop)
    except KeyboardInterrupt as stop:
        return ended(130, "fna: stopped", stop)
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        return ended(1, f"fna: failed: {type(error).__name__}: {text} (--debug shows where)", error)


def ended(status: int, text: str, error: BaseException) -> int:
    """Say why on stderr; of several processes one says it. The exit status."""
    processes = sys.modules.get("fna.runs.processes")  # without it there is one, and torch would be loaded for nothing
    if processes is not None:
        return int(processes.end(status, text, error))
    print(text, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
