"""Plots of runs: what is drawn is what was stored, on every backend, for old data as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner, Result

from dacapo import plot
from dacapo.cli import cli
from dacapo.errors import InvalidRequest, MissingPlugin, NotFound
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.plot import get_runs_info, plot_runs, smooth_values
from dacapo.store.create_store import create_config_store, create_stats_store
from mongo_places import MongoPlace
from old_stores import NAME, OldFileStore, OldMongoStore, fill
from stored_runs import run_config

CRITERIA = (Criterion("mito__f1_score", True), Criterion("er__f1_score", True), Criterion("mito__voi", False))
# Iterations x parameter sets, the same on both datasets but for half of it.
MITO = np.array([[0.25, 0.5], [0.75, np.nan], [0.5, 0.625]])


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    """Draw without a screen, and keep no figure."""
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.fixture(params=["files", "memory", "mongo"])
def place(request: pytest.FixtureRequest, monkeypatch):
    """Let the options name a place of each sort."""
    options = (
        request.getfixturevalue("mongo").options if request.param == "mongo" else {"type": request.param}
    )
    for key, value in options.items():
        monkeypatch.setenv(f"DACAPO_{key.upper()}", value)


def store(name: str, repetition: int = 0, losses: int = 300, scored: bool = True) -> None:
    """Store a run with stats and scores."""
    config = run_config(name, repetition)
    create_config_store().store_run_config(config)
    if losses:
        steps = np.arange(losses)
        columns = {"loss": 1.0 / (1 + steps) + (steps % 2), "time": np.ones(losses)}
        create_stats_store().store_training_stats(config, TrainingStats.of(steps, columns))
    if scored:
        labels = ScoreLabels(("crop7", "crop8"), ("p", "q"), CRITERIA)
        scores = ValidationScores.labelled(labels)
        for row, values in enumerate(MITO):
            of_mito = np.stack([values, values, 4 - values], axis=-1)
            scores.add_iteration_scores(
                ValidationIterationScores((row + 1) * 100, [of_mito.tolist(), (of_mito / 2).tolist()])
            )
        create_stats_store().store_validation_iteration_scores(config, scores)


def called(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["plot", *map(str, arguments)])


def test_the_best_of_each_iteration_is_drawn_by_its_direction(place):
    store("wide")
    [info] = get_runs_info("wide", "mito__voi")
    assert [(curve.dataset, curve.higher_is_better) for curve in info.scores] == [
        ("crop7", False), ("crop8", False)
    ]  # fmt: skip
    assert info.scores[0].values.tolist() == [3.5, 3.25, 3.375] and info.scores[0].best == 1
    [info] = get_runs_info(["wide"], dataset="crop8")  # without a score that of every channel
    assert [curve.criterion for curve in info.scores] == ["mito__f1_score", "er__f1_score"]
    assert info.scores[0].values.tolist() == [0.25, 0.375, 0.3125]
    assert info.scores[0].iterations.tolist() == [100, 200, 300]
    [info] = get_runs_info(["wide"], ["mito__f1_score"], higher_is_betters=[False], dataset="crop7")
    assert info.scores[0].values.tolist() == [0.25, 0.75, 0.5] and info.scores[0].best == 0
    assert len(info.loss) == 300 and info.loss.maximum[1] == 1.5


def test_losses_and_scores_are_drawn_and_the_best_is_marked(place):
    store("wide")
    store("wide", 1, losses=5000)
    figure = plot_runs(["wide"], 50, "f1_score", dataset="crop7")
    losses, scores = figure.axes
    assert losses.get_yscale() == "log" and losses.get_ylabel() == "loss"
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["wide", "wide:1"]
    faint, bold = losses.lines[0].get_ydata(), losses.lines[1].get_ydata()
    assert faint[:2].tolist() == [1.0, 1.5]
    assert np.allclose(bold, smooth_values(faint, 50)) and bold[150] == pytest.approx(0.5, abs=0.02)
    # Of 5000 iterations each point stands for five, so ten of them make fifty.
    faint, bold = losses.lines[2].get_ydata(), losses.lines[3].get_ydata()
    assert len(faint) == 1000 and np.allclose(bold, smooth_values(faint, 10))
    assert scores.get_ylabel() == "f1_score\n(higher is better)"
    texts = [text.get_text() for text in scores.get_legend().get_texts()]
    assert texts == [
        f"{run} {part}: best 0.75 at 200" for run in ("wide", "wide:1") for part in ("mito", "er")
    ]
    stars = [line.get_xydata().tolist() for line in scores.lines if line.get_marker() == "*"]
    assert stars == [[[200.0, 0.75]]] * 4


def test_each_run_may_be_drawn_in_its_own_way():
    store("a")
    store("b")
    figure = plot_runs(
        ["a", "b"],
        validation_scores=["mito__f1_score", "voi"],
        higher_is_betters=[None, True],
        plot_losses=[False, True],
        dataset="crop7",
    )
    losses, f1, voi = figure.axes
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["b"]
    assert [text.get_text() for text in f1.get_legend().get_texts()] == ["a: best 0.75 at 200"]
    assert voi.get_ylabel() == "voi\n(higher is better)"
    assert [text.get_text() for text in voi.get_legend().get_texts()] == ["b: best 3.75 at 100"]
    [scores] = plot_runs(["a"], plot_losses=False, validation_scores="voi", dataset="crop8").axes
    assert scores.get_ylabel() == "voi\n(lower is better)"
    for wrong in ({"validation_scores": ["voi"]}, {"plot_losses": [True] * 3}, {"higher_is_betters": []}):
        with pytest.raises(InvalidRequest, match="were given for 2 runs; give one for each, or one for all"):
            plot_runs(["a", "b"], **wrong)


def test_smoothing_is_the_mean_of_the_neighbours():
    assert smooth_values([0.0, 3.0, 6.0, 3.0], 3).tolist() == [1.5, 3.0, 4.0, 4.5]
    assert smooth_values([0.0, 3.0, 6.0, 3.0], 1).tolist() == [0.0, 3.0, 6.0, 3.0]
    assert smooth_values([0.0, 3.0, 6.0, 3.0], 2, stride=2).tolist() == [0.0, 4.5]
    assert smooth_values([0.0, np.nan, 6.0, 3.0], 3).tolist() == [0.0, 3.0, 4.5, 4.5]
    assert np.isnan(smooth_values([np.nan, np.nan, 1.0, 1.0], 1)).tolist() == [True, True, False, False]
    assert smooth_values([], 3).tolist() == []


def test_odd_numbers_and_names_are_drawn(tmp_path):
    config = run_config("_odd")
    create_config_store().store_run_config(config)
    losses = np.array([1.0, np.nan, -2.0, np.inf])
    stats = TrainingStats.of(np.arange(4), {"loss": losses, "time": np.ones(4)})
    create_stats_store().store_training_stats(config, stats)
    labels = ScoreLabels(("$a$b$", "empty"), ("p",), (Criterion("$x$_{__y", True),))
    scores = ValidationScores.labelled(labels)
    scores.add_iteration_scores(ValidationIterationScores(1, [[[0.5]], [[np.nan]]]))
    create_stats_store().store_validation_iteration_scores(config, scores)
    figure = plot_runs("_odd")
    assert figure.axes[0].get_yscale() == "linear"
    for axes, label in zip(figure.axes, (" _odd", " _odd: best 0.5 at 1"), strict=True):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [label]
    figure.savefig(tmp_path / "odd.png")


def test_what_is_not_there_is_said(caplog):
    store("untrained", losses=0, scored=False)
    with pytest.raises(NotFound, match="nothing to draw of untrained: train a run with  dacapo train RUN"):
        plot_runs("untrained")
    with pytest.raises(NotFound, match="nothing to draw of no run"):
        plot_runs([])
    store("wide")
    with pytest.raises(NotFound, match="run wid: no such config .*did you mean wide"):
        plot_runs("wid")
    with pytest.raises(NotFound, match="run wide:3: no such config"):
        plot_runs("wide:3")
    with pytest.raises(NotFound, match="run wide has no scores by f1_scor; did you mean .*mito__f1_score"):
        plot_runs("wide", validation_scores="f1_scor")
    with pytest.raises(NotFound, match="run wide has no scores on crop; did you mean crop8 or crop7"):
        plot_runs("wide", dataset="crop")
    assert not caplog.text
    assert len(plot_runs(["wide", "untrained"], validation_scores=["f1_score", "voi"]).axes) == 2
    store("other")
    assert len(plot_runs(["wide", "other"], validation_scores=["voi", "xyzzy"]).axes) == 2
    assert "run other has no scores by xyzzy; there are er__f1_score, mito__f1_score" in caplog.text


def test_pages_by_bokeh_name_what_there_is_instead():
    with pytest.raises(InvalidRequest, match="plots by Bokeh are not there; use  dacapo.plot.plot_runs"):
        plot.bokeh_plot_runs(["a"], return_json=True)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    store("wide")
    with pytest.raises(MissingPlugin, match=r"plots need matplotlib; .*pip install 'dacapo\[plot\]'"):
        plot_runs("wide")
    result = called("wide")
    assert result.exit_code == 1 and "dacapo[plot]" in result.stderr


def test_matplotlib_waits_until_something_is_drawn():
    code = "import sys, dacapo.plot, dacapo.cli.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_command_writes_a_picture(place, tmp_path):
    store("wide")
    result = called("wide", "--score", "mito__f1_score")
    assert (result.exit_code, result.stdout) == (0, "runs.png\n")
    assert Path("runs.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # texts stay texts
        assert called("wide", "--no-loss", "--dataset", "crop8", "--output", "a.svg").exit_code == 0
    texts = " ".join(element.text or "" for element in ElementTree.parse("a.svg").iter())
    assert "wide er: best 0.375 at 200" in texts and "loss" not in texts
    wrong = {"a.gif": (2, "should end in one of .png, .svg, .pdf"), "no/a.png": (3, "there is no folder")}
    for output, (code, said) in wrong.items():
        result = called("wide", "--output", output)
        assert result.exit_code == code and said in result.stderr
    assert called("wide", "--smooth", "0").exit_code == 2
    assert called("wide", "--score", "dice").exit_code == 3


@pytest.mark.parametrize("sort", ["files", "mongo"])
def test_old_runs_are_drawn(sort, request, tmp_path, monkeypatch):
    if sort == "files":
        fill(OldFileStore(tmp_path / "runs"), tmp_path / "data")
        assert CliRunner().invoke(cli, ["store", "import-legacy", "--trust-pickles"]).exit_code == 0
    else:
        mongo: MongoPlace = request.getfixturevalue("mongo")
        for key, value in mongo.options.items():
            monkeypatch.setenv(f"DACAPO_{key.upper()}", value)
        old = OldMongoStore(mongo)
        fill(old, tmp_path / "data")
        old.client.close()
    [info] = get_runs_info(NAME)
    assert (info.name, len(info.loss)) == (NAME, 6)
    [curve] = info.scores
    assert (curve.criterion, curve.iterations.tolist()) == ("ball__f1_score", [4])
    result = called(NAME, "--output", tmp_path / "old.png")
    assert result.exit_code == 0 and (tmp_path / "old.png").stat().st_size > 10_000
