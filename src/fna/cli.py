"""The command line: one verb, one function; torch is imported by the verbs that need it."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from fna import __version__
from fna.errors import Interrupted, UserError, unknown


class Parser(argparse.ArgumentParser):
    """argparse with errors as UserError, and the nearest flag as a suggestion."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(_with_suggestion(message, [flag for action in self._actions for flag in action.option_strings]))


def _one_line(message: str) -> str:
    """What jsonargparse and pydantic say over several lines about one flag, as one line."""
    key = re.search(r'Parser key "([\w.]+)"', message)
    if not key:
        return message
    found = re.search(r"Value error, (.+?)(?: \[type|\n|$)|(Input should .+?) \[type|(Expected a [^\n]+)", message)
    got = re.search(r"Got value: (.*)", message)
    detail = next(text for text in found.groups() if text) if found else " ".join(message.split())
    return f"--{key[1]}: {detail.removesuffix('.')}" + (f" (got {got[1]})" if got and "Got value" not in detail else "")


def _with_suggestion(message: str, flags: Sequence[str]) -> str:
    wrong = [word.split("=")[0] for word in message.split() if word.startswith("--")]
    near = get_close_matches(wrong[0], flags, n=1) if "unrecognized" in message and wrong else []
    return f"{message}; did you mean {near[0]}?" if near else message


@dataclass(frozen=True)
class Verb:
    """A verb: what it says of itself, and the function that gets the words after it."""

    help: str
    main: Callable[[list[str]], int]


def check(words: list[str]) -> int:
    """Exit status 1 when the data has errors."""
    parser = Parser(prog="fna check", description="Find the layout, count, and name everything that is wrong.")
    parser.add_argument("data", help="folder or YAML file")
    parser.add_argument("--task", choices=("seg", "det"), help="for data that has both: seg, the masks; det, the boxes")
    args = parser.parse_args(words)
    from fna.data.check import check as check_data
    from fna.data.layouts import open_data

    report = check_data(open_data(args.data, args.task))
    print(report.text())
    return 1 if report.errors else 0


def count(words: list[str]) -> int:
    """Counts from the data alone, no torch."""
    parser = Parser(prog="fna count", description="Parameters and multiply-adds of an architecture.")
    parser.add_argument(
        "arch", help="zoo name (mobilenet_v2, mobilenet_v2_w035, fna_deeplabv3 ...), JSON file or run folder"
    )
    parser.add_argument(
        "--head",
        default="none",
        help="classifier, deeplabv3, deeplabv3plus, ssdlite, retinanet, or none: the backbone alone",
    )
    parser.add_argument("--imgsz", default="224", help="HxW, one number is a square")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--os", type=int, help="output stride; default 16 for the DeepLab heads, else 32")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(words)
    from fna.arch import heads
    from fna.arch.arch import parse_imgsz
    from fna.arch.cost import count_backbone, count_model
    from fna.arch.zoo import find_arch

    arch, imgsz = find_arch(args.arch), parse_imgsz(args.imgsz)
    if args.classes < 1:
        raise UserError(f"--classes must be at least 1, got {args.classes}")
    stride = heads.DEFAULT_OUTPUT_STRIDE.get(args.head, 32) if args.os is None else args.os
    head = None if args.head == "none" else heads.describe(args.head, arch, args.classes, stride)
    whole, backbone = count_model(arch, head, imgsz, stride), count_backbone(arch, imgsz, stride)
    if args.json:
        print(json.dumps(whole.as_dict() | {"backbone": backbone.as_dict()}, indent=1))
        return 0
    print(
        f"{args.arch} + {args.head}, {imgsz[0]}x{imgsz[1]}, output stride {stride}"
        + (f", {args.classes} classes" if head else "")
    )
    for name, part in (("whole model", whole), ("backbone", backbone)):
        print(f"  {name:<12} {part.params:>14,} params  {part.madds:>18,} MAdds")
    return 0


