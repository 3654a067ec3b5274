"""Networks of COSEM are found by name, downloaded once and matched by label; what is in the way is said.

A small package stands in for cellmap-models, and a server of our own for that of COSEM.
"""

from __future__ import annotations

import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch import nn

from dacapo.config import build
from dacapo.documents import documents
from dacapo.errors import MissingPlugin, NotFound, ShapeError
from dacapo.experiments.architectures import CNNectomeUNetConfig, WrappedArchitectureConfig
from dacapo.experiments.model import Model
from dacapo.experiments.starts import CosemStartConfig, InitialWeightsConfig
from dacapo.testing import failures, fake_package

PACKAGE = {
    "cellmap_models/__init__.py": "",
    "cellmap_models/pytorch/__init__.py": "",
    "cellmap_models/pytorch/cosem/setup26_1/__init__.py": "",
    "cellmap_models/pytorch/cosem/setup26_1/model.py": 'classes_channels = ["mito", "mito_mem", "ribo"]\n',
    "cellmap_models/pytorch/cosem/__init__.py": """
from torch import nn

models_dict = {{"setup26.1/" + n: "{server}/setup26.1/" + n for n in ("2580000", "650000")}}
models_list, model_names = list(models_dict), ["setup26.1"]


class Architecture(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv3d(1, 5, 3, padding=1), nn.ReLU())
        self.prediction_head = nn.Conv3d(5, 3, 1)


def load_model(name):
    print("Not loading weights for", name)
    return Architecture()
""",
}


@pytest.fixture
def served():
    """What the server has by path, how often it was asked, and where it is."""
    files: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            asked.append(self.path)
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"") + self.path.endswith("650000")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield files, asked, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def forget_package():
    for name in [name for name in sys.modules if name.partition(".")[0] == "cellmap_models"]:
        del sys.modules[name]


@pytest.fixture
def package(served, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    modules = {path: text.format(server=served[2]) for path, text in PACKAGE.items()}
    forget_package()
    monkeypatch.syspath_prepend(str(fake_package(tmp_path / "site", "cellmap-models", modules=modules)))
    yield
    forget_package()


def model(channels=2, seed=0, arguments=None):
    torch.manual_seed(seed)
    config = WrappedArchitectureConfig(
        "cosem", module="CosemUNet", arguments=arguments or {"setup": "setup26.1"}, fmaps_in=1, fmaps_out=5,
        input_shape=(8, 8, 8),
    )  # fmt: skip
    return Model(config, nn.Conv3d(5, channels, 1))


def checkpoint(of: Model, tmp_path) -> bytes:
    """Return a checkpoint as existing DaCapo wrote those of COSEM: every tensor under two names."""
    state = of.state_dict()
    twins = {
        key.replace("chain.0.", "architecture.").replace("chain.1.", "prediction_head."): tensor
        for key, tensor in state.items()
    }
    torch.save({"model": {**twins, **state}, "optimizer": {}}, tmp_path / "checkpoint")
    return (tmp_path / "checkpoint").read_bytes()


def begin(new, run="setup26.1", criterion="2580000", labels=("new", "mito_mem")):
    start = build(CosemStartConfig(run, criterion))
    brought = start.bring()
    return start.initialize_weights(new, brought.tensors, brought.channels, list(labels))


def test_documents_of_existing_dacapo_are_read():
    document = {"__type__": "CosemStartConfig", "run": "setup04", "criterion": "1820500"}
    assert documents.read(document, InitialWeightsConfig) == CosemStartConfig("setup04", "1820500")


def test_weights_are_downloaded_once_and_the_head_is_matched(package, served, tmp_path, capsys):
    files, asked, _ = served
    old, new = model(3, seed=1), model(2, seed=2)
    files["/setup26.1/2580000"] = checkpoint(old, tmp_path)
    for _ in range(2):
        loaded = begin(new)
    assert asked == ["/setup26.1/2580000"]
    assert torch.equal(new.state_dict()["chain.0.unet.0.weight"], old.state_dict()["chain.0.unet.0.weight"])
    assert torch.equal(new.prediction_head.weight[1], old.prediction_head.weight[1])
    assert (loaded.labels, loaded.new_labels) == (("mito_mem",), ("new",))
    assert capsys.readouterr().out == ""


def test_what_existing_dacapo_downloaded_is_used(package, served, tmp_path):
    old, new = model(3, seed=1), model(2, seed=2)
    place = tmp_path / "runs" / "setup26.1" / "checkpoints" / "iterations" / "2580000"
    place.parent.mkdir(parents=True)
    place.write_bytes(checkpoint(old, tmp_path))
    begin(new)
    assert served[1] == []
    assert torch.equal(new.prediction_head.weight[1], old.prediction_head.weight[1])


def test_without_the_package_it_is_said_what_to_install(monkeypatch, tmp_path):
    forget_package()
    monkeypatch.setitem(sys.modules, "cellmap_models", None)
    with pytest.raises(MissingPlugin, match=r"pip install 'dacapo\[cosem\]'"):
        build(CosemStartConfig("setup04", "1820500")).bring()
    with pytest.raises(MissingPlugin, match=r"pip install 'dacapo\[cosem\]'"):
        model()


def test_names_that_do_not_exist_name_those_that_do(package):
    with pytest.raises(
        NotFound, match="COSEM has no setup26.1/7; there are setup26.1/2580000, setup26.1/650000"
    ):
        build(CosemStartConfig("setup26.1", "7")).bring()
    with pytest.raises(NotFound, match="COSEM has no 'setup7'; there are setup26.1"):
        model(arguments={"setup": "setup7"})


@pytest.mark.parametrize(
    ("criterion", "content", "reason"),
    [("2580000", None, "404"), ("650000", b"cut short", "the connection broke after 9 of 10 bytes")],
)
def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(
    package, served, tmp_path, criterion, content, reason
):
    if content is not None:
        served[0][f"/setup26.1/{criterion}"] = content
    with pytest.raises(
        NotFound, match=rf"cannot be downloaded: .*{reason}.*put it at .*setup26.1/{criterion}"
    ):
        build(CosemStartConfig("setup26.1", criterion)).bring()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_offline_it_is_said_where_to_put_the_file(package, monkeypatch):
    from cellmap_models.pytorch import cosem

    monkeypatch.setitem(cosem.models_dict, "setup26.1/2580000", "http://127.0.0.1:9/closed")
    with pytest.raises(NotFound, match=r"Connection refused.*may be offline: download it where.*put it at "):
        build(CosemStartConfig("setup26.1", "2580000")).bring()


def test_a_network_of_another_make_is_told_which_one_fits(package, served, tmp_path):
    served[0]["/setup26.1/2580000"] = checkpoint(model(3), tmp_path)
    other = CNNectomeUNetConfig(
        "net", input_shape=(20, 20, 20), fmaps_in=1, fmaps_out=5, num_fmaps=3, fmap_inc_factor=2,
        downsample_factors=[],
    )  # fmt: skip
    with pytest.raises(ShapeError, match=r"setup26.1/2580000 do not fit.*module='CosemUNet'.*'setup26.1'"):
        begin(Model(other, nn.Conv3d(5, 2, 1)))


def test_it_passes_the_checks_of_all_starts(package, served, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    served[0]["/setup26.1/2580000"] = checkpoint(model(3), tmp_path)
    assert list(failures(CosemStartConfig("setup26.1", "2580000"))) == []
    assert "downloading http://127.0.0.1" in caplog.text
