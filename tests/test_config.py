"""Configs check what they are given and name what is wrong."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from dacapo.config import Config, UnknownConfig, build, field, implemented_by, unknown_parts
from dacapo.errors import InvalidConfig, MissingPlugin


@attrs.define(kw_only=True)
class Part(Config, kind="parts", builds="part_type"):
    """A part, for these tests."""

    part_type = implemented_by("json:JSONDecoder")
    size: Coordinate = field("Size in voxels.", default=Coordinate(1, 2, 3))


@attrs.define(kw_only=True)
class Whole(Config):
    """One field of every type that configs use."""

    part: Part | None = field("A part.", default=None)
    parts: list[Part] = field("Parts.", factory=list)
    flag: bool = field("A flag.", default=True)
    count: int = field("A count.", default=1)
    ratio: float = field("A ratio.", default=0.5)
    path: Path = field("A path.", default=Path("."))
    roi: Roi | None = field("A region.", default=None)
    span: tuple[float, float] = field("Two numbers.", default=(0.0, 1.0))
    mode: Literal["valid", "same"] = field("A mode.", default="valid")
    table: dict[str, int] = field("A table.", factory=dict)
    anything: Any = field("Anything.", default=None)


def test_values_are_brought_to_their_type():
    whole = Whole(
        "w", ratio=2, count=np.int64(3), path="a/b", roi=((0, 0), (4, 4)), span=[1, 2], flag=np.bool_(False)
    )
    assert (whole.ratio, type(whole.ratio)) == (2.0, float)
    assert (whole.count, type(whole.count)) == (3, int)
    assert whole.path == Path("a/b")
    assert whole.roi == Roi((0, 0), (4, 4))
    assert whole.span == (1.0, 2.0)
    assert whole.flag is False
    assert Part("p", size=[4, 5, 6]).size == Coordinate(4, 5, 6)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("ratio", "much", "should be a number"),
        ("count", 1.5, "should be a whole number"),
        ("count", True, "should be a whole number"),
        ("flag", "yes", "should be true or false"),
        ("path", 3, "should be a path"),
        ("roi", ((0,), (1,), (2,)), "pair of offset and shape"),
        ("span", [1, 2, 3], "should be 2 values"),
        ("mode", "full", "should be one of 'valid', 'same'"),
        ("parts", "abc", "should be a list"),
        ("part", Config("other"), "should be a Part"),
        ("table", {"a": "b"}, "invalid literal|whole number"),
    ],
)
def test_a_wrong_value_names_config_field_value_and_what_is_allowed(name, value, allowed):
    with pytest.raises(InvalidConfig, match=rf"Whole 'w': {name} = .*({allowed})"):
        Whole("w", **{name: value})


def test_a_coordinate_never_loses_fractions_silently():
    with pytest.raises(InvalidConfig, match="size"):
        Part("p", size=(4.6, 4.6, 50))


def test_configs_compare_by_value():
    assert Part("p", size=(1, 2, 3)) == Part("p", size=[1, 2, 3])
    assert Part("p") != Part("q")


def test_a_config_builds_the_component_that_it_names_lazily():
    sys.modules.pop("json.tool", None)

    class Lazy:
        tool = implemented_by("json.tool:main")

    assert "json.tool" not in sys.modules
    assert Lazy.tool.__name__ == "main"


def test_the_component_may_be_a_plain_class_too():
    @attrs.define(kw_only=True)
    class Plain(Part):
        """Its component is given outright."""

        part_type = str

    assert "Plain(name='p'" in build(Plain("p"))


def test_replace_returns_a_changed_copy():
    part = Part("p")
    assert part.replace(name="q").name == "q"
    assert part.name == "p"


def test_an_unknown_config_raises_its_reason_when_built():
    reason = MissingPlugin("acme is not here", kind="parts", name="acme.Part")
    unknown = UnknownConfig(document={"name": "u", "__type__": "acme.Part"}, reason=reason)
    assert unknown.name == "u"
    with pytest.raises(MissingPlugin):
        build(unknown)
    with pytest.raises(MissingPlugin):
        unknown.part_type(unknown)
    with pytest.raises(AttributeError, match="size of acme.Part 'u' cannot be known here"):
        _ = unknown.size


def test_unknown_parts_are_found_at_any_depth():
    reason = MissingPlugin("no", kind="parts", name="x")
    unknown = UnknownConfig(document={}, reason=reason)
    whole = Whole("w", parts=[Part("p"), unknown], anything={"deep": [unknown]})
    assert unknown_parts(whole) == [unknown, unknown]


def test_an_error_can_be_sent_to_another_process():
    reason = MissingPlugin("no", kind="parts", name="x")
    again = pickle.loads(pickle.dumps(reason))
    assert (str(again), again.kind, again.name) == ("no", "parts", "x")
