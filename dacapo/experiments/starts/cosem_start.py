"""Beginning with the weights of a network of the COSEM project."""

from __future__ import annotations

from typing import Any

from dacapo.errors import ShapeError
from dacapo.experiments import cosem
from dacapo.experiments.weights_file import read_weights

from .start import InitialWeights, LoadedWeights, Start


class CosemStart(Start):
    """The weights of a COSEM network, to begin a run with."""

    @property
    def whose(self) -> str:
        """Whose weights they are, for messages."""
        return f"the weights of the COSEM network {self.run}/{self.criterion}"

    def bring(self) -> InitialWeights:
        """Return its tensors and the labels of its channels; they are downloaded once."""
        path = cosem.checkpoint(self.run, self.criterion)
        return InitialWeights(read_weights(path), cosem.channels(self.run))

    def initialize_weights(self, *given: Any, **more: Any) -> LoadedWeights:
        """Put weights into a model; what does not fit is an error that says which network they fit."""
        try:
            return super().initialize_weights(*given, **more)
        except ShapeError as error:
            raise ShapeError(
                f"{error}. They fit  WrappedArchitectureConfig(..., module='CosemUNet', "
                f"arguments={{'setup': {self.run!r}}}, fmaps_in=1, fmaps_out=72)"
            ) from error
