"""Segmentations: thresholds that fit the prediction, and blocks that make no difference."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import attrs
import numpy as np
import pytest
import yaml
from funlib.geometry import Roi

from dacapo import documents
from dacapo.errors import InvalidArray, InvalidConfig, InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr
from dacapo.experiments.tasks.post_processors import (
    ArgmaxPostProcessor,
    ArgmaxPostProcessorParameters,
    DummyPostProcessor,
    DummyPostProcessorParameters,
    PostProcessor,
    PostProcessorParameters,
    ThresholdPostProcessor,
    ThresholdPostProcessorParameters,
)
from dacapo.experiments.tasks.post_processors.post_processor import split

VOXEL, OFFSET = (8, 4, 4), (16, -8, 4)


def prediction(shape: tuple[int, ...] = (3, 20, 23, 26), dtype: type = np.float32) -> NumpyArray:
    values = np.random.default_rng(0).uniform(-1, 1, shape).astype(dtype)
    return NumpyArray(values, VOXEL[-(len(shape) - 1) :], OFFSET[-(len(shape) - 1) :])


def test_thresholds_lie_where_predictions_do() -> None:
    parameters = list(ThresholdPostProcessor().enumerate_parameters())
    thresholds = [one.threshold for one in parameters]
    assert len(parameters) > 1
    assert 0 in thresholds
    assert all(-1 < threshold < 1 for threshold in thresholds)
    assert [one.id for one in parameters] == list(range(len(parameters)))
    assert thresholds == sorted(set(thresholds))


@pytest.mark.parametrize("parameters", list(ThresholdPostProcessor().enumerate_parameters())[::3], ids=str)
def test_threshold_keeps_what_is_above(parameters: ThresholdPostProcessorParameters) -> None:
    processor, given = ThresholdPostProcessor(), prediction()
    processor.set_prediction(given)
    output = processor.process(parameters)
    assert (output.dtype, output.shape) == (np.uint8, given.shape)
    assert (output.roi, output.voxel_size, output.axis_names) == (
        given.roi,
        given.voxel_size,
        given.axis_names,
    )
    np.testing.assert_array_equal(output.data, given.data > parameters.threshold)


def test_nan_is_background() -> None:
    nothing = np.full((1, 2, 2, 2), np.nan, np.float32)
    labels = ThresholdPostProcessor().segment(nothing, ThresholdPostProcessorParameters(0, threshold=-0.5))
    assert not labels.any()


def test_thresholds_for_whole_numbers_are_refused() -> None:
    with pytest.raises(InvalidArray, match="uint8, but thresholds are for distances between -1 and 1"):
        ThresholdPostProcessor().set_prediction(prediction(dtype=np.uint8))


def test_argmax_is_the_number_of_the_largest_channel() -> None:
    processor, given = ArgmaxPostProcessor(), prediction((4, 9, 10))
    processor.set_prediction(given)
    (parameters,) = processor.enumerate_parameters()
    output = processor.process(parameters)
    assert (output.dtype, output.axis_names) == (np.uint8, ["y", "x"])
    np.testing.assert_array_equal(output.data, given.data.argmax(axis=0))


@pytest.mark.parametrize(("num_classes", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_ids_are_as_small_as_classes_allow(num_classes: int, dtype: type) -> None:
    last = np.eye(num_classes, dtype=np.float32)[-1][:, None, None]
    labels = ArgmaxPostProcessor().segment(last, ArgmaxPostProcessorParameters(1))
    assert labels.dtype == dtype
    assert labels.item() == num_classes - 1


def test_dummy_counts_the_channels_that_detect() -> None:
    processor, given = DummyPostProcessor(0.2), prediction()
    processor.set_prediction(given)
    parameters = list(processor.enumerate_parameters())
    assert [one.min_size for one in parameters] == list(range(1, 11))
    for one in parameters[:4]:
        np.testing.assert_array_equal(
            processor.process(one).data, (given.data > 0.2).sum(axis=0) >= one.min_size
        )


PROCESSORS = [ThresholdPostProcessor(), ArgmaxPostProcessor(), DummyPostProcessor(0.1)]


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("num_workers", [1, 3])
def test_blocks_make_no_difference(processor: PostProcessor, num_workers: int, tmp_path: Path) -> None:
    given = prediction()
    processor.set_prediction(given)
    parameters = list(processor.enumerate_parameters())[0]
    whole = processor.segment(given.data, parameters)
    blocks = processor.process(parameters, num_workers=num_workers, chunk_size=(7, 8, 9))
    np.testing.assert_array_equal(blocks.data, whole)
    place = SimpleNamespace(container=tmp_path / "output.zarr", dataset="some/where")
    stored = processor.process(parameters, place, num_workers=num_workers, chunk_size=(7, 8, 9))
    np.testing.assert_array_equal(stored.data, whole)
    again = open_zarr(place.container, place.dataset)
    np.testing.assert_array_equal(again.data, whole)
    assert (again.roi, again.voxel_size, again.axis_names) == (
        blocks.roi,
        blocks.voxel_size,
        blocks.axis_names,
    )


def test_a_given_output_is_written_to(tmp_path: Path) -> None:
    given = prediction((1, 30, 31, 32))
    output = create_zarr(
        tmp_path / "o.zarr", "o", given.shape, np.uint8, VOXEL, OFFSET, chunk_shape=(1, 8, 9, 10)
    )
    processor = ThresholdPostProcessor()
    processor.set_prediction(given)
    parameters = ThresholdPostProcessorParameters(0, threshold=0.25)
    assert processor.process(parameters, output, num_workers=2, chunk_size=(10, 10, 10)) is output
    np.testing.assert_array_equal(output.data, given.data > 0.25)


def test_blocks_follow_the_chunks_of_the_output(tmp_path: Path) -> None:
    output = create_zarr(tmp_path / "o.zarr", "o", (30, 31), np.uint8, (4, 4), (-8, 4), chunk_shape=(8, 9))
    blocks = list(split(output, (10, 9)))
    assert blocks[0] == Roi((-8, 4), (64, 36))
    assert sum(block.size for block in blocks) == output.roi.size
    for block in blocks:
        begin = (block.offset - output.offset) / output.voxel_size
        assert begin.is_multiple_of(output.chunk_shape)


class Spy(NumpyArray):
    """An array that notes how much was read of it."""

    def __init__(self, like: NumpyArray) -> None:
        super().__init__(like.data, like.voxel_size, like.offset)
        self.reads, self.lock = [0], threading.Lock()

    @property
    def largest(self) -> int:
        return max(self.reads)

    def _read(self, slices: tuple[slice, ...]) -> np.ndarray:
        data = super()._read(slices)
        with self.lock:
            self.reads.append(data.size)
        return data


def test_only_blocks_of_the_prediction_are_read() -> None:
    given, processor = Spy(prediction()), ThresholdPostProcessor()
    processor.set_prediction(given)
    assert given.largest == 0
    processor.process(ThresholdPostProcessorParameters(0), num_workers=2, chunk_size=(8, 8, 8))
    assert 0 < given.largest <= 3 * 8**3


def test_what_fails_in_a_block_is_raised() -> None:
    class Broken(ThresholdPostProcessor):
        def segment(self, prediction: np.ndarray, parameters: ThresholdPostProcessorParameters) -> np.ndarray:
            if prediction.size > 3:
                raise InvalidRequest("no")
            return super().segment(prediction, parameters)

    processor = Broken()
    processor.set_prediction(prediction())
    with pytest.raises(InvalidRequest, match="no"):
        processor.process(ThresholdPostProcessorParameters(0), chunk_size=(8, 8, 8))


def test_there_must_be_a_prediction() -> None:
    with pytest.raises(InvalidRequest, match="call set_prediction"):
        ThresholdPostProcessor().process(ThresholdPostProcessorParameters(0))


def test_an_output_elsewhere_is_refused() -> None:
    processor, given = ThresholdPostProcessor(), prediction()
    processor.set_prediction(given)
    elsewhere = NumpyArray(np.zeros(given.shape, np.uint8), VOXEL, (0, 0, 0))
    with pytest.raises(InvalidArray, match="should lie where the prediction does"):
        processor.process(ThresholdPostProcessorParameters(0), elsewhere)


PARAMETERS = [
    ThresholdPostProcessorParameters(3, threshold=0.1),
    ThresholdPostProcessorParameters(id=4, threshold=-0.5),
    ArgmaxPostProcessorParameters(1),
    DummyPostProcessorParameters(2, min_size=7),
]


def test_parameters_say_themselves_in_a_word() -> None:
    assert [str(one) for one in PARAMETERS] == ["threshold_0.1", "threshold_-0.5", "argmax", "min_size_7"]
    assert [one.name for one in PARAMETERS] == [str(one) for one in PARAMETERS]
    assert str(PostProcessorParameters(5)) == "parameters_5"


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_parameters_survive_storing(parameters: PostProcessorParameters) -> None:
    document = yaml.safe_load(yaml.safe_dump(documents.write(parameters)))
    assert document["__type__"] == type(parameters).__name__
    assert "name" not in document
    again = documents.read(document, PostProcessorParameters)
    assert again == parameters
    assert hash(again) == hash(parameters)
    assert str(again) == str(parameters)


def test_parameters_are_values() -> None:
    parameters = ThresholdPostProcessorParameters(1, threshold=1)  # type: ignore[arg-type]
    assert isinstance(parameters.threshold, float)
    assert parameters != ThresholdPostProcessorParameters(1, threshold=0.5)
    assert parameters.replace(threshold=0.5).name == "threshold_0.5"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        parameters.threshold = 2  # type: ignore[misc]
    with pytest.raises(InvalidConfig, match="threshold = 'high': should be a number"):
        ThresholdPostProcessorParameters(1, threshold="high")  # type: ignore[arg-type]


class Costly(ThresholdPostProcessor):
    """Makes something of the prediction for each threshold's sign, and counts how often."""

    is_blockwise = False

    def __init__(self) -> None:
        super().__init__([-0.5, -0.1, 0.1, 0.5])
        self.made: list[tuple[int, float]] = []

    def segment(self, prediction: np.ndarray, parameters: ThresholdPostProcessorParameters) -> np.ndarray:
        scaled = self.shared(self.scaled, prediction, 2.0 if parameters.threshold > 0 else 1.0)
        return (scaled > parameters.threshold).astype(np.uint8)

    def scaled(self, prediction: np.ndarray, factor: float) -> np.ndarray:
        self.made.append((prediction.size, factor))
        return prediction * factor


