"""Packages that look installed: for testing plugins without pip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def fake_package(
    folder: Path,
    name: str,
    version: str = "1.0",
    offers: Mapping[str, Mapping[str, str]] | None = None,
    modules: Mapping[str, str] | None = None,
    entry_points: str | None = None,
) -> Path:
    """Write what pip would leave of a package into ``folder``, and return the folder.

    ``offers`` maps a kind to {name: target}, ``modules`` a file name to its source;
    ``entry_points`` is the raw text instead of ``offers``.  Put the folder on ``sys.path`` and
    call ``dacapo.registry.refresh()``.
    """
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = {
        f"[dacapo.{kind}]": "".join(f"{key} = {target}\n" for key, target in table.items())
        for kind, table in (offers or {}).items()
    }
    text = "\n".join(f"{head}\n{body}" for head, body in groups.items())
    (info / "entry_points.txt").write_text(text if entry_points is None else entry_points)
    for path, source in (modules or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source)
    return folder
