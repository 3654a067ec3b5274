"""Objects from distances, and segmentations tidied up: equal to what other libraries make of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from dacapo import documents
from dacapo.config import build
from dacapo.errors import InvalidArray, InvalidConfig
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks import (
    AffinitiesTaskConfig,
    DistanceTaskConfig,
    DummyTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    OneHotTaskConfig,
    TaskConfig,
)
from dacapo.experiments.tasks.post_processors import (
    ArgmaxPostProcessor,
    ConnectedComponentsPostProcessorParameters,
    PostProcessor,
    SeededWatershedPostProcessorParameters,
    ThresholdPostProcessor,
    ThresholdPostProcessorParameters,
    WatershedPostProcessorParameters,
)
from dacapo.experiments.tasks.post_processors.cleaning import without_holes, without_small
from dacapo.experiments.tasks.post_processors.flooding import flooded
from dacapo.experiments.tasks.post_processors.parameters import swept
from dacapo.testing.situation import same_up_to_names

COMPONENTS = ConnectedComponentsPostProcessorParameters(0)
WATERSHED = SeededWatershedPostProcessorParameters(0)
DISTANCES: dict[str, Any] = {"channels": ["a"], "clip_distance": 40, "tol_distance": 8, "scale_factor": 40}


def noise(shape: tuple[int, ...], seed: int = 0, sigma: float = 2) -> np.ndarray:
    """Return a smooth field between -1 and 1."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return (field / np.abs(field).max()).astype(np.float32)


def balls(
    centres: list[tuple[int, ...]], radius: float, shape: tuple[int, ...], voxel: tuple[int, ...]
) -> Any:
    """Return ids of balls, in world units, each voxel belonging to the nearest that holds it."""
    grid = np.moveaxis(np.indices(shape), 0, -1) * voxel
    away = np.stack([np.linalg.norm(grid - np.multiply(one, voxel), axis=-1) for one in centres])
    return np.where(away.min(axis=0) < radius, away.argmin(axis=0) + 1, 0).astype(np.uint32)


def segmented(
    processor: PostProcessor, data: np.ndarray, parameters: Any, voxel: tuple[int, ...]
) -> np.ndarray:
    processor.set_prediction(NumpyArray(data, voxel, (0,) * len(voxel)))
    return processor.process(parameters).data


@pytest.mark.parametrize("shape", [(9, 10, 11), (31, 32)])
@pytest.mark.parametrize("seed", range(10))
def test_flooding_is_the_watershed_of_scikit_image(shape: tuple[int, ...], seed: int) -> None:
    # No two voxels are equally high, and there are more levels than voxels: the order is the same.
    height = noise(shape, seed, 1).ravel().argsort().argsort().reshape(shape).astype(np.float32)
    mask, seeds = height > 300, ndimage.label(height > 850)[0]
    assert seeds.max() > 3
    np.testing.assert_array_equal(flooded(height, seeds, mask), watershed(-height, seeds, mask=mask))


def test_heights_are_flooded_from_the_top() -> None:
    height = np.array([[5, 4, 3, 1, 2, 6, 0, 7]], np.float32)
    seeds = np.array([[1, 0, 0, 0, 0, 2, 0, 0]])
    assert flooded(height, seeds, height > 0).tolist() == [[1, 1, 1, 1, 2, 2, 0, 0]]
    assert not flooded(height, seeds * 0, height > 0).any()
    assert not flooded(height, seeds, height > 9).any()


@pytest.mark.parametrize("shape", [(20, 21, 22), (40, 50)])
@pytest.mark.parametrize("seed", range(5))
def test_components_are_those_of_scipy(shape: tuple[int, ...], seed: int) -> None:
    data, voxel = noise(shape, seed, 1.3)[None], (4,) * len(shape)
    found = segmented(build(COMPONENTS), data, COMPONENTS.replace(threshold=0.2, min_size=30), voxel)
    labels = ndimage.label(data[0] > 0.2)[0]
    expected = remove_small_objects(labels, max_size=29)
    assert found.dtype == np.uint64
    assert len(np.unique(expected)) > 2
    assert len(np.unique(expected)) < len(np.unique(labels))
    assert same_up_to_names(found, expected)
    assert found.max() == len(np.unique(found)) - 1


