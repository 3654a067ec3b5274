"""The report: one file, nothing from elsewhere, and what it shows is what was measured."""

from __future__ import annotations

import base64
import io
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import image as matplotlib_image

from dacapo.demo import pictures
from dacapo.demo.charts import Curve, chart
from dacapo.demo.page import cards, facts, folded, page, section, table
from dacapo.demo.report import Report
from dacapo.errors import InvalidRequest
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores

EVIL = '<img src=x onerror="alert(1)">'


def decoded(picture):
    return np.rint(matplotlib_image.imread(io.BytesIO(pictures.png(picture)), format="png") * 255).astype(
        np.uint8
    )


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1), (64, 1, 3)])
def test_a_picture_can_be_read_back(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    read = decoded(picture)
    np.testing.assert_array_equal(read if picture.ndim == 3 else read.reshape(shape), picture)


def test_grey_spans_the_range_whatever_the_values():
    values = np.linspace(-3, 9, 1000).reshape(20, 50)
    shown = pictures.grey(values)
    assert (shown.min(), shown.max()) == (0, 255)
    assert (shown[..., 0] == shown[..., 1]).all()
    assert not pictures.grey(np.full((4, 4), 7)).any()


def test_hits_misses_and_false_alarms_are_told_apart():
    truth, found = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 1, 0]])
    shown = pictures.compared(np.zeros((1, 4, 3), np.uint8), found, truth)
    hit, missed, false, nothing = shown[0].astype(int)
    assert hit.argmax() == np.argmax(pictures.HIT)
    assert missed.argmax() == np.argmax(pictures.MISSED)
    assert false.argmax() == np.argmax(pictures.FALSE)
    assert not nothing.any()


def test_signed_values_are_red_inside_white_at_the_surface_and_blue_outside():
    shown = pictures.diverging(np.array([[-5.0, -1.0, 0.0, 1.0]]))[0]
    assert tuple(shown[0]) == tuple(shown[1]) == pictures.COLD
    assert tuple(shown[2]) == pictures.NEUTRAL
    assert tuple(shown[3]) == pictures.WARM


def test_a_chart_puts_points_where_their_values_are():
    svg = ElementTree.fromstring(chart([Curve("c", [0, 10], [1.0, 3.0], dots=True)], "x", "y"))
    (x0, y0), (x1, y1) = ((float(dot.get("cx")), float(dot.get("cy"))) for dot in svg.findall("circle"))
    assert x0 < x1
    assert y0 > y1  # larger values stand higher, where y is smaller
    assert [dot.find("title").text for dot in svg.findall("circle")] == ["c: 1 at 0", "c: 3 at 10"]


def test_a_logarithmic_chart_spaces_factors_evenly():
    svg = ElementTree.fromstring(chart([Curve("c", [0, 1, 2], [1, 10, 100], dots=True)], "x", "y", True))
    low, middle, high = (float(dot.get("cy")) for dot in svg.findall("circle"))
    assert math.isclose(low - middle, middle - high, abs_tol=0.11)


def test_a_chart_leaves_out_what_is_not_finite():
    svg = ElementTree.fromstring(chart([Curve("c", [0, 1, 2], [1.0, math.nan, 2.0], dots=True)], "x", "y"))
    assert len(svg.findall("circle")) == 2
    assert "nan" not in ElementTree.tostring(svg, "unicode")


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_a_chart_of_nothing_says_so(values):
    assert "nothing to draw" in chart([Curve("c", list(range(len(values))), values)], "x", "y")


def test_a_chart_of_one_value_is_drawn():
    assert (
        ElementTree.fromstring(chart([Curve("c", [5], [2.0], dots=True)], "x", "y")).find("circle")
        is not None
    )


class Tags(HTMLParser):
    """Collects tags, and checks that all are closed in order."""

    EMPTY = ("meta", "br", "img", "line", "circle", "polyline")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_no_text_becomes_markup():
    parts = [
        section(EVIL, folded(EVIL, EVIL), lead=EVIL), cards([(EVIL, EVIL)]), facts([(EVIL, EVIL)]),
        table([EVIL], [[EVIL]]), chart([Curve(EVIL, [0, 1], [0.0, 1.0])], EVIL, EVIL),
    ]  # fmt: skip
    tags = Tags(page(EVIL, EVIL, parts))
    assert not [tag for tag, _ in tags.found if tag in ("img", "script")]


def test_a_table_shades_by_value_and_shows_nan_as_a_dash():
    html = table(["a", "b", "c"], [["x", 0.0, 1.0], ["y", math.nan, 0.5]], best=1, shaded=True)
    shares = [int(share) for share in re.findall(r"var\(--a\) (\d+)%", html)]
    assert shares[0] < shares[2] < shares[1]
    assert "<td>–</td>" in html
    assert html.count("class=best") == 1


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    criteria = (Criterion("mito__dice", True, (0, 1)), Criterion("mito__voi", False))
    labels = ScoreLabels(("held out",), ("threshold_0.0", "threshold_0.5"), criteria)
    scores = ValidationScores.labelled(labels, [
        ValidationIterationScores(10, [[[0.2, 0.9], [0.3, 0.8]]]),
        ValidationIterationScores(20, [[[0.7, 0.3], [math.nan, 0.4]]]),
    ])  # fmt: skip
    truth = rng.integers(0, 2, (6, 8, 8))
    return Report(
        title="a title", lead="a lead", dataset="held out", criterion="mito__dice",
        stats=TrainingStats([TrainingIterationStats(i, 1 / (i + 1), 0.5) for i in range(20)]),
        scores=scores, columns=["mito__dice", "mito__voi"], raw=rng.integers(0, 256, (6, 8, 8)), truth=truth,
        prediction=rng.uniform(-1, 1, (6, 8, 8)), segmentation=truth, config="name: demo\n",
        seconds={"making the volume": 3.0}, versions={"dacapo": "1"},
    )  # fmt: skip


def test_a_report_is_one_file_that_needs_no_other(report, tmp_path):
    report.write(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = Tags(text)
    sources = [
        value for _, attributes in tags.found for name, value in attributes.items() if name in ("src", "href")
    ]
    assert len(sources) == 16
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in text
    assert "url(" not in text
    assert not [tag for tag, _ in tags.found if tag in ("script", "link", "iframe")]


def test_a_report_shows_what_was_measured(report, tmp_path):
    report.write(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.best.iteration == 20
    assert "<b>0.700</b><span>best dice on held out</span>" in text
    assert "<tr class=best><td>threshold_0.0</td><td>0.700</td><td>0.300</td></tr>" in text
    assert "<b>10.0 s</b><span>of training, 2.0 iterations a second" in text
    assert "name: demo" in text
    images = re.findall(r'alt="segmentation, section (\d)" [^>]*base64,([^"]+)"', text)
    assert len(images) == 4
    first = matplotlib_image.imread(io.BytesIO(base64.b64decode(images[0][1])), format="png")
    shown = pictures.compared(
        pictures.grey(report.raw[int(images[0][0])]), report.segmentation[0], report.truth[0]
    )
    assert first.shape[:2] == shown.shape[:2]


def test_lower_is_better_where_it_is(report):
    assert report._best_of_each("mito__voi") == [0.8, 0.3]
    assert report._best_of_each("mito__dice") == [0.3, 0.7]


def test_a_report_without_any_score_is_refused(report):
    report.scores.delete_after(0)
    with pytest.raises(InvalidRequest, match="gave a mito__dice"):
        _ = report.best
