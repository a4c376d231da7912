"""A head kind with its options is a value: text and JSON give it back, and what is wrong is said with its remedy."""

import pytest

from fna.arch.heads import HEADS, head_from_data, parse_head
from fna.arch.heads.fpn import Fpn
from fna.errors import UserError


@pytest.mark.parametrize("name", sorted(HEADS))
def test_text_and_json_of_every_kind_give_it_back(name: str) -> None:
    kind = parse_head(name)
    assert str(kind) == name, "options of its own are not said"
    assert parse_head(str(kind)) == kind
    assert head_from_data(kind.as_dict()) == kind


def test_options_are_written_where_they_are_not_the_kinds_own() -> None:
    kind = parse_head(" fpn( taps=8+16 , width=64 ) ")
    assert kind == Fpn(width=64, taps=(8, 16))
    assert str(kind) == "fpn(width=64, taps=8+16)"
    assert kind.as_dict() == {"kind": "fpn", "width": 64, "taps": [8, 16]}
    assert parse_head("deeplabv3plus(light=true)").as_dict()["light"] is True
    assert hash(kind) == hash(Fpn(64, (8, 16)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fnp", "unknown head 'fnp'; did you mean 'fpn'"),
        ("fpn(widht=3)", "unknown option of fpn 'widht'; did you mean 'width'"),
        ("fpn(width=0)", "fpn: width must be a whole number of at least 1, got 0"),
        ("fpn(width=3.5)", "fpn: width must be a whole number of at least 1, got '3.5'"),
        ("fpn(taps=16+8)", "fpn: taps are strides from fine to coarse"),
        ("fpn(taps=)", "'taps=' is no option; write key=value"),
        ("fpn(width=8, width=9)", "width is given twice"),
        ("deeplabv3plus(light=maybe)", "light must be true or false, got 'maybe'"),
        ("fpn(width=64", "write a name, or a name with options"),
    ],
)
def test_what_is_wrong_with_a_head_is_said(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        parse_head(text)
    assert complaint in str(error.value)


def test_a_head_in_json_is_read_strictly() -> None:
    with pytest.raises(UserError, match="unknown option of lraspp 'taps'; did you mean 'tap'"):
        head_from_data({"kind": "lraspp", "taps": [8]})
    with pytest.raises(UserError, match="taps must be whole numbers"):
        head_from_data({"kind": "fpn", "taps": [8, "16"]})
    with pytest.raises(UserError, match="head must be an object with its 'kind'"):
        head_from_data("fpn")