def test_parameter_sets_share_what_does_not_depend_on_them() -> None:
    processor, given = Costly(), Spy(prediction())
    for _ in range(2):  # what one prediction left is not taken for another's
        processor.set_prediction(given)
        for parameters in processor.enumerate_parameters():
            factor = 2 if parameters.threshold > 0 else 1
            np.testing.assert_array_equal(
                processor.process(parameters).data, given.data * factor > parameters.threshold
            )
    once = [(given.data.size, 1.0), (given.data.size, 2.0)]
    assert [one for one in processor.made if one[0] > 3] == once * 2


def test_a_prediction_of_one_block_is_read_once_for_all_parameter_sets() -> None:
    given, processor = Spy(prediction()), ThresholdPostProcessor()
    processor.set_prediction(given)
    for parameters in processor.enumerate_parameters():
        processor.process(parameters)
    assert given.reads.count(given.data.size) == 1
    processor.release()
    with pytest.raises(InvalidRequest, match="call set_prediction"):
        processor.process(ThresholdPostProcessorParameters(0))


def test_nothing_is_shared_between_blocks() -> None:
    processor, given = Costly(), prediction()
    processor.is_blockwise = True
    processor.set_prediction(given)
    for parameters in processor.enumerate_parameters():
        factor = 2 if parameters.threshold > 0 else 1
        parts = processor.process(parameters, num_workers=2, chunk_size=(7, 8, 9)).data
        np.testing.assert_array_equal(parts, given.data * factor > parameters.threshold)
