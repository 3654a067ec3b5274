"""Configs become documents and come back without loss, whatever is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import bson
import pytest
import yaml
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st

from dacapo.config import Config, UnknownConfig, field
from dacapo.documents import Documents, from_json, to_json
from dacapo.errors import AmbiguousPlugin, BrokenPlugin, InvalidDocument, MissingPlugin, OutdatedPlugin
from dacapo.registry import Offer, Registry


@attrs.define(kw_only=True)
class Tool(Config, kind="tools"):
    """A kind of its own, for these tests."""


@attrs.define(kw_only=True)
class Knife(Tool):
    """One field of each sort that documents have to keep."""

    retired = frozenset({"handle"})

    size: Coordinate = field("Size.", default=Coordinate(1, 2, 3))
    roi: Roi | None = field("Region.", default=None)
    path: Path = field("Path.", default=Path("a/b"))
    pair: tuple[float, float] = field("Pair.", default=(0.0, 1.0))
    many: tuple[int, ...] = field("Many.", default=())
    loose: Any = field("Anything.", default=None)
    options: dict[str, Any] = field("Options.", factory=dict)
    tools: list[Tool] = field("Nested.", factory=list)
    best: Tool | None = field("Nested, maybe.", default=None)
    steps: list[tuple[str, list[int]]] = field("As groupings are.", factory=list)


HERE = f"{__name__}:"
KNIFE = Offer("tools", "acme.Knife", HERE + "Knife", "acme-tools", "1.4.2")
READS = {
    "memory": lambda document: document,
    "JSON": lambda document: from_json(to_json(document)),
    "YAML": lambda document: yaml.safe_load(yaml.safe_dump(document)),
    "BSON": lambda document: bson.decode(bson.encode(document)),
}


@pytest.fixture
def documents() -> Documents:
    return Documents(Registry([KNIFE]))


@pytest.fixture(params=READS)
def through(request):
    return READS[request.param]


def test_everything_comes_back(documents, through):
    knife = Knife(
        "k",
        size=(4, 5, 6),
        roi=Roi((0, None), (3, None)),
        path="/data/x.zarr",
        pair=(math.inf, -math.inf),
        many=(1, 2, 3),
        loose=(1, ["a", (2.5, None)], {"deep": (True,)}),
        options={"var": (0.1, 0.2), "mode": "gaussian"},
        tools=[Knife("inner", pair=(1, 2))],
        best=Knife("best"),
        steps=[("mito", [1, 2]), ("er", [])],
    )
    assert documents.read(through(documents.write(knife)), Tool) == knife


def test_nan_comes_back(documents, through):
    knife = documents.read(through(documents.write(Knife("k", pair=(math.nan, 0)))), Tool)
    assert math.isnan(knife.pair[0])


def test_json_is_strict():
    text = to_json({"a": [math.nan, math.inf, 1.0]})
    assert "NaN" not in text
    assert "Infinity" not in text
    assert from_json(text)["a"][1] == math.inf


def test_a_document_says_its_type_and_where_it_comes_from(documents):
    document = documents.write(Knife("k"))
    assert document["__type__"] == "acme.Knife"
    assert document["__from__"] == "acme-tools==1.4.2"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_any_plain_value_keeps_its_shape(value):
    documents = Documents(Registry([KNIFE]))
    knife = Knife("k", loose=value)
    for through in READS.values():
        if through is not READS["BSON"] or "\x00" not in repr(value):
            assert documents.read(through(documents.write(knife)), Tool).loose == value


ABSENT = {"__type__": "gone.Saw", "__from__": "gone-tools==2.0", "name": "s", "teeth": [1, {"a": None}]}


def kept(documents: Documents, document: dict[str, Any], reason: type[Exception]) -> UnknownConfig:
    config = documents.read(document, Tool)
    assert isinstance(config, UnknownConfig)
    assert isinstance(config.reason, reason)
    assert documents.write(config) == document
    return config


def test_occasion_one_nobody_offers_the_type(documents, through):
    config = kept(documents, through(ABSENT), MissingPlugin)
    assert "pip install 'gone-tools==2.0'" in str(config.reason)
    assert config.name == "s"


def test_occasion_two_importing_it_fails(through):
    documents = Documents(Registry([Offer("tools", "gone.Saw", "no_such_module:Saw", "gone-tools", "2.0")]))
    kept(documents, through(ABSENT), BrokenPlugin)


def test_occasion_three_two_packages_offer_it(through):
    rivals = [
        Offer("tools", "gone.Saw", HERE + cls, dist, "1") for cls, dist in (("Knife", "a"), ("Tool", "b"))
    ]
    kept(Documents(Registry(rivals)), through(ABSENT), AmbiguousPlugin)


def test_occasion_four_fields_from_the_future(documents, through):
    config = kept(documents, through(documents.write(Knife("k")) | {"sharpness": 3}), OutdatedPlugin)
    assert "does not know the field sharpness of acme.Knife 'k'" in str(config.reason)


def test_unknown_configs_nested_in_known_ones_go_through_word_for_word(documents, through):
    document = documents.write(Knife("k")) | {"tools": [ABSENT], "best": ABSENT}
    knife = documents.read(through(document), Tool)
    assert isinstance(knife, Knife)
    assert isinstance(knife.best, UnknownConfig)
    assert documents.write(knife) == document


def test_a_field_given_up_on_purpose_does_not_make_a_document_unknown(documents):
    knife = documents.read(documents.write(Knife("k")) | {"handle": "wood"}, Tool)
    assert isinstance(knife, Knife)


def test_keys_with_a_leading_underscore_are_read(documents):
    document = documents.write(Knife("k"))
    document["_size"] = document.pop("size")
    assert documents.read(document, Tool).size == Coordinate(1, 2, 3)


def test_missing_fields_take_their_defaults_and_missing_names_are_errors(documents):
    assert documents.read({"__type__": "acme.Knife", "name": "k"}, Tool) == Knife("k")
    with pytest.raises(InvalidDocument, match="Knife '': the field name is missing"):
        documents.read({"__type__": "acme.Knife"}, Tool)


def test_a_wrong_value_is_an_error_that_names_the_field(documents):
    with pytest.raises(InvalidDocument, match=r"Knife 'k': size = 'big': should be a list"):
        documents.read({"__type__": "acme.Knife", "name": "k", "size": "big"}, Tool)
    with pytest.raises(InvalidDocument, match="should be a mapping"):
        documents.read(["not", "a", "document"], Tool)  # type: ignore[arg-type]


def test_types_are_looked_up_never_imported_by_path(documents):
    kept(documents, {"__type__": "os.system", "name": "x"}, MissingPlugin)
    kept(documents, {"__type__": "__import__('os').system('true')", "name": "x"}, MissingPlugin)


def test_reading_does_not_change_the_document(documents):
    document = documents.write(Knife("k", tools=[Knife("i")]))
    before = to_json(document)
    documents.read(document, Tool)
    assert to_json(document) == before


def test_generated_functions_are_kept(documents, monkeypatch):
    import dacapo.documents as module

    made = []
    make = module.make_dict_structure_fn
    monkeypatch.setattr(module, "make_dict_structure_fn", lambda *a, **k: made.append(a) or make(*a, **k))
    for _ in range(5):
        documents.read(documents.write(Knife("k", best=Knife("b"))), Tool)
    assert len(made) == 1
