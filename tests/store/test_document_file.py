"""Documents as YAML: everything comes back, damage and tricks are found."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dacapo.errors import CorruptData, InvalidDocument, NewerFormat
from dacapo.store import document_file
from dacapo.store.document_file import dump, load
from dacapo.testing.stores import DOCUMENT, is_alike

PATH = Path("/somewhere/a.yaml")
TOO_DEEP = "nested more than 100 deep|maximum nesting depth"  # later versions of the parser have a limit too
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.dictionaries(texts, trees, max_size=5))
def test_every_document_comes_back(document):
    assert is_alike(load(dump(document), PATH), document)


def test_documents_are_plain_yaml_for_everybody():
    assert yaml.safe_load(dump({"name": "a", "tuple": [1, 2]})) == {"name": "a", "tuple": [1, 2]}
    assert "Köln 東京".encode() in dump({"name": "Köln 東京"})
    shared = [1]
    assert b"&" not in dump({"a": shared, "b": shared})


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", (1, 2), date(2026, 1, 1), 1j, "\ud800"])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(InvalidDocument, match="the document 'x' cannot be written as YAML"):
        dump({"name": "x", "value": value})


def test_what_cannot_be_written_is_told_with_what_can():
    with pytest.raises(InvalidDocument) as refused:
        dump({"value": (1, 2)})
    assert str(refused.value) == (
        "the document '' cannot be written as YAML: (1, 2) should be a text; put it in quotes; it should "
        "hold only dictionaries, lists, texts, numbers, booleans and None"
    )


def test_a_document_written_by_hand_needs_no_first_line():
    assert load(b"name: a\nx: [1, 2]\n", PATH) == {"name": "a", "x": [1, 2]}


def test_a_truncated_document_is_found():
    data = dump(DOCUMENT)
    for end in range(len(data)):
        with pytest.raises(CorruptData, match=r"/somewhere/a\.yaml"):
            load(data[:end], PATH)


def test_a_flipped_bit_is_found_or_does_no_harm():
    data = dump(DOCUMENT)
    found = 0
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        try:
            assert is_alike(load(bytes(damaged), PATH), DOCUMENT)
        except (CorruptData, NewerFormat):
            found += 1
    # Only in the words before the checksum can a change go without notice, and there it means nothing.
    assert found > 0.9 * len(data)


def test_a_change_by_hand_says_what_to_do():
    data = dump({"name": "a", "x": 1}).replace(b"x: 1", b"x: 2")
    with pytest.raises(CorruptData, match="changed by hand; if you changed it, delete its first line"):
        load(data, PATH)
    assert load(data.partition(b"\n")[2], PATH) == {"name": "a", "x": 2}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "line 3"),
        ("a: 1\n\tb: 2\n", "line 2"),
        ("a: 1\na: 2\n", "line 1: the key a is given twice"),
        ("a: {b: 1, b: 2}\n", "the key b is given twice"),
        ("- a\n- b\n", "should hold  key: value  lines"),
        ("", "should hold  key: value  lines"),
        ("a: &x [1]\nb: *x\n", "aliases are not allowed"),
        ("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "aliases are not allowed"),
        ("a: &a [*a]\n", "aliases are not allowed"),
        ("a: !!python/tuple [1, !!python/name:os.system '']\n", "no readable document: could not"),
        ("- !!python/tuple [1, 2]\n", "should hold  key: value  lines"),
        (
            "a: &id001 [x]\n"
            + "".join(f"b{i}: &id00{i} [*id00{i - 1}, *id00{i - 1}]\n" for i in range(2, 26)),
            "stand for more than 300000 values",
        ),
        ("a: &id001 [*id001]\n", TOO_DEEP),
        ("a: !!python/object/apply:os.system ['true']\n", "line 1"),
        ("a: !!python/name:os.system\n", "line 1"),
        ("a: " + "[" * 200 + "]" * 200, TOO_DEEP),
        ("a: " + "[" * 5000 + "]" * 5000, f"no readable document|{TOO_DEEP}"),
        ("a: 2026-13-45\n", "no readable document"),
        ("a: 2026-01-01\n", r"datetime.date\(2026, 1, 1\) should be a text; put it in quotes"),
        ("a: !!binary aGk=\n", "b'hi' should be a text"),
        ("a: !!set {x}\n", "should be a text"),
        ("1: x\n", "the key 1 should be a text; put it in quotes"),
        ("a: {null: x}\n", "the key None should be a text"),
        ("a: &x [1]\n", "aliases are not allowed"),
        ("a: &x {k: v}\nb: {<<: *x}\n", "aliases are not allowed"),
        ("a: " + "9" * 100_000, "no readable document"),
        ("a: " + "[" * 100_000, TOO_DEEP),
        ("a: " + "{a: " * 100_000, TOO_DEEP),
        ("- " * 100_000, TOO_DEEP),
        ("? " * 100_000, TOO_DEEP),
        ("a: " + "x" * 2**26, "longer than 64 million characters"),
    ],
)
def test_bad_yaml_names_the_file_and_the_line(text: str, reason: str):
    with pytest.raises(CorruptData, match=reason) as raised:
        load(text.encode(), PATH)
    assert str(PATH) in str(raised.value)


def test_tuples_and_anchors_of_earlier_versions_are_plain_data():
    found = load(b"a: !!python/tuple [1, !!python/tuple [2]]\nb: &id001 {c: d}\ne: *id001\n", PATH)
    assert found == {"a": [1, [2]], "b": {"c": "d"}, "e": {"c": "d"}}
    assert found["b"] is not found["e"]


def test_what_only_looks_suspicious_is_read():
    document = {"a": "*x &y <<", "<<": 1, "list": [[[]]] * 400, "long": "x" * 3000, "*": "[" * 2000}
    assert load(dump(document), PATH) == document


def test_length_has_a_limit_however_short_the_lines(monkeypatch):
    monkeypatch.setattr(document_file, "LARGEST", 20)
    assert load(b"a: 1\n" + b"#---\n" * 3, PATH) == {"a": 1}
    assert load("a: ä\n#€€€€€€€€€€€€\n#".encode(), PATH) == {"a": "ä"}  # characters, not bytes
    with pytest.raises(CorruptData, match="longer than 0 million characters"):
        load(b"a: 1\n" + b"#---\n" * 3 + b"#", PATH)


@pytest.mark.parametrize("beside", [{}, {"&": "looks suspicious"}], ids=["plain", "suspicious"])
def test_nesting_has_one_limit_for_writing_and_reading(beside: dict):
    document: dict = {}
    for _ in range(100):
        document = {"a": document, **beside}
    assert load(dump(document), PATH) == document
    with pytest.raises(InvalidDocument, match="cannot be written as YAML: it is nested more than 100 deep"):
        dump({"a": document})


def test_bytes_that_are_no_text_are_found():
    with pytest.raises(CorruptData, match="no readable document"):
        load(b"a: \xff\xfe", PATH)


def test_a_newer_format_is_refused_with_its_version():
    with pytest.raises(NewerFormat, match="in format 7; this one knows 1"):
        load(b"# dacapo document 7, sha256 " + b"0" * 64 + b"\nname: a\n", PATH)