@pytest.mark.parametrize("voxel", [(8, 8, 8), (40, 8, 8), (8, 8)])
def test_touching_objects_are_parted_by_their_depth(voxel: tuple[int, ...]) -> None:
    """The target itself gives back the objects, where connected components give one."""
    dims = len(voxel)
    shape = tuple(round(480 / step) for step in voxel)
    centres = [tuple(round(at / step) for at, step in zip(place, voxel, strict=True))
               for place in [(240, 160, 240)[-dims:], (240, 300, 240)[-dims:]]]  # fmt: skip
    truth = balls(centres, 90, shape, voxel)
    gt = NumpyArray(truth, voxel, (0,) * dims)
    config = DistanceTaskConfig("objects", **DISTANCES, thresholds=[0.0], post_processing=WATERSHED)
    task = build(config)
    task.post_processor.set_prediction(task.predictor.create_target(gt))
    scores = task.evaluator.evaluate(task.post_processor.process(task.parameters[0]), gt)
    assert scores.f1_score == 1
    assert scores.voi < 0.1
    task = build(config.replace(post_processing=COMPONENTS))
    task.post_processor.set_prediction(task.predictor.create_target(gt))
    assert task.post_processor.process(task.parameters[0]).data.max() == 1


def test_foreground_without_a_seed_is_an_object() -> None:
    depth = np.array([[[0.9, 0.2, 0.8, -1, 0.3, 0.2, -1, 0.9]]], np.float32)
    found = segmented(build(WATERSHED), depth, WATERSHED, (1, 1))
    assert same_up_to_names(found, [[1, 1, 2, 0, 3, 3, 0, 4]])
    found = segmented(build(WATERSHED), depth, WATERSHED.replace(min_size=2), (1, 1))
    assert same_up_to_names(found, [[1, 1, 0, 0, 2, 2, 0, 0]])


def test_an_empty_prediction_has_no_objects() -> None:
    for parameters in (COMPONENTS, WATERSHED):
        for value in (-1, np.nan):
            data = np.full((1, 4, 5, 6), value, np.float32)
            tidy = parameters.replace(fill_holes=True, smoothing=4, min_size=3)
            assert not segmented(build(parameters), data, tidy, (4, 4, 4)).any()


def test_objects_are_of_one_class() -> None:
    with pytest.raises(InvalidArray, match="prediction of one class, and this is of 2"):
        segmented(build(COMPONENTS), np.zeros((2, 3, 3), np.float32), COMPONENTS, (4, 4))
    with pytest.raises(InvalidArray, match="predict again as float32"):
        segmented(build(COMPONENTS), np.zeros((1, 3, 3), np.uint8), COMPONENTS, (4, 4))


@pytest.mark.parametrize("shape", [(18, 19, 20), (50, 40)])
@pytest.mark.parametrize("seed", range(5))
def test_holes_of_a_mask_are_those_of_scipy(shape: tuple[int, ...], seed: int) -> None:
    mask = noise(shape, seed, 1) > -0.15
    expected = ndimage.binary_fill_holes(mask)
    assert (expected != mask).any()
    np.testing.assert_array_equal(without_holes(mask.astype(np.uint8)), expected)


def test_a_hole_belongs_to_the_object_around_it() -> None:
    ids = np.array([
        [1, 1, 1, 1, 1, 0],
        [1, 0, 1, 0, 1, 0],
        [1, 1, 2, 2, 2, 2],
        [0, 1, 2, 0, 0, 2],
        [0, 0, 2, 2, 2, 2],
    ], np.uint64)  # fmt: skip
    filled = ids.copy()
    filled[1, 1], filled[3, 3:5] = 1, 2  # (1, 3) lies between both, the corners at the border
    assert without_holes(ids).tolist() == filled.tolist()
    assert without_holes(ids).dtype == np.uint64
    assert without_holes(ids[None]).tolist() == [filled.tolist()]  # a section is no border everywhere
    assert not without_holes(np.zeros((3, 3), np.uint8)).any()


def test_small_objects_go_and_the_others_are_counted() -> None:
    ids = np.array([7, 7, 0, 3, 900, 900, 900, 3, 2**40], np.uint64)
    assert without_small(ids, 2).tolist() == [1, 1, 0, 2, 3, 3, 3, 2, 0]
    assert without_small(ids, 3).tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0]
    assert without_small(ids[:0], 3).tolist() == []


