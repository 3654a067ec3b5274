"""Beginning with the weights in a file."""

from __future__ import annotations

from dacapo.experiments.weights_file import read_weights

from .configs import FileStartConfig
from .start import InitialWeights, Start


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
        return InitialWeights(read_weights(self.config.path), self.config.channels)
