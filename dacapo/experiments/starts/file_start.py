"""Beginning with the weights in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dacapo.errors import CorruptData, NotFound
from dacapo.experiments import torch_files

from .configs import FileStartConfig
from .start import InitialWeights, Start

# What people call the state of the network, in the dicts that they save.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights")


class FileStart(Start):
    """The weights in a file, to begin a run with."""

    config: FileStartConfig

    def __init__(self, start_config: FileStartConfig) -> None:
        super().__init__(start_config)
        self.partial = start_config.partial

    @property
    def whose(self) -> str:
        """Whose weights they are, for messages."""
        return f"the weights of {self.config.path}"

    def bring(self) -> InitialWeights:
        """Return what is in the file, and the labels of its channels where they are given."""
        return InitialWeights(read_tensors(self.config.path), self.config.channels)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file, or of a state dict in a file of torch, wrapped or not.

    Raises ``NotFound`` if there is no such file, ``CorruptData`` if it holds none, or anything
    that would have to be run.
    """
    path = path.expanduser()
    if not path.is_file():
        raise NotFound(f"there is no file {path}; correct its path, which counts from {Path.cwd()}")
    if path.suffix == ".safetensors":
        try:
            tensors: dict[str, torch.Tensor] = load_file(path)
        except SafetensorError as error:
            raise CorruptData(f"{path} is no safetensors file: {error}; get it again") from error
        return tensors
    return _state_in(torch_files.read(path, "the file", "save the state dict alone"), path)


def _state_in(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Find the state dict in what was saved."""
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return _state_in(content[key], path)
        if tensors := {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}:
            return tensors
    there = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise CorruptData(
        f"{path} holds no state dict, but {there or 'nothing'}; save one with  "
        "torch.save(network.state_dict(), ...)"
    )
