"""Writing a run as a package that any program of BioImage.IO can use."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import bioimageio.core
import numpy as np
import torch
from bioimageio.spec import save_bioimageio_package
from bioimageio.spec.model import v0_5
from funlib.geometry import Coordinate, Roi

from dacapo.documents import documents
from dacapo.errors import DataError, InvalidArchive, InvalidRequest, StoreError

from . import rebuilding

if TYPE_CHECKING:
    from dacapo.experiments import Run
    from dacapo.experiments.datasplits.datasets.arrays import Array

UNITS = {"nm": "nanometer", "um": "micrometer", "µm": "micrometer", "mm": "millimeter"}
SEED = 0


@attrs.frozen(kw_only=True)
class About:
    """What people should know of a model: who made it, under which license, and what to cite."""

    authors: Sequence[str]
    license: str = "MIT"
    cite: Sequence[tuple[str, str]] = ()  # a text, and its DOI or URL
    description: str = ""
    documentation: str = ""
    iteration: int | None = None


@attrs.frozen(eq=False)
class Patch:
    """What goes in and what comes out, to try a package with, and the grid it lies on."""

    raw: np.ndarray[Any, Any]
    prediction: np.ndarray[Any, Any]
    voxel_size: Coordinate
    output_voxel_size: Coordinate
    unit: str | None


def export(run: Run, path: Path, about: About, *, overwrite: bool = False, check: bool = True) -> Path:
    """Write the model of a run, with the weights it has, as a package of format 0.5; return its path.

    What goes in is what the network was trained on: the raw arrays of its datasets, behind their
    intensities.  With ``check`` the official validator has to pass before the file is there.  Raises
    ``InvalidRequest`` for what cannot be said in a package, ``InvalidArchive`` if the validator finds faults.
    """
    if not about.authors:
        raise InvalidRequest("a package has to name its authors: give at least one, with  --author NAME")
    if path.suffix != ".zip":
        raise InvalidRequest(f"{path} should end with .zip")
    if path.exists() and not overwrite:
        raise InvalidRequest(f"{path} is there already; choose another name, or give  --overwrite")
    model = run.model.eval()
    patch = _patch(run)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        descr = _described(run, about, patch, folder, _scripted(model, patch, folder))
        made = Path(save_bioimageio_package(descr, output_path=folder / "package.zip"))
        if check:
            _check(made)
        _publish(made, path)
    return path


def _patch(run: Run) -> Patch:
    """Return the middle of the data that the run is validated on; random numbers if that is not here."""
    architecture, raw = run.architecture, _raw(run)
    shape, voxel_size = architecture.input_shape, Coordinate((1,) * architecture.dims)
    unit = None
    if raw is not None:
        voxel_size, unit = raw.voxel_size, UNITS.get(raw.units[-1] if raw.units else "")
        begin = raw.roi.center - shape * voxel_size / 2
        roi = Roi((begin - raw.offset) / voxel_size * voxel_size + raw.offset, shape * voxel_size)
        data = raw.to_ndarray(roi, fill_value=0).reshape(architecture.num_in_channels, *shape)
    else:
        data = np.random.default_rng(SEED).random((architecture.num_in_channels, *shape))
    given = np.ascontiguousarray(data[None], np.float32)
    with torch.no_grad():
        made = run.model(torch.from_numpy(given)).numpy()
    return Patch(given, made, voxel_size, architecture.scale(voxel_size), unit)


def _raw(run: Run) -> Array | None:
    """Return the first raw image of the run that can be read and fits the network."""
    try:
        datasets = [*run.datasplit.validate, *run.datasplit.train]
        arrays = [dataset.raw for dataset in datasets]
    except (DataError, StoreError, OSError):
        return None
    fitting = (one for one in arrays if one.dims == run.architecture.dims)
    return next((one for one in fitting if (one.num_channels or 1) == run.architecture.num_in_channels), None)


def _scripted(model: torch.nn.Module, patch: Patch, folder: Path) -> Path | None:
    """Write the network as TorchScript, if it then does the same for larger inputs too."""
    given = torch.from_numpy(patch.raw)
    stride = model.architecture.stride
    larger = given if stride is None else torch.rand(1, given.shape[1], *(model.input_shape + stride * 2))
    try:
        # BioImage.IO knows no format that came after TorchScript, of which torch warns.
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            script = torch.jit.trace(model, given)
            if not torch.allclose(script(larger), model(larger), rtol=1e-4, atol=1e-5):
                return None
    except RuntimeError:
        return None
    script.save(str(folder / "torchscript.pt"))
    return folder / "torchscript.pt"


def _described(run: Run, about: About, patch: Patch, folder: Path, script: Path | None) -> v0_5.ModelDescr:
    """Write the files of a package, and return their description; raises ``InvalidRequest``."""
    np.save(folder / "raw.npy", patch.raw)
    np.save(folder / "prediction.npy", patch.prediction)
    torch.save(run.model.state_dict(), folder / "weights.pt")
    (folder / "README.md").write_text(_documentation(run, about))
    try:
        return v0_5.ModelDescr(
            name=_title(run.name),
            description=about.description or f"Predicts {', '.join(run.task.channels)}; trained with DaCapo.",
            authors=[v0_5.Author(name=name) for name in about.authors],
            cite=[_citation(text, where) for text, where in about.cite],
            license=v0_5.LicenseId(about.license),
            documentation=v0_5.FileDescr(source=folder / "README.md"),
            timestamp=v0_5.Datetime.now(),
            inputs=[_input(run, patch, folder)],
            outputs=[_output(run, patch, folder)],
            weights=_weights(run, folder, script),
            config=v0_5.Config(dacapo=_ours(run, about)),
        )
    except ValueError as error:  # of which pydantic's is one
        raise InvalidRequest(f"run {run.name} cannot be described as a package: {error}") from error


def _input(run: Run, patch: Patch, folder: Path) -> v0_5.InputTensorDescr:
    step = run.architecture.stride
    axes = [
        v0_5.SpaceInputAxis(
            id=v0_5.AxisId(axis),
            size=size if step is None else v0_5.ParameterizedSize(min=size, step=step[at]),
            scale=patch.voxel_size[at],
            unit=patch.unit,
        )
        for at, (axis, size) in enumerate(zip(_names(patch), run.architecture.input_shape, strict=True))
    ]
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId("raw"),
        description="The image, its intensities as in training.",
        axes=[v0_5.BatchAxis(), _channels("raw", run.architecture.num_in_channels), *axes],
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=v0_5.FileDescr(source=folder / "raw.npy"),
    )


def _output(run: Run, patch: Patch, folder: Path) -> v0_5.OutputTensorDescr:
    given, made = patch.raw.shape[2:], patch.prediction.shape[2:]
    axes = []
    for at, axis in enumerate(_names(patch)):
        scaled = given[at] * patch.voxel_size[at] // patch.output_voxel_size[at]
        size: Any = made[at]
        if run.architecture.stride is not None:
            size = v0_5.SizeReference(
                tensor_id=v0_5.TensorId("raw"), axis_id=v0_5.AxisId(axis), offset=made[at] - scaled
            )
        axes.append(
            v0_5.SpaceOutputAxis(
                id=v0_5.AxisId(axis), size=size, scale=patch.output_voxel_size[at], unit=patch.unit
            )
        )
    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId("prediction"),
        description=f"One channel each: {', '.join(run.task.channels)}.",
        axes=[v0_5.BatchAxis(), _channels("prediction", patch.prediction.shape[1]), *axes],
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=v0_5.FileDescr(source=folder / "prediction.npy"),
    )


def _weights(run: Run, folder: Path, script: Path | None) -> v0_5.WeightsDescr:
    built = v0_5.Version(torch.__version__.partition("+")[0])
    described = {
        "task": documents.write(run.config.task_config),
        "architecture": documents.write(run.config.architecture_config),
    }
    state = v0_5.PytorchStateDictWeightsDescr(
        source=folder / "weights.pt",
        pytorch_version=built,
        architecture=v0_5.ArchitectureFromLibraryDescr(
            callable=v0_5.Identifier(rebuilding.CALLABLE), import_from=rebuilding.__name__, kwargs=described
        ),
    )
    scripted = None
    if script is not None:
        scripted = v0_5.TorchscriptWeightsDescr(
            source=script, pytorch_version=built, parent="pytorch_state_dict"
        )
    return v0_5.WeightsDescr(pytorch_state_dict=state, torchscript=scripted)


def _ours(run: Run, about: About) -> dict[str, Any]:
    return {
        "run": run.name,
        "repetition": run.config.repetition,
        "iteration": about.iteration,
        "channels": list(run.task.channels),
        "dacapo": version("dacapo"),
    }


def _documentation(run: Run, about: About) -> str:
    scores = "" if about.iteration is None else f" Its weights are those of iteration {about.iteration}."
    return about.documentation or (
        f"# {_title(run.name)}\n\nTrained with DaCapo {version('dacapo')}: the run {run.name} with the task "
        f"{run.config.task_config.name}.{scores}\n\n"
        "## Input\n\nThe raw image with its intensities brought to what the run was trained on: those of the "
        "arrays of its datasets.\n\n## Validation\n\n"
        f"Compare the prediction with labelled data of your own before you rely on it. Channels: "
        f"{', '.join(run.task.channels)}.\n"
    )


def _citation(text: str, where: str) -> v0_5.CiteEntry:
    if where.startswith(("http://", "https://")) and "doi.org/" not in where:
        return v0_5.CiteEntry(text=text, url=where)
    return v0_5.CiteEntry(text=text, doi=v0_5.Doi(where.rpartition("doi.org/")[2]))


def _channels(name: str, count: int) -> v0_5.ChannelAxis:
    return v0_5.ChannelAxis(channel_names=[v0_5.Identifier(f"{name}{at}") for at in range(count)])


def _names(patch: Patch) -> str:
    return "zyx"[-len(patch.voxel_size) :]


def _title(name: str) -> str:
    """Return a name with nothing that titles in the zoo may not have."""
    kept = "".join(one if one.isalnum() or one in "_+- ()" else " " for one in name)
    return " ".join(kept.split())[:128].ljust(5, "_")


def _check(path: Path) -> None:
    """Raise ``InvalidArchive`` if the official validator finds faults."""
    summary = bioimageio.core.test_description(path)
    if summary.status != "passed":
        faults = [f"{detail.name}: {error.msg}" for detail in summary.details for error in detail.errors]
        raise InvalidArchive(
            "the validator of BioImage.IO does not pass the package, so it was not kept: "
            + ("; ".join(faults[:3]) or f"it is {summary.status}")
        )


def _publish(made: Path, path: Path) -> None:
    """Put a file in its place at once."""
    temporary = path.with_name(f".part-{secrets.token_hex(8)}")
    try:
        shutil.copyfile(made, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise StoreError(f"writing {path} failed: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
