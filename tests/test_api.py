"""The names that users import."""

import inspect

import fna


def test_every_public_name_is_there_and_verbs_are_functions() -> None:
    for name in fna.__all__:
        assert getattr(fna, name) is not None
    for verb in (
        "adapt",
        "check",
        "derive",
        "expand",
        "export",
        "load",
        "predict",
        "remap",
        "report",
        "search",
        "train",
    ):
        assert inspect.isfunction(getattr(fna, verb)), verb


def test_the_parts_are_usable_alone() -> None:
    seed = fna.mobilenet_v2()
    space = fna.expand(seed)
    assert space.pick(space.path_of(seed)) == seed
