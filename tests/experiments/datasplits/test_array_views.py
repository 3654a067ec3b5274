"""Tests of arrays made from other arrays, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, InvalidConfig, OutsideData
from dacapo.experiments.datasplits.datasets.arrays import (
    BinarizeArrayConfig,
    ConcatArrayConfig,
    ConstantArrayConfig,
    CropArrayConfig,
    DummyArrayConfig,
    IntensitiesArrayConfig,
    LogicalOrArrayConfig,
    OnesArrayConfig,
    SumArrayConfig,
)


@pytest.fixture
def labels(rng, memory):
    return memory(rng.integers(0, 5, (7, 6, 5)), (4, 2, 2), (8, 0, -2))


def test_binarize_makes_one_channel_per_group(labels, reads_by_parts):
    array = BinarizeArrayConfig(
        "b", source_array_config=labels, groupings=[("one", [1]), ("some", [2, 3]), ("any", [])], background=4
    ).array()
    ids = labels.values
    np.testing.assert_array_equal(array.data, [ids == 1, (ids == 2) | (ids == 3), ids != 4])
    assert array.dtype == np.uint8 and array.axis_names == ["c^", "z", "y", "x"]
    assert array.roi == labels.array().roi
    reads_by_parts(array)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", "bool"])
def test_binarize_compares_labels_exactly(memory, dtype):
    ids = np.array([[0, 1, 0]]).astype(dtype)
    groupings = [
        ("one", [1]),
        ("several", [1, 300, -7, 2**63]),
        ("none", [300, -7]),
        ("negative background", []),
    ]
    config = BinarizeArrayConfig("b", source_array_config=memory(ids), groupings=groupings, background=-1)
    np.testing.assert_array_equal(config.array().data[:, 0], [[0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]])


def test_binarize_keeps_large_neighbouring_labels_apart(memory):
    ids = np.array([[2**60, 2**60 + 1, 5]], np.uint64)
    config = BinarizeArrayConfig("b", source_array_config=memory(ids), groupings=[("a", [2**60, 7])])
    np.testing.assert_array_equal(config.array().data, [[[1, 0, 0]]])


def test_binarize_refuses_channels_and_real_numbers(rng, memory):
    for values, size in ((rng.integers(0, 2, (2, 3, 3)), (1, 1)), (rng.random((3, 3)), (1, 1))):
        with pytest.raises(InvalidArray, match="whole numbers without a channel axis"):
            BinarizeArrayConfig("b", source_array_config=memory(values, size), groupings=[("a", [1])]).array()
    with pytest.raises(InvalidConfig, match="each once"):
        BinarizeArrayConfig("b", source_array_config=memory(values), groupings=[("a", [1]), ("a", [2])])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float64"])
def test_intensities_scale_without_clipping(rng, memory, reads_by_parts, dtype):
    values = rng.integers(0, 250, (2, 4, 5)).astype(dtype)
    array = IntensitiesArrayConfig("i", source_array_config=memory(values, (1, 1)), min=50, max=200).array()
    np.testing.assert_allclose(array.data, (values.astype(float) - 50) / 150, atol=1e-6)
    assert array.dtype == np.float32 and array.num_channels == 2
    reads_by_parts(array)


def test_intensities_tell_large_numbers_apart(memory):
    values = np.array([[2**31, 2**31 + 1, 2**31 + 4]], np.uint32)
    config = IntensitiesArrayConfig("i", source_array_config=memory(values), min=2**31, max=2**31 + 4)
    np.testing.assert_allclose(config.array().data, [[0, 0.25, 1]])


def test_intensities_without_a_range_are_refused(labels):
    with pytest.raises(InvalidConfig, match="should be above min"):
        IntensitiesArrayConfig("i", source_array_config=labels, min=3, max=3)


def test_crop_is_the_part_inside_a_region(labels, reads_by_parts):
    array = CropArrayConfig("c", source_array_config=labels, roi=Roi((12, 2, 0), (8, 4, 4))).array()
    np.testing.assert_array_equal(array.data, labels.values[1:3, 1:3, 1:3])
    assert array.roi == Roi((12, 2, 0), (8, 4, 4))
    reads_by_parts(array)
    with pytest.raises(OutsideData):
        array[labels.array().roi]


def test_crop_may_leave_axes_uncut(labels):
    roi = Roi((8, None, None), (8, None, None))
    array = CropArrayConfig("c", source_array_config=labels, roi=roi).array()
    np.testing.assert_array_equal(array.data, labels.values[:2])
    assert array.offset == Coordinate(8, 0, -2)


def test_crop_to_nothing_off_the_grid_or_in_other_dimensions_is_refused(labels):
    for roi, error, says in (
        (Roi((800, 0, 0), (4, 4, 4)), OutsideData, "nothing of memory"),
        (Roi((9, 0, 0), (8, 4, 4)), InvalidArray, "does not lie on the grid"),
        (Roi((0, 0), (4, 4)), InvalidArray, "has 2 dimensions, and memory has 3"),
    ):
        with pytest.raises(error, match=says):
            CropArrayConfig("c", source_array_config=labels, roi=roi).array()


def test_constants_have_the_shape_of_their_source(rng, memory, reads_by_parts):
    source = memory(rng.random((2, 3, 4, 5)).astype("f4"), (1, 2, 3))
    half = ConstantArrayConfig("h", source_array_config=source, constant=0.5).array()
    assert (half.data == 0.5).all() and half.shape == (2, 3, 4, 5) and half.dtype == np.float32
    ones = OnesArrayConfig("o", source_array_config=source).array()
    assert (ones.data == 1).all()
    reads_by_parts(half)
    assert source.reads == []


def test_a_constant_that_the_dtype_cannot_hold_is_refused(labels, memory):
    for value in (0.5, 300):
        with pytest.raises(InvalidArray, match="does not fit uint8"):
            ConstantArrayConfig(
                "c", source_array_config=memory(np.zeros((2, 2), np.uint8)), constant=value
            ).array()


def test_concat_follows_channels_and_fills_in_the_default(rng, memory, reads_by_parts):
    a, b, default = (memory(rng.integers(0, 9, (4, 5, 6)).astype(t)) for t in ("u1", "u2", "i1"))
    array = ConcatArrayConfig(
        "c", channels=["b", "missing", "a"], source_array_configs={"a": a, "b": b}, default_config=default
    ).array()
    np.testing.assert_array_equal(array.data, [b.values, default.values, a.values])
    assert array.dtype == np.int32 and array.num_channels == 3
    reads_by_parts(array)


def test_concat_reads_the_region_that_its_sources_share(rng, memory, reads_by_parts):
    a = memory(rng.random((6, 6)), (2, 2))
    b = memory(rng.random((1, 6, 6)), (2, 2), (4, -2))
    array = ConcatArrayConfig("c", channels=["a", "b"], source_array_configs={"a": a, "b": b}).array()
    assert array.roi == Roi((4, 0), (8, 10))
    np.testing.assert_array_equal(array.data, [a.values[2:6, 0:5], b.values[0, 0:4, 1:6]])
    reads_by_parts(array)


def test_concat_refuses_what_it_cannot_stack(rng, memory):
    two = memory(rng.random((2, 3, 3)), (1, 1))
    flat = memory(rng.random((3, 3)), (1, 1), name="flat")
    coarse = memory(rng.random((3, 3)), (2, 2), name="coarse")
    far = memory(rng.random((3, 3)), (1, 1), (50, 0), name="far")

    def concat(**sources):
        return ConcatArrayConfig("c", channels=list(sources), source_array_configs=sources).array()

    with pytest.raises(InvalidArray, match="has 2 channels and should have one"):
        concat(a=two)
    with pytest.raises(InvalidArray, match="coarse .* does not lie on the grid of flat"):
        concat(a=flat, b=coarse)
    with pytest.raises(InvalidArray, match="no region in common: flat covers .* far covers"):
        concat(a=flat, b=far)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"channels": ["a", "a"], "source_array_configs": {}}, "each once"),
        ({"channels": ["a"], "source_array_configs": {"b": DummyArrayConfig("d")}}, "should also name b"),
        ({"channels": ["a"], "source_array_configs": {}}, "an array for a, unless there is a default_config"),
    ],
)
def test_concat_needs_an_array_for_every_channel(fields, says):
    with pytest.raises(InvalidConfig, match=says):
        ConcatArrayConfig("c", **fields)


def test_logical_or_is_the_largest_channel(rng, memory, reads_by_parts):
    source = memory(rng.integers(0, 2, (3, 4, 5, 6)).astype("u1"), (1, 1, 1))
    array = LogicalOrArrayConfig("o", source_array_config=source).array()
    np.testing.assert_array_equal(array.data, source.values.any(axis=0))
    assert array.num_channels is None and array.axis_names == ["z", "y", "x"]
    reads_by_parts(array)
    with pytest.raises(InvalidArray, match="has no channels to merge"):
        LogicalOrArrayConfig("o", source_array_config=memory(np.zeros((3, 3)))).array()


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["u1", "u1"], "u2"),
        (["bool", "bool"], "u1"),
        (["i1", "u1"], "i2"),
        (["u8", "u8"], "u8"),
        (["f4", "u1"], "f4"),
    ],
)
def test_sums_do_not_overflow(rng, memory, reads_by_parts, dtypes, expected):
    sources = [memory(rng.integers(0, 2, (2, 4, 5)).astype(d) * np.array(1, d), (1, 1)) for d in dtypes]
    if dtypes == ["u1", "u1"]:
        sources[0].values[:] = sources[1].values[:] = 200
    array = SumArrayConfig("s", source_array_configs=sources).array()
    assert array.dtype == np.dtype(expected)
    np.testing.assert_array_equal(array.data, sum(s.values.astype(expected) for s in sources))
    reads_by_parts(array)


def test_sums_need_the_same_channels(memory):
    sources = [memory(np.zeros((3, 3))), memory(np.zeros((2, 3, 3)), (1, 1))]
    with pytest.raises(InvalidArray, match="the same channels, and have None .* 2"):
        SumArrayConfig("s", source_array_configs=sources).array()
    with pytest.raises(InvalidConfig, match="at least one array"):
        SumArrayConfig("s", source_array_configs=[])


def test_dummy_is_a_volume_of_zeros():
    array = DummyArrayConfig("d").array()
    assert array.shape == (100, 50, 50) and not array[:3].any()


def test_views_read_nothing_before_they_are_asked_and_then_only_the_region(memory):
    source = memory(np.zeros((2, 40, 40, 40), np.uint8), (1, 1, 1))
    merged = LogicalOrArrayConfig("o", source_array_config=source)
    config = IntensitiesArrayConfig(
        "i",
        min=0,
        max=1,
        source_array_config=CropArrayConfig(
            "c",
            roi=Roi((10, 10, 10), (20, 20, 20)),
            source_array_config=ConcatArrayConfig(
                "k",
                channels=["a", "b"],
                source_array_configs={
                    "a": merged,
                    "b": SumArrayConfig("s", source_array_configs=[merged, merged]),
                },
            ),
        ),
    )
    array = config.array()
    assert source.reads == []
    array[Roi((12, 12, 12), (3, 4, 5))]
    assert source.reads == [(3, 4, 5)] * 3
