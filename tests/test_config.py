"""The configuration refuses what it does not know, and says what was meant."""

from pathlib import Path

import pytest

from fna.arch.heads.fpn import Fpn
from fna.config.config import Config
from fna.config.files import from_data, load_config, to_yaml
from fna.errors import UserError
from fna.flags import config_parser


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"bugdet": "1G"}, "unknown key 'bugdet'; did you mean 'budget'"),
        ({"search": {"epoch": 3}}, "did you mean 'search.epochs'"),
        ({"adapt": {"augment": {"crops": 3}}}, "did you mean 'adapt.augment.crop'"),
        ({"adapt": {"steps": 0}}, "adapt.steps is 0"),
        ({"imgsz": "axb"}, "image size 'axb' is not HxW"),
        ({"head": "unet"}, "head is 'unet'"),
        ({"remap": {"depth": "identity"}, "search": {"norm": "plain"}}, "remap.depth"),
        ([1], "a mapping of keys was expected"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_key_named(data: object, message: str) -> None:
    with pytest.raises(UserError, match="(?s)" + message.replace(".", r"\.")):
        from_data(data)


def test_sizes_and_budgets_are_written_as_people_write_them() -> None:
    config = from_data({"imgsz": "360x480", "budget": "0.5G,600M", "adapt": {"augment": {"crop": 320}}})
    assert config.imgsz == (360, 480)
    assert config.budget == ("0.5G", "600M")
    assert config.adapt.augment.crop == (320, 320)


def test_a_configuration_cannot_be_changed_after_it_was_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3


HEAD_IN_YAML = ["head: fpn(width=64, taps=8+16)", "head: {kind: fpn, width: 64, taps: [8, 16]}"]


@pytest.mark.parametrize("line", HEAD_IN_YAML)
def test_a_head_with_options_is_text_or_a_mapping_and_comes_back_from_the_written_file(
    tmp_path: Path, line: str
) -> None:
    recipe, written = tmp_path / "recipe.yaml", tmp_path / "config.yaml"
    recipe.write_text(line)
    flags = config_parser("fna train", "", "runs/run", "").parse_args(["data", "--recipe", str(recipe)]).as_dict()
    for config in (load_config(recipe), from_data({"head": flags["head"]})):
        assert config.head_kind == Fpn(width=64, taps=(8, 16))
        written.write_text(to_yaml(config))
        assert "head: fpn(width=64, taps=8+16)" in written.read_text()
        assert load_config(written) == config


def test_a_head_with_options_is_one_flag() -> None:
    words = ["data", "--head", "fpn(taps=8+16, width=64)"]
    flags = config_parser("fna train", "", "runs/run", "").parse_args(words).as_dict()
    assert from_data({"head": flags["head"]}).head == "fpn(width=64, taps=8+16)"
    with pytest.raises(UserError, match="unknown option of fpn 'widht'; did you mean 'width'"):
        config_parser("fna train", "", "runs/run", "").parse_args(["data", "--head", "fpn(widht=64)"])
