"""What counts of the epochs of a run, and how that is written down."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dacapo.store import history
from dacapo.store.backend import Block, Epoch, Past, ScoresRecord
from dacapo.store.memory import MemoryBackend

PAST = (Past(0, 5, 7, 1, "manifest-0-0.json"), Past(1, None, None, 0))
numbers = itertools.count()


def test_epochs_of_earlier_versions_cut_by_where_they_begin():
    epochs = [Epoch(0, 0), Epoch(1, 10), Epoch(4, 7)]
    assert history.parts([]) == []
    assert history.parts(epochs) == [Past(0, 7, 7), Past(1, 7, 7), Past(4)]
    assert history.parts(epochs[:2]) == [Past(0, 10, 10), Past(1)]


def test_the_newest_epoch_says_what_counts_of_those_before_it():
    epochs = [Epoch(0, 0), Epoch(1, 10), Epoch(2, 20, PAST)]
    assert history.parts(epochs) == [*PAST, Past(2)]


def test_what_was_published_counts_up_to_the_cut():
    epochs = [Epoch(0, 0), Epoch(3, 7), Epoch(5, 20, (Past(0, 7, 7),))]
    assert history.counts(epochs, 0, 7) and not history.counts(epochs, 0, 8)
    assert history.counts(epochs, 5, 1000)
    assert not history.counts(epochs, 3, 1)  # it began too late, and was not found
    assert history.counts(epochs, 9, 1) and history.counts(epochs, None, 1)  # nothing is known of them


def test_what_is_found_has_an_end():
    backend = MemoryBackend(f"history {next(numbers)}")
    backend.add_epoch("run", Epoch(0, 0))
    assert history.found(backend, "run") == (Past(0, 0, None, 0),)
    backend.append_block("run", 0, Block(0, np.array([3, 4]), {"loss": np.ones(2)}))
    for iteration in (3, 4):
        backend.append_scores("run", 0, ScoresRecord(iteration, "a", [], [], np.zeros((0, 0))))
    assert history.found(backend, "run") == (Past(0, 5, None, 2),)
    backend.add_epoch("run", Epoch(1, 4))  # as earlier versions began one
    assert history.found(backend, "run") == (Past(0, 4, 4, 2), Past(1, 0, None, 0))
    backend.add_epoch("run", Epoch(2, 100, (Past(0, 3, 4, 1), Past(1, 0, 4, 0))))
    assert history.found(backend, "run") == (Past(0, 3, 4, 1), Past(1, 0, 4, 0), Past(2, 0, None, 0))


def test_who_goes_back_leaves_less_and_never_more():
    past = (Past(0, 5, 7, 1, "a"), Past(1, None, None, 0))
    assert history.cut(past, 6, "b") == (Past(0, 5, 6, 1, "b"), Past(1, 6, 6, 0, "b"))
    assert history.cut(past, 7) == (Past(0, 5, 7, 1, None), Past(1, 7, 7, 0))
    assert history.cut(past, 8) == (Past(0, 5, 7, 1, "a"), Past(1, 8, 8, 0))
    assert history.cut(past, 2) == (Past(0, 2, 2, 1), Past(1, 2, 2, 0))


def test_it_is_written_as_plain_data_and_bytes():
    assert history.write_past(PAST) == [[0, 5, 7, 1, "manifest-0-0.json"], [1, None, None, 0, None]]
    assert history.read_past(history.write_past(PAST)) == PAST
    assert history.decode_past(history.encode_past(PAST)) == PAST
    assert history.encode_past(None) == b"" and history.decode_past(b"") is None
    assert history.decode_past(history.encode_past(())) == ()
    plain = history.write_epoch(Epoch(2, 20, PAST))
    assert plain == {"number": 2, "start": 20, "past": history.write_past(PAST)}
    read = history.read_epoch(plain)
    assert (read.number, read.start, read.past) == (2, 20, PAST)
    assert history.write_epoch(Epoch(1, 3))["past"] is None
    assert history.read_epoch({"number": 1, "start": 3}).past is None


@pytest.mark.parametrize(
    ("epoch", "plain"),
    [
        (Epoch(0, 0), True),
        (Epoch(2, 2**62 - 1, PAST), True),
        (Epoch(2, 2**62), False),
        (Epoch(-1, 0), False),
        (Epoch(True, 0), False),
        (Epoch(1, 0.5), False),  # type: ignore[arg-type]
        (Epoch(1, 0, (Past(0, "5"),)), False),  # type: ignore[arg-type]
        (Epoch(1, 0, (Past(0, None, -1),)), False),
        (Epoch(1, 0, (Past(0, 0, 0, 0, 7),)), False),  # type: ignore[arg-type]
        (Epoch(1, 0, (Past(0, 0, 0, 0, None), Past(0, scores="x"))), False),  # type: ignore[arg-type]
    ],
)
def test_what_came_from_elsewhere_holds_numbers_where_they_belong(epoch: Epoch, plain: bool):
    assert history.is_plain(epoch) is plain
