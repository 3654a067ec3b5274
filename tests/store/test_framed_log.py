"""The append-only log: every whole append is kept, whatever happens to the rest."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import attrs
import pytest

from dacapo.errors import NewerFormat, StoreError
from dacapo.store import framed_log
from dacapo.store.framed_log import Damage, Frame, FramedLog, scan


def frame(sequence: int, body: bytes = b"body") -> Frame:
    return Frame(1, sequence, 10 * sequence, 10 * sequence + 9, 10, body)


@pytest.fixture
def log(tmp_path: Path) -> FramedLog:
    log = FramedLog(tmp_path / "folder" / "log")
    for sequence in range(3):
        log.append(frame(sequence, bytes(range(20 * sequence, 20 * sequence + 20))))
    return log


def sequences(log: FramedLog) -> list[int]:
    return [one.sequence for one in log.frames()]


def test_frames_come_back(log: FramedLog):
    assert log.frames() == [frame(i, bytes(range(20 * i, 20 * i + 20))) for i in range(3)]
    assert FramedLog(log.path).end().last == log.frames()[-1]
    assert FramedLog(log.path).end().sequence == 3
    assert repr(frame(0)).endswith("body=<4 bytes>)")
    bodies = log.bodies() or []
    assert [bytes(body) for _, _, body in bodies] == [one.body for one in log.frames()]
    assert [checksum for _, checksum, _ in bodies] == [zlib.crc32(body) for _, _, body in bodies]


def test_a_log_that_is_not_there_is_empty(tmp_path: Path, caplog):
    log = FramedLog(tmp_path / "log")
    assert log.frames() == [] and log.bodies() == [] and not caplog.text
    assert log.end().last is None and log.end().sequence == 0
    assert not log.path.exists()


def test_the_end_is_found_without_reading_the_rest(log: FramedLog, monkeypatch):
    for sequence in range(3, 60):
        log.append(frame(sequence, b"x" * 1000))
    read = []

    def counting(descriptor: int, count: int, offset: int) -> bytes:
        read.append(count)
        return pread(descriptor, count, offset)

    pread = os.pread
    monkeypatch.setattr(framed_log.os, "pread", counting)
    fresh = FramedLog(log.path)
    assert fresh.end().sequence == 60
    assert sum(read) < 2000
    fresh.append(frame(60))
    fresh.append(frame(61))
    assert sum(read) < 2000


def test_only_the_next_sequence_is_accepted(log: FramedLog):
    other = FramedLog(log.path)
    other.append(attrs.evolve(frame(3), body=b"other"))
    with pytest.raises(
        StoreError, match="written by another process meanwhile: append 3 was due, and it is at 4"
    ):
        log.append(frame(3))
    log.append(frame(4))
    log.append(frame(4))
    other.append(frame(4))
    assert sequences(log) == [0, 1, 2, 3, 4]


def test_a_log_cut_anywhere_keeps_every_whole_append(log: FramedLog, caplog):
    data = log.path.read_bytes()
    ends = [end for _, end in scan(data, log.path)]
    for cut in range(len(data)):
        log.path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        caplog.clear()
        torn = FramedLog(log.path)
        assert sequences(torn) == list(range(whole))
        assert (f"{log.path}: the last " in caplog.text) == (cut not in (0, *ends))
        caplog.clear()
        torn.append(frame(whole, b"new"))
        assert ("cutting an unfinished append" in caplog.text) == (cut not in (0, *ends))
        assert sequences(FramedLog(log.path)) == list(range(whole + 1))
        assert log.path.read_bytes().startswith(data[: max([0, *(e for e in ends if e <= cut)])])


def test_one_flipped_bit_costs_at_most_one_append(log: FramedLog, caplog):
    data = log.path.read_bytes()
    frames = log.frames()
    begins = [0, *(end for _, end in scan(data, log.path))]
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        log.path.write_bytes(damaged)
        hit = sum(begin <= position for begin in begins) - 1
        in_footer = position >= begins[hit + 1] - framed_log._FOOTER.size
        caplog.clear()
        torn = FramedLog(log.path)
        found = torn.frames()
        assert found == [one for one in frames if in_footer or one.sequence != hit]
        assert in_footer or "damaged" in caplog.text
        torn.append(frame(3, b"new"))
        assert sequences(FramedLog(log.path)) == [*(one.sequence for one in found), 3]


def test_the_warning_says_which_iterations_are_lost(log: FramedLog, caplog):
    data = bytearray(log.path.read_bytes())
    data[data.index(bytes(range(20, 40)))] ^= 1
    log.path.write_bytes(data)
    log.frames()
    assert "iterations 10 to 19 are lost" in caplog.text
    assert "what they held is lost" in str(Damage(0, 10))


def test_zeros_that_a_power_cut_left_are_cut(log: FramedLog):
    with log.path.open("ab") as file:
        file.write(bytes(500))
    log.append(frame(3))
    assert sequences(FramedLog(log.path)) == [0, 1, 2, 3]


def test_a_body_that_looks_like_a_frame_is_no_frame(tmp_path: Path):
    log = FramedLog(tmp_path / "log")
    log.append(frame(0, frame(7).encode()))
    log.append(frame(1))
    assert sequences(log) == [0, 1]


def test_a_newer_format_is_refused_wherever_it_stands(tmp_path: Path):
    log = FramedLog(tmp_path / "log")
    log.append(frame(0))
    data = bytearray(log.path.read_bytes())
    struct.pack_into("<H", data, 4, 9)
    struct.pack_into("<I", data, framed_log._HEADER.size, zlib.crc32(data[: framed_log._HEADER.size]))
    told = f"^{log.path} was written by a newer DaCapo, in format 9; this one knows 1"

    def whole() -> object:
        with log.alone() as descriptor:
            return log.whole(descriptor)

    for content in (data, b"behind what is damaged" + data, data + b"before what is torn"):
        log.path.write_bytes(content)
        for act in (log.frames, whole, lambda: FramedLog(log.path).append(frame(1))):
            with pytest.raises(NewerFormat, match=told):
                act()


def test_a_short_write_is_an_error_and_leaves_no_trace(log: FramedLog, monkeypatch):
    before = log.path.read_bytes()
    write = os.write
    monkeypatch.setattr(framed_log.os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(
        StoreError, match=r"appending to .*log failed: only 10 of \d+ bytes were written; \d+ MB are free"
    ):
        log.append(frame(3))
    monkeypatch.undo()
    assert log.path.read_bytes() == before
    log.append(frame(3))
    assert sequences(log) == [0, 1, 2, 3]


def test_a_full_disk_is_an_error_and_leaves_no_trace(log: FramedLog):
    script = f"""
        import pathlib, resource
        from dacapo.errors import StoreError
        from dacapo.store.framed_log import Frame, FramedLog
        path = pathlib.Path({str(log.path)!r})
        limit = path.stat().st_size + 50
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            FramedLog(path).append(Frame(1, 3, 0, 0, 1, b"x" * 500))
        except StoreError as error:
            print(error)
    """
    before = log.path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert "appending to" in done.stdout and "MB are free" in done.stdout
    assert log.path.read_bytes() == before


def test_a_reader_waits_for_an_append_that_is_just_being_made(log: FramedLog, caplog):
    caplog.set_level(logging.WARNING)
    whole = frame(3, b"x" * 100).encode()
    descriptor = os.open(log.path, os.O_RDWR | os.O_APPEND)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, whole[:30])
    reader = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from dacapo.store.framed_log import FramedLog;"
            "print('begin', flush=True); print(len(FramedLog(pathlib.Path(sys.argv[1])).frames()))",
            str(log.path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "begin\n"
    os.write(descriptor, whole[30:])
    os.close(descriptor)
    assert reader.communicate(timeout=30)[0] == "4\n"


def test_file_systems_without_locks_will_do(log: FramedLog, monkeypatch):
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(38, "not implemented")

    monkeypatch.setattr(framed_log.fcntl, "flock", refuse)
    log.append(frame(3))
    assert sequences(log) == [0, 1, 2, 3]