def _job_parser(verb: str, description: str) -> Any:
    import jsonargparse

    from fna.config import Config, recipe_path

    class JobParser(jsonargparse.ArgumentParser):
        """jsonargparse with errors as UserError, and the nearest flag as a suggestion."""

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise UserError(_with_suggestion(_one_line(message), [f for a in self._actions for f in a.option_strings]))

    class RecipeAction(jsonargparse.ActionConfigFile):  # type: ignore[name-defined]  # untyped there
        """A configuration file, or a recipe of the package by its name."""

        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
            super().__call__(parser, namespace, str(recipe_path(values)), option_string)

    parser = JobParser(prog=f"fna {verb}", description=description, allow_abbrev=False)
    parser.add_argument("data", nargs="?", help="folder of images with masks or boxes, or a YAML file")
    parser.add_argument("--recipe", action=RecipeAction, help="a recipe's name, or a YAML file; flags after it win")
    parser.add_argument(
        "--out", default="runs/run", help="new run folder; where it exists, the next free number is used"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with an interrupted run, with its own configuration")
    if verb == "train":
        parser.add_argument("--arch", default="seed", help="seed, a JSON file, a run folder or a zoo name")
    parser.add_class_arguments(Config, fail_untyped=False)
    return parser


PROCESS_KEYS = ("device", "threads", "workers", "checkpoint_minutes")
"""Keys that a resumed run may change; device and threads can change the last bits of results, the others nothing."""


def job(verb: str, description: str) -> Callable[[list[str]], int]:
    """The main function of a verb that makes a run folder."""

    def main(words: list[str]) -> int:
        parser = _job_parser(verb, description)
        args = parser.parse_args(words).as_dict()
        from fna.config import from_data

        data, out, resume, arch = (args.pop(key, None) for key in ("data", "out", "resume", "arch"))
        args.pop("recipe", None)
        config = from_data(args)
        if (data is None) == (resume is None):
            raise UserError(f"fna {verb} needs a data folder, or --resume RUN")
        from fna import pipeline

        if resume is not None:
            given = {key for key in PROCESS_KEYS if any(w == f"--{key}" or w.startswith(f"--{key}=") for w in words)}
            others = [w for w in words if w.startswith("--") and w.split("=")[0][2:] not in {*PROCESS_KEYS, "resume"}]
            if others:
                raise UserError(
                    f"{others[0]}: a resumed run keeps its own configuration; only {', '.join(PROCESS_KEYS)} may change"
                )
            saved_verb, work, arch = pipeline.reopen(resume, **{key: getattr(config, key) for key in given})
            if saved_verb != verb:
                raise UserError(
                    f"{resume} was made by fna {saved_verb}; go on with: fna {saved_verb} --resume {resume}"
                )
        else:
            work = pipeline.start(verb, data, out, config, arch)
        pipeline.execute(verb, work, arch)
        return 0

    return main


def val(words: list[str]) -> int:
    """Evaluate the best network of a run again."""
    parser = Parser(prog="fna val", description="Evaluate a run's best network on its validation images.")
    parser.add_argument("run")
    parser.add_argument("--stage", default="train", help="train, seed, or train-BUDGET")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(words)
    from fna.pipeline import validate

    result = validate(args.run, args.stage, device=args.device)
    values = [*result["per_class"].items(), *((n, v) for n, v in result.items() if n != "score")]
    for name, value in values:
        if value is None or isinstance(value, float):
            print(f"  {name:<20} {'–' if value is None else f'{100 * value:5.1f}'}")
    return 0


def predict(words: list[str]) -> int:
    """Masks or boxes for images."""
    parser = Parser(prog="fna predict", description="Write the mask or the boxes of each image, drawn and raw.")
    parser.add_argument("run", help="run folder or safetensors file")
    parser.add_argument("images", nargs="+", help="image files or folders")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--stage", default="train", help="train, seed, or train-BUDGET")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args = parser.parse_args(words)
    from fna.predict import predict as predict_images

    written = predict_images(args.run, [Path(image) for image in args.images], Path(args.out), args.device, args.stage)
    print(f"{len(written)} image(s) -> {args.out}")
    return 0


def export(words: list[str]) -> int:
    """Write and check a network in another format."""
    parser = Parser(prog="fna export", description="Export a run's best network; the file is checked against PyTorch.")
    parser.add_argument("run", help="run folder or safetensors file")
    parser.add_argument("--format", default="onnx", help="onnx, safetensors or pt2")
    parser.add_argument("--out", help="file to write; default RUN/export/model.FORMAT")
    parser.add_argument("--stage", default="train", help="train, seed, or train-BUDGET")
    args = parser.parse_args(words)
    from fna.export import export as export_network

    print(export_network(args.run, args.format, args.out, stage=args.stage))
    return 0


def report(words: list[str]) -> int:
    """One run's report, or a table over many runs."""
    parser = Parser(prog="fna report", description="Write RUN/report.md; with --into, a table over all runs given.")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--into", metavar="FILE", help="replace a marked section of this Markdown file by the table")
    parser.add_argument("--section", default="results", help="name of the marked section")
    parser.add_argument("--brief", action="store_true", help="without architectures and commands")
    args = parser.parse_args(words)
    from fna.report import replace_section, results, write_report

    folders = [Path(run) for run in args.runs]
    if args.into:
        replace_section(Path(args.into), args.section, results(folders, args.section, args.brief))
        print(args.into)
        return 0
    for folder in folders:
        print(write_report(folder))
    return 0


def derive(words: list[str]) -> int:
    """Further architectures from a finished search."""
    parser = Parser(prog="fna derive", description="Derive architectures under other budgets from a run's search.")
    parser.add_argument("run")
    parser.add_argument("--budget", required=True, help="whole-model MAdds, such as 0.5G,0.6G")
    args = parser.parse_args(words)
    from fna.pipeline import derive_again

    derive_again(args.run, args.budget)
    return 0


def demo(words: list[str]) -> int:
    """The whole pipeline on drawn scenes."""
    parser = Parser(
        prog="fna demo", description="Draw scenes, pretrain a small seed, adapt it, report; offline, about 3 minutes."
    )
    parser.add_argument("--task", choices=("seg", "det"), default="seg", help="seg: masks (default); det: boxes")
    parser.add_argument("--out", default="runs/demo")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    args = parser.parse_args(words)
    from fna.demo import demo as run_demo

    run_demo(args.out, args.seed, task=args.task)
    return 0


VERBS = {
    "demo": Verb("the whole pipeline on built-in synthetic images, offline", demo),
    "check": Verb("layout, counts, class histogram, and what is wrong with the data", check),
    "adapt": Verb(
        "search, derive, fine-tune and compare with the seed: all stages",
        job("adapt", "Adapt a pretrained network's architecture and parameters to a folder of images."),
    ),
    "search": Verb("search and derive only", job("search", "Search an architecture for a folder of images.")),
    "derive": Verb("other budgets from a finished search", derive),
    "train": Verb(
        "fine-tune any architecture from the remapped seed",
        job("train", "Fine-tune an architecture, the seed's own as the baseline."),
    ),
    "val": Verb("evaluate a run", val),
    "predict": Verb("masks or boxes for images, drawn and raw", predict),
    "export": Verb("ONNX, safetensors or pt2, checked", export),
    "report": Verb("write a run's report, or a table over runs", report),
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
        return VERBS[words[0]].main(words[1:])
    except UserError as error:
        if debug:
            raise
        print(f"fna: error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"fna: {stop}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("fna: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        print(f"fna: failed: {type(error).__name__}: {text} (--debug shows where)", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
