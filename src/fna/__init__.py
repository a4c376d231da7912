"""Adapt the architecture and the parameters of a pretrained network to your own images.

Verbs of the command line are functions here under the same names, and parts are usable alone: docs/python.md has all.
Names are imported when they are first used, so that `import fna` loads no torch; it also says how torch's threads wait
(`fna.threads`), for which it has to come first.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from fna.threads import wait_politely

__version__ = "0.1.0"
wait_politely()

_WHERE = {
    "Arch": "fna.arch.arch",
    "Budget": "fna.cost.budget",
    "Config": "fna.config.config",
    "Design": "fna.arch.design",
    "UserError": "fna.errors",
    "adapt": "fna.pipeline",
    "build": "fna.nn.network",
    "check": "fna.data.check.check",
    "check_task": "fna.tasks.contract",
    "count": "fna.nn.cost",
    "demo": "fna.demo",
    "derive": "fna.pipeline:derive_again",
    "expand": "fna.arch.space",
    "export": "fna.use.export",
    "figure_architectures": "fna.report.columns",
    "figure_predictions": "fna.report.predictions",
    "load": "fna.use.load",
    "load_backbone": "fna.use.load",
    "load_seed": "fna.weights.seeds:load_file",
    "mobilenet_v2": "fna.arch.zoo",
    "open_data": "fna.data.layouts.opening",
    "parse_head": "fna.arch.heads",
    "predict": "fna.use.predict",
    "remap": "fna.weights.remap",
    "report": "fna.report:write_report",
    "search": "fna.pipeline",
    "train": "fna.pipeline",
    "val": "fna.pipeline:validate",
}

__all__ = ["__version__", *sorted(_WHERE)]  # noqa: PLE0604  # names, all strings


class _Package(ModuleType):
    """Several verbs share their name with the module that implements them; `fna.NAME` is always the function."""

    def __getattribute__(self, name: str) -> Any:
        if name not in _WHERE:
            return super().__getattribute__(name)
        module, _, attribute = _WHERE[name].partition(":")
        return getattr(import_module(module), attribute or name)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return __all__