def test_smoothing_is_in_world_units() -> None:
    data, voxel = noise((1, 12, 24, 24), sigma=0)[0][None], (16, 4, 4)
    parameters = ThresholdPostProcessorParameters(0, smoothing=8)
    found = segmented(ThresholdPostProcessor(), data, parameters, voxel)
    expected = ndimage.gaussian_filter(data[0], (0.5, 2, 2), mode="nearest") > 0
    np.testing.assert_array_equal(found[0], expected)
    assert (expected != (data[0] > 0)).any()


@pytest.mark.parametrize("tidy", [{"smoothing": 6.5}, {"fill_holes": True, "min_size": 20}, {}])
def test_blocks_see_as_much_as_matters(tidy: dict[str, Any]) -> None:
    data, voxel = noise((2, 24, 30, 28), sigma=1), (8, 4, 4)
    for processor in (ThresholdPostProcessor([0.1]), ArgmaxPostProcessor()):
        (parameters,) = swept(
            processor.enumerate_parameters(), {name: [value] for name, value in tidy.items()}
        )
        whole = segmented(processor, data, parameters, voxel)
        parts = processor.process(parameters, num_workers=2, chunk_size=(5, 6, 7)).data
        np.testing.assert_array_equal(parts, whole)
        assert whole.any() and not whole.all()


def test_small_pieces_of_a_class_become_background() -> None:
    probabilities = np.zeros((3, 1, 8), np.float32)
    np.put_along_axis(probabilities, np.array([[[0, 1, 1, 2, 1, 1, 1, 0]]]), 1, axis=0)
    processor = ArgmaxPostProcessor()
    (parameters,) = swept(processor.enumerate_parameters(), {"min_size": [2]})
    assert segmented(processor, probabilities, parameters, (4, 4)).tolist() == [[0, 1, 1, 0, 1, 1, 1, 0]]


@pytest.mark.parametrize("sweep", [{"smoothing": [0, 4, 8]}, {"min_size": [0, 9], "smoothing": [0, 4, 8]}])
def test_smoothing_is_done_once_for_all_that_varies(
    monkeypatch: pytest.MonkeyPatch, sweep: dict[str, Any]
) -> None:
    from dacapo.experiments.tasks.post_processors import cleaning

    asked, real = [], cleaning.smoothed

    def counted(prediction: np.ndarray, deviation: float, voxel_size: Any) -> np.ndarray:
        asked.append((prediction.size, deviation))
        return real(prediction, deviation, voxel_size)

    monkeypatch.setattr(cleaning, "smoothed", counted)
    config = DistanceTaskConfig(
        "d", **DISTANCES, thresholds=[0, 0.1, 0.2], post_processing=WATERSHED, sweep=sweep
    )
    task = build(config)
    task.post_processor.set_prediction(NumpyArray(noise((1, 8, 9, 10)), (4, 4, 4), (0, 0, 0)))
    assert len(set(task.parameters)) == 3 * math.prod(map(len, sweep.values()))
    assert [one.id for one in task.parameters] == list(range(len(task.parameters)))
    for parameters in task.parameters:
        task.post_processor.process(parameters)
    assert [one for one in asked if one[0] > 1] == [(8 * 9 * 10, 4.0), (8 * 9 * 10, 8.0)]


