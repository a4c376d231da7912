"""`python -m benchmarks`: measure, and write results.json and results.md."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from benchmarks.measurement import Measurement, joined
from benchmarks.rows import Finding
from benchmarks.settings import Settings
from benchmarks.suite import BENCHMARKS, EXTRA
from fna.errors import UserError, unknown
from fna.files import write_text
from fna.report import replace_section
from fna.runs.machine import environment


def main(words: Sequence[str] | None = None) -> int:
    """Returns 2 where a flag is wrong, else 0: a wish that is not reached is a figure, and no error."""
    args = parse(words)
    names = args.names or list(BENCHMARKS)
    try:
        for name in names:
            if name not in BENCHMARKS | EXTRA:
                raise unknown("benchmark", name, BENCHMARKS | EXTRA)
        earlier = [Measurement.read(Path(file)) for file in args.join]
        text = measure(names, settings_of(args), Path(args.out), earlier)
        if args.into:
            replace_section(args.into, args.section, text)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = f"{', '.join(BENCHMARKS)} (default: these), {', '.join(EXTRA)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    parser.add_argument("--out", default="runs/bench", help="folder of results.json and results.md")
    parser.add_argument("--into", metavar="FILE", help="also replace a marked section of this file")
    parser.add_argument("--section", default="benchmarks", metavar="NAME", help="which one (default: %(default)s)")
    parser.add_argument(
        "--join", nargs="*", default=[], metavar="FILE", help="earlier results.json, for the same table"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--minutes", type=float, default=8.0, help="time that `paper` may take")
    parser.add_argument("--runs", nargs="*", default=[], metavar="RUN", help="run folders whose cost.json is read")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", help="fewer rounds and cases")
    size.add_argument(
        "--tiny", dest="size", action="store_const", const="tiny", help="tiny shapes: does all of it work?"
    )
    parser.set_defaults(size="full")
    return parser.parse_args(words)


def settings_of(args: argparse.Namespace) -> Settings:
    """Checked, with the threads set; raises UserError."""
    if args.device not in ("cpu", "cuda"):
        raise UserError(f"--device is {args.device!r}; write cpu or cuda")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device is cuda, but torch sees no CUDA device here; use --device cpu")
    if args.threads < 1 or args.minutes <= 0:
        raise UserError(f"--threads {args.threads} and --minutes {args.minutes:g} must be above zero")
    torch.set_num_threads(args.threads)
    return Settings(args.device, args.threads, args.size, tuple(map(Path, args.runs)), args.minutes)


def measure(names: Sequence[str], settings: Settings, out: Path, earlier: Sequence[Measurement] = ()) -> str:
    """The table. results.json and results.md are written anew after every row: what is measured is kept."""
    rows, text = list[Finding](), ""

    def keep() -> str:
        found = Measurement(machine_of(settings), tuple(rows))
        found.write(out / "results.json")
        table = joined([*earlier, found])
        write_text(out / "results.md", f"# Benchmarks\n\n{table}")
        return table

    for name in names:
        start = monotonic()
        for row in (BENCHMARKS | EXTRA)[name](settings):
            rows.append(row)
            keep()
        text = keep()
        print(f"{name}: {monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return text


def machine_of(settings: Settings) -> dict[str, Any]:
    """Machine, versions, threads and date."""
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    return environment() | {
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}".strip(),
        "device": settings.device,
        "threads": settings.threads,
        "size": settings.size,
        "date": date,
    }


if __name__ == "__main__":
    sys.exit(main())
