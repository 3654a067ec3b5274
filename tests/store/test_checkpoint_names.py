"""What the parts of checkpoints are called, and which of several checkpoints of an iteration counts."""

from __future__ import annotations

import re

import pytest

from dacapo.store.backend import Epoch, Past
from dacapo.store.checkpoint_names import counting, is_later, manifest_of, new_manifest, new_part


def test_each_manifest_of_an_epoch_has_the_next_number():
    there = [
        "iterations/5/manifest.json",
        "iterations/5/manifest-2-0.json",
        "iterations/5/manifest-3-7.json",
        "iterations/5/model-2-0.safetensors",
    ]
    assert new_manifest(None, there) == "manifest.json"
    assert new_manifest(1, there) == "manifest-1-0.json"
    assert new_manifest(2, there) == "manifest-2-1.json"
    assert new_manifest(3, there) == "manifest-3-8.json"
    assert new_manifest(3, []) == "manifest-3-0.json"


def test_no_part_is_called_like_another():
    assert re.fullmatch(r"model-[0-9a-f]{8}\.safetensors", new_part("model", None))
    assert re.fullmatch(r"model-4-[0-9a-f]{8}\.safetensors", new_part("model", 4))
    assert new_part("model", 4) != new_part("model", 4)


@pytest.mark.parametrize(
    ("path", "later"),
    [
        ("iterations/5/model-3-0123abcd.safetensors", True),
        ("iterations/5/random_state-3-0123abcd.safetensors", True),
        ("manifest-3-0.json", True),
        ("iterations/5/model-2-0123abcd.safetensors", False),
        ("iterations/5/model-0123abcd.safetensors", False),
        ("iterations/5/manifest.json", False),
        ("iterations/5/notes-3-0.txt", False),
    ],
)
def test_what_a_later_epoch_made_is_told_by_its_name(path: str, later: bool):
    assert is_later(path, 2) is later


def test_a_manifest_is_called_what_it_says_if_that_is_a_name_for_it():
    assert manifest_of(5, {"name": "manifest-2-1.json"}) == "manifest-2-1.json"
    for odd in ({}, {"name": "../manifest.json"}, {"name": 7}, {"name": "model-2-1.safetensors"}):
        assert manifest_of(5, odd) == "manifest.json"


def paths(*names: str) -> list[str]:
    return [f"iterations/{name}" for name in names]


def test_of_several_the_last_of_the_newest_epoch_counts():
    there = paths("5/manifest.json", "5/manifest-0-0.json", "10/manifest.json", "7/model-0-ab.safetensors")
    assert counting(there, []) == {5: "manifest-0-0.json", 10: "manifest.json"}
    there += paths("5/manifest-2-9.json", "5/manifest-2-10.json", "5/manifest-1-99.json")
    assert list(counting(there, []).items()) == [(5, "manifest-2-10.json"), (10, "manifest.json")]
    assert counting(paths("05/manifest.json", "5/manifest.yaml", "x/manifest.json"), []) == {}
    assert counting(paths("5/manifest-0-0.json", "5/manifest-0-1.json"), [])[5] == "manifest-0-1.json"


def test_what_was_published_where_a_later_epoch_had_begun_does_not_count():
    there = paths("5/manifest-0-0.json", "7/manifest-0-0.json", "7/manifest-0-1.json", "8/manifest-0-0.json")
    there += paths("9/manifest-2-0.json")
    epochs = [Epoch(0, 0), Epoch(2, 7, (Past(0, 7, 7, 0, "manifest-0-0.json"),))]
    assert counting(there, epochs) == {
        5: "manifest-0-0.json",
        7: "manifest-0-0.json",  # from which the run was restored, and not the one that came too late
        9: "manifest-2-0.json",
    }
    any_of_them = [Epoch(0, 0), Epoch(2, 7, (Past(0, 7, 7, 0),))]
    assert counting(there, any_of_them)[7] == "manifest-0-1.json"
    none_of_them = [Epoch(0, 0), Epoch(2, 7, (Past(0, 7, 7, 0, ""),))]
    assert 7 not in counting(there, none_of_them)
    assert 5 in counting(there, none_of_them)


def test_an_epoch_that_began_too_late_does_not_count_and_unknown_ones_do():
    there = paths("5/manifest-1-0.json", "6/manifest-8-0.json")
    epochs = [Epoch(0, 0), Epoch(1, 3), Epoch(2, 4, (Past(0, 4, 4, 0),))]
    assert counting(there, epochs) == {6: "manifest-8-0.json"}
