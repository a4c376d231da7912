"""A study as data: steps in order, each an ordinary run folder; what is finished is never done again."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fna import jobs, pipeline
from fna.arch.arch import Arch
from fna.arch.design import find_arch
from fna.config.config import Config
from fna.errors import UserError
from fna.files import read_json, write_json, write_text
from fna.flags import PROCESS_KEYS
from fna.report.files import RunFiles
from fna.report.groups import flat


@dataclass(frozen=True)
class Step:
    """One run of a study: a verb with changes of the study's configuration.

    A `train` step has the architecture `arch` (a zoo name, `seed`, a file of the user's or one that the plan makes), or
    that which the step `arch_of` derived. The network that the step `seed_of` trained takes the seed's place. `data` is
    given where it is not the study's.
    """

    name: str
    verb: str
    changes: dict[str, Any]
    arch: str | None = None
    arch_of: str | None = None
    seed_of: str | None = None
    data: str | None = None

    @property
    def needs(self) -> set[str]:
        """The steps that must be finished before this one."""
        return {name for name in (self.arch_of, self.seed_of) if name}


@dataclass(frozen=True)
class Study:
    """What is compared: `steps` in an order in which each comes after those that it needs."""

    name: str
    folder: Path
    data: str
    config: Config
    steps: tuple[Step, ...]
    archs: Mapping[str, Arch] = field(default_factory=dict)
    """Architectures that the plan itself made, by name: the file OUT/archs/NAME.json of each."""

    @cached_property
    def again(self) -> str:
        """What to type after an interruption."""
        return f"the same command (fna study {self.name} ... --out {self.folder})"

    def config_of(self, step: Step) -> Config:
        """The configuration of a step."""
        given = {"weights": str(self.folder / step.seed_of / "train/best.safetensors")} if step.seed_of else {}
        return pipeline.changed(self.config.model_dump(), step.changes | given)

    def arch_of(self, step: Step) -> str | None:
        """The architecture of a step, as the pipeline takes it."""
        if step.arch_of:
            return str(self.folder / step.arch_of / "design.json")
        made = {f"archs/{name}.json" for name in self.archs}
        return str(self.folder / step.arch) if step.arch in made else step.arch

    def finished(self, step: Step) -> bool:
        """Whether a step's run has all that it is to leave."""
        folder = self.folder / step.name
        return started(folder) and not RunFiles(folder).unfinished()

    def data_of(self, step: Step) -> str:
        """The folder of a step's images."""
        return step.data or self.data


def started(folder: Path) -> bool:
    """Whether a run folder has everything that a run writes before its first step (its last file is this one)."""
    return (folder / "seed-design.json").is_file()


def write_plan(study: Study) -> None:
    """Write OUT/study.json; where there is one, it must be the same study, which then goes on.

    Raises UserError where a configuration is wrong, before anything runs, and where OUT is another study or no study.
    """
    if len(study.config.budget) > 1:
        raise UserError(f"budget is {', '.join(study.config.budget)}; a study compares under one budget, so give one")
    for step in study.steps:
        study.config_of(step)
    path = study.folder / "study.json"
    plan = {
        "study": study.name,
        "data": str(Path(study.data).resolve()),
        "config": study.config.model_dump(mode="json", exclude=set(PROCESS_KEYS)),
        "steps": [{key: value for key, value in asdict(step).items() if value is not None} for step in study.steps],
    }
    written = read_json(path)
    if written is None:
        if study.folder.is_dir() and any(file.name != "archs" for file in study.folder.iterdir()):
            raise UserError(f"{study.folder} is not empty and no study (it has no study.json); give another --out")
        for name, arch in study.archs.items():
            write_text(study.folder / f"archs/{name}.json", arch.to_json())
        write_json(path, plan)
        return
    before, now = plan_values(written), plan_values(json.loads(json.dumps(plan)))
    for key in before | now:
        # A key of the configuration that only one of two versions has is no difference.
        same_version = key in before and key in now or key.startswith("steps.")
        if same_version and before.get(key) != now.get(key):
            raise UserError(
                f"{key} was {before.get(key)!r} when the study {study.folder} began, now it is {now.get(key)!r}; "
                "a study goes on with the same command only, so give another --out"
            )


def plan_values(plan: dict[str, Any]) -> dict[str, Any]:
    """What is in study.json by dotted key, the steps by name."""
    return flat(plan | {"steps": {step["name"]: step for step in plan["steps"]}})


def run_step(study: Study, step: Step, device: str) -> None:
    """Do one step, or the rest of it; nothing where it is finished."""
    folder = study.folder / step.name
    process = {key: getattr(study.config, key) for key in PROCESS_KEYS} | {"device": device}
    if study.finished(step):
        return
    arch = study.arch_of(step)
    if started(folder):
        verb, job, arch = jobs.reopen(folder, **process)
    else:
        # A process that was killed while it made the folder leaves the beginning of one.
        shutil.rmtree(folder, ignore_errors=True)
        same = twin(study, step)
        if same is not None:
            copy_run(study.folder / same.name, folder)
            return
        verb, config = step.verb, study.config_of(step).model_copy(update=process)
        job = jobs.start(verb, study.data_of(step), folder, config, arch)
    job.run.again = study.again
    pipeline.execute(verb, job, arch)


def twin(study: Study, step: Step) -> Step | None:
    """A finished step whose result is this one's: the same network, start, data and schedule, by another way."""

    def identity(other: Step) -> tuple[Any, ...]:
        keys = {"search", "budget", "baseline", *PROCESS_KEYS}
        config = study.config_of(other).model_dump(mode="json", exclude=keys)
        if config["adapt"]["init"] != "remap":
            del config["remap"]
        text = study.arch_of(other)
        return config, study.data_of(other), text if text in (None, "seed") else find_arch(str(text))

    if step.verb != "train":
        return None
    others = [other for other in study.steps if other.verb == "train" and other.name != step.name]
    ready = [other for other in others if study.finished(other)]
    return next((other for other in ready if identity(other) == identity(step)), None)


def copy_run(run: Path, folder: Path) -> None:
    """Copy a finished run, whole or not at all, and write so into its log."""
    print(f"{folder.name} is the same network, start and schedule as {run.name}: copied", flush=True)
    temporary = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(run, temporary)
    with (temporary / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"copied from {run.name}: the same network, start, data and schedule\n")
    temporary.rename(folder)
