"""The networks of the COSEM project, of which the package cellmap-models knows the names, places and shapes.

Heinrich et al. 2021, Whole-cell organelle segmentation in volume electron microscopy
(doi:10.1038/s41586-021-03977-3).
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import shutil
import urllib.request
from collections import OrderedDict
from contextlib import redirect_stdout
from http.client import HTTPException
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from torch import nn

from dacapo.errors import MissingPlugin, NotFound
from dacapo.options import Options

logger = logging.getLogger(__name__)

_PACKAGE = "cellmap_models.pytorch.cosem"
TIMEOUT = 30.0  # seconds without an answer


def unet(setup: str) -> nn.Module:
    """Make the backbone of a setup, such as ``setup04``, with initial weights.

    Of raw of one channel it makes 72 feature maps.
    """
    package = _package()
    if setup not in package.model_names:
        raise NotFound(f"COSEM has no {setup!r}; there are {', '.join(sorted(package.model_names))}")
    with redirect_stdout(io.StringIO()):  # it prints that it loads no weights
        whole = package.load_model(setup)
    # Under the names that the checkpoints have for it.
    return nn.Sequential(OrderedDict(unet=whole.backbone))


def channels(setup: str) -> list[str]:
    """Return the labels of what the head of a setup predicts."""
    model = importlib.import_module(f"{_PACKAGE}.{setup.replace('.', '_')}.model")
    return list(model.classes_channels)


def checkpoint(setup: str, iteration: str) -> Path:
    """Return the file of a checkpoint, which is downloaded once; about a gigabyte.

    Raises ``NotFound`` with all names for one that does not exist, and with what to do instead if
    it cannot be downloaded.
    """
    places, name = _package().models_dict, f"{setup}/{iteration}"
    if name not in places:
        raise NotFound(f"COSEM has no {name}; there are {', '.join(places)}")
    # Where existing DaCapo put them, and where they go now.
    base = Options.instance().runs_base_dir
    old = base / setup / "checkpoints" / "iterations" / iteration
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    target = cache / "dacapo" / "cosem" / setup / iteration
    for there in (old, target):
        if there.is_file():
            return there
    _download(places[name], target)
    return target


def _download(url: str, target: Path) -> None:
    logger.info("downloading %s to %s", url, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as file:
        part = Path(file.name)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                shutil.copyfileobj(answer, file, 2**20)
                expected = answer.headers["Content-Length"]
            file.flush()
            if expected is not None and part.stat().st_size != int(expected):
                raise OSError(f"the connection broke after {part.stat().st_size} of {expected} bytes")
            part.replace(target)
        except (OSError, HTTPException) as error:
            raise NotFound(
                f"{url} cannot be downloaded: {error}. This machine may be offline: download it where there "
                f"is a network, and put it at {target}"
            ) from error
        finally:
            part.unlink(missing_ok=True)


def _package() -> Any:
    try:
        return importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise MissingPlugin(
            f"networks of COSEM need the package cellmap-models: pip install 'dacapo[cosem]' ({error})",
            kind="starts",
            name="CosemStartConfig",
        ) from error
