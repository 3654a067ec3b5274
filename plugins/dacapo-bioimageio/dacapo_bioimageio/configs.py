"""Models of the zoo as architectures and starts, on one page."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import attrs
from funlib.geometry import Coordinate

from dacapo.config import field, implemented_by
from dacapo.errors import DacapoError
from dacapo.experiments.architectures import ArchitectureConfig
from dacapo.experiments.starts import InitialWeightsConfig

if TYPE_CHECKING:
    from .description import ZooModel

SOURCE = "A package (.zip), its rdf.yaml or bioimageio.yaml, the folder with it, a URL, or an id of the zoo."


def _as_text(model_id: Any) -> Any:
    return str(model_id) if isinstance(model_id, PurePath) else model_id


@attrs.define(kw_only=True)
class ModelZooConfig(ArchitectureConfig):
    """A model of the BioImage.IO zoo with its weights, to train further or to put a head on.

    What the model gives out are the feature maps.  Its pre- and post-processing are not part of it:
    bring the intensities of the data to what it was trained on.
    """

    architecture_type = implemented_by("dacapo_bioimageio.network:ModelZooArchitecture")

    model_id: str = field(SOURCE, converter=_as_text)
    trainable_layers: str | None = field(
        "A regular expression: only weights whose names it is found in are trained. None trains all.",
        default=None,
    )
    training_shape: Coordinate | None = field(
        "Voxels of one training input; None is the smallest that the model takes.", default=None
    )
    prediction_shape: Coordinate | None = field(
        "Voxels of one input when predicting; None is as in training.", default=None
    )

    @property
    def zoo_model(self) -> ZooModel:
        """What the package says of the model; it is fetched when it is first asked for."""
        # Imported here: to read descriptions takes a second.
        from .description import ZooModel

        return ZooModel.of(self.model_id)

    @property
    def input_shape(self) -> Coordinate:
        return self.training_shape or self.zoo_model.input_shape

    @property
    def eval_shape_increase(self) -> Coordinate:
        return (self.prediction_shape or self.input_shape) - self.input_shape

    @property
    def stride(self) -> Coordinate | None:
        return self.zoo_model.stride

    @property
    def num_in_channels(self) -> int:
        return self.zoo_model.num_in_channels

    @property
    def num_out_channels(self) -> int:
        return self.zoo_model.num_out_channels

    @property
    def dims(self) -> int:
        return len(self.training_shape or self.zoo_model.input_shape)

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        """Return the voxel size of the output for that of the input."""
        return self.zoo_model.scale(voxel_size)

    def verify(self) -> tuple[bool, str]:
        try:
            self.zoo_model  # noqa: B018
        except DacapoError as error:
            return False, str(error)
        return True, ""

    def check(self) -> None:
        if not self.model_id:
            self.refuse("model_id", "should name a model")
        try:
            re.compile(self.trainable_layers or "")
        except re.error as error:
            self.refuse("trainable_layers", f"is no regular expression: {error}")


@attrs.define
class ModelZooStartConfig(InitialWeightsConfig):
    """Begin with the weights of a model of the zoo that DaCapo exported, or that has the same tensors."""

    start_type = implemented_by("dacapo_bioimageio.network:ModelZooStart")

    model_id: str = field(SOURCE, converter=_as_text)
    name: str = field("How the config is called; not needed.", default="")

    def check(self) -> None:
        if not self.model_id:
            self.refuse("model_id", "should name a model")
