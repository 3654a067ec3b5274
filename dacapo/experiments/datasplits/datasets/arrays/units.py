"""Units of length, by the names that files give them."""

from __future__ import annotations

NANOMETERS = {
    **dict.fromkeys(("picometer", "pm"), 1e-3),
    **dict.fromkeys(("angstrom", "Å"), 0.1),
    **dict.fromkeys(("nanometer", "nanometers", "nm"), 1.0),
    **dict.fromkeys(("micrometer", "micrometers", "um", "µm", "μm", "micron"), 1e3),
    **dict.fromkeys(("millimeter", "mm"), 1e6),
    **dict.fromkeys(("meter", "m"), 1e9),
}


def differ(one: str, other: str) -> bool:
    """Say whether two names certainly mean different lengths."""
    sizes = NANOMETERS.get(one), NANOMETERS.get(other)
    return None not in sizes and sizes[0] != sizes[1]


__all__ = ["NANOMETERS", "differ"]
