"""Slices of volumes as PNG pictures, written by hand so that no imaging library is needed."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

HIT, MISSED, FALSE = (46, 184, 130), (64, 132, 244), (240, 84, 60)
TRUTH = (46, 184, 130)
# Far outside, the surface, far inside.
COLD, NEUTRAL, WARM = (38, 70, 150), (245, 245, 240), (190, 40, 40)


def png(picture: Picture) -> bytes:
    """Encode an image, (height, width) grey or (height, width, 3) colour."""
    height, width = picture.shape[:2]
    rows = np.ascontiguousarray(picture, np.uint8).reshape(height, -1)
    # Every row begins with the number of its filter; 0 is none.
    body = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if picture.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def data_uri(picture: Picture) -> str:
    """Return an image as text that an HTML page can hold."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def grey(raw: NDArray[Any]) -> Picture:
    """Return a slice of any range of values as shades of grey in three channels."""
    low, high = np.percentile(raw, (0.5, 99.5))
    scaled = (raw - low) / max(high - low, 1e-9) * 255
    return np.repeat(np.clip(scaled, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def tinted(
    picture: Picture, where: NDArray[np.bool_], color: tuple[int, int, int], share: float = 0.5
) -> Picture:
    """Mix a colour into an image at some places."""
    mixed = picture.astype(np.float32)
    mixed[where] += share * (np.array(color, np.float32) - mixed[where])
    return mixed.astype(np.uint8)


def compared(raw: Picture, segmentation: NDArray[Any], truth: NDArray[Any]) -> Picture:
    """Show a segmentation on the raw image: hits, misses and false alarms in colours of their own."""
    found, there = segmentation > 0, truth > 0
    picture = tinted(raw, found & there, HIT)
    picture = tinted(picture, found & ~there, FALSE, 0.65)
    return tinted(picture, there & ~found, MISSED, 0.65)


def diverging(values: NDArray[Any], reach: float = 1.0) -> Picture:
    """Show signed values, from ``-reach`` in blue over 0 in white to ``reach`` in red."""
    level = np.clip(values / reach, -1, 1)[..., None]
    ends = np.where(level < 0, np.array(COLD, np.float32), np.array(WARM, np.float32))
    mixed: Picture = (np.array(NEUTRAL) + np.abs(level) * (ends - np.array(NEUTRAL))).astype(np.uint8)
    return mixed