def test_a_sweep_tries_all_combinations() -> None:
    config = DistanceTaskConfig(
        "d", **DISTANCES, thresholds=[0, 0.2], sweep={"smoothing": [0, 8], "fill_holes": [True]}
    )
    assert list(map(str, build(config).parameters)) == [
        "threshold_0.0_filled", "threshold_0.2_filled",
        "threshold_0.0_smoothed_8.0_filled", "threshold_0.2_smoothed_8.0_filled",
    ]  # fmt: skip
    assert [one.id for one in build(config).parameters] == [0, 1, 2, 3]
    # What the task would try itself for a field that is swept does not matter any more.
    swept_too = config.replace(sweep={"threshold": [0.4]})
    assert list(map(str, build(swept_too).parameters)) == ["threshold_0.4"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (AffinitiesTaskConfig("a", neighborhood=[(0, 1)], biases=[0.5], sweep={"min_size": [9]}),
         "bias_0.5_min_size_9"),
        (OneHotTaskConfig("o", classes=["a", "b"], sweep={"min_size": [9]}), "argmax_min_size_9"),
        (InnerDistanceTaskConfig("i", **DISTANCES, thresholds=[0.1], sweep={"fill_holes": [True]}),
         "threshold_0.1_filled"),
        (HotDistanceTaskConfig("h", **DISTANCES, post_processing=COMPONENTS, sweep={"threshold": [0.25]}),
         "components_threshold_0.25"),
        (DummyTaskConfig("d", embedding_dims=1, detection_threshold=0, sweep={"min_size": [3]}),
         "min_size_3"),
    ],
)  # fmt: skip
def test_every_task_can_be_swept(config: TaskConfig, words: str) -> None:
    assert list(map(str, build(config).parameters)) == [words]


def test_what_cannot_be_swept_is_named() -> None:
    config = DistanceTaskConfig("d", **DISTANCES, sweep={"bias": [0.5]})
    known = "bias cannot be swept; Threshold.* has fill_holes, min_size, smoothing, threshold"
    with pytest.raises(InvalidConfig, match=known):
        _ = build(config).parameters
    with pytest.raises(InvalidConfig, match="smoothing has no values"):
        _ = build(config.replace(sweep={"smoothing": []})).parameters
    with pytest.raises(InvalidConfig, match="smoothing = -1.0: should be 0 or more"):
        _ = build(config.replace(sweep={"smoothing": [-1]})).parameters
    with pytest.raises(InvalidConfig, match="min_size = -1: should be 0 or more"):
        WatershedPostProcessorParameters(0, min_size=-1)


def test_post_processors_that_cannot_be_chosen_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="post_processing.*that can be chosen, such as SeededWatershed"):
        DistanceTaskConfig("d", **DISTANCES, post_processing=WatershedPostProcessorParameters(0))
    two = {**DISTANCES, "channels": ["a", "b"]}
    with pytest.raises(InvalidConfig, match="channels.*one class, of which objects are found"):
        DistanceTaskConfig("d", **two, post_processing=COMPONENTS)


def test_documents_without_the_new_fields_are_read_as_ever() -> None:
    config = DistanceTaskConfig("d", **DISTANCES)
    document = documents.write(config)
    del document["sweep"], document["post_processing"]
    again = documents.read(document, TaskConfig)
    assert again == config
    assert [str(one) for one in build(again).parameters] == [f"threshold_{one}" for one in config.thresholds]
    assert "ball__dice" not in build(again).evaluation_scores.criteria
    assert "a__dice" in build(again).evaluation_scores.criteria


@pytest.mark.parametrize("kind", [DistanceTaskConfig, HotDistanceTaskConfig, InnerDistanceTaskConfig])
def test_ids_of_objects_are_parted_in_the_target(kind: type[TaskConfig]) -> None:
    """Objects that touch have a surface between them, also those whose ids differ by 256."""
    ids = np.zeros((6, 12, 12), np.uint32)
    ids[:, 2:6, 2:10], ids[:, 6:10, 2:10] = 1, 257
    gt = NumpyArray(ids, (4, 4, 4), (0, 0, 0))
    predictor = build(kind("objects", **DISTANCES, post_processing=WATERSHED)).predictor
    target = predictor.create_target(gt).data
    assert target[-1, 3, 5, 6] == pytest.approx(np.tanh(2 / 40))
    assert target[-1, 3, 4, 6] == pytest.approx(np.tanh(6 / 40))
    assert ((target[-1] > 0) == (ids > 0)).all()
    if kind is HotDistanceTaskConfig:
        assert (target[0] == (ids > 0)).all()
    weight, counts = predictor.create_weight(gt, predictor.create_target(gt))
    assert counts.ravel().tolist() == [(ids == 0).sum(), (ids > 0).sum()]
    assert weight.data.any()
    with pytest.raises(InvalidArray, match="told apart by whole numbers"):
        predictor.create_target(NumpyArray(ids.astype(np.float32), (4, 4, 4), (0, 0, 0)))
