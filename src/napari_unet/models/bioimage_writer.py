"""Models as bioimage.io packages that other programs run: weights, how to use them, and a test that they are right.

A package also carries the model's own card and weights, so that nothing is lost on the way back. It is written to the
disk and nowhere else.
"""

from __future__ import annotations

import importlib
import re
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch

from ..core.errors import MissingExtraError, ModelError
from ..core.model_card import ModelCard
from ..nets import halo
from ..targets import target
from ..tiling.grid import per_axis
from ._package_files import EPS, lengths, make_example, readme, write_cover
from ._torchscript import quiet
from .cards import CARD, WEIGHTS, bundled
from .portable import Scores, read_scores, write_onnx, write_torchscript
from .store import copy_model

__all__ = ["library", "write_package"]

_UNET: Final = "Ronneberger, Fischer and Brox 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation"
_UNET_DOI: Final = "10.1007/978-3-319-24574-4_28"
_DOI: Final = re.compile(r"10\.\d{4,9}/[^\s,;]+[^\s,;.)]")
_AUTHORS: Final = "the napari-unet developers"
_NOBODY: Final = "unknown"
_SPDX: Final = re.compile(r"^[A-Za-z0-9.+-]+$")
_MENDED: Final = (0, 5, 14)  # version of bioimageio.spec that works with every pydantic
_STRICT: Final = (2, 14)  # version of pydantic that earlier ones do not work with
_NAME: Final = 128  # characters of a name
_DESCRIPTION: Final = 1024


def library(name: str) -> Any:
    """Import a part of the bioimage.io library, and keep its log to itself.

    Parameters
    ----------
    name : str
        Of the module.

    Returns
    -------
    module
        Imported.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    ModelError
        If it is of a version that does not work with the others that are installed.
    """
    try:
        with quiet():
            importlib.import_module("loguru").logger.disable("bioimageio")
            found = importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(error.name or name, "bioimageio", "A bioimage.io package") from error
    if _parts("bioimageio.spec") < _MENDED and _parts("pydantic") >= _STRICT:
        raise ModelError(
            f"bioimageio.spec {version('bioimageio.spec')} does not work with pydantic {version('pydantic')}. Install "
            'versions that do: pip install "napari-unet-suite[bioimageio]"'
        )
    return found


def _parts(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version(package).split(".")[:3] if part.isdigit())


def write_package(file: Path, folder: Path, card: ModelCard) -> None:
    """Write a model as a bioimage.io package.

    Parameters
    ----------
    file : Path
        A new zip file.
    folder : Path
        The model's folder.
    card : ModelCard
        Its card.

    Raises
    ------
    ModelError
        If the model is a foreign one, or cannot be described.
    MissingExtraError
        If the bioimage.io library is not installed.
    """
    spec = library("bioimageio.spec")
    scores = read_scores(folder, card)
    if not card.authors:
        scores.card = card.model_copy(update={"authors": (_AUTHORS if bundled(folder) else _NOBODY,)})
    with TemporaryDirectory() as place:
        root = Path(place)
        opset = _write_files(root, folder, scores)
        try:
            # Relative names mean files of this folder; nothing that is described lies anywhere else.
            with spec.ValidationContext(root=root, log_warnings=False), quiet():
                described = spec.build_description(_described(scores, opset))
                if isinstance(described, spec.InvalidDescr):
                    raise ModelError(f"'{card.name}' cannot be described for bioimage.io: {described.get_reason()}")
                spec.save_bioimageio_package(described, output_path=file)
        except ValueError as error:
            raise ModelError(f"'{card.name}' cannot be written as a bioimage.io package: {error}") from error


def _write_files(root: Path, folder: Path, scores: Scores) -> int:
    """Fill a folder with all files of a package; return the version of ONNX's operators, 0 where there is no ONNX."""
    copy_model(folder, root, scores.card)
    write_torchscript(root / "weights.pt", scores)
    example = make_example(scores)
    np.save(root / "test_input.npy", example.image)
    np.save(root / "test_output.npy", example.scores)
    write_cover(root / "cover.png", example)
    opset, missing = 0, ""
    try:
        opset = write_onnx(root / "weights.onnx", scores)
    except MissingExtraError:
        pass  # a choice beside TorchScript
    except ModelError as error:
        missing = f"\n## ONNX\n\nThere are no ONNX weights in this package. {error}\n"
    (root / "README.md").write_text(readme(scores.card) + missing, encoding="utf-8")
    return opset


def _described(scores: Scores, opset: int) -> dict[str, Any]:
    """Return the description of a package, as bioimage.io's format 0.5 has it."""
    card = scores.card
    made = {"pytorch_version": torch.__version__.split("+")[0]}
    weights: dict[str, Any] = {"torchscript": {"source": "weights.pt", **made}}
    if opset:
        weights["onnx"] = {"source": "weights.onnx", "opset_version": opset, "parent": "torchscript"}
    found = _DOI.search(card.data)
    cited = [*card.citations, *([card.data] if found else [])]
    return {
        "type": "model",
        "format_version": "0.5.3",
        "name": _name(card),
        "description": (card.description or card.title or f"Finds {card.task}s in microscopy images.")[:_DESCRIPTION],
        "authors": [{"name": author} for author in card.authors],
        "cite": [
            {"text": _UNET, "doi": _UNET_DOI},
            *({"text": text, "doi": doi[0]} for text in cited if (doi := _DOI.search(text))),
        ],
        "license": card.license if _SPDX.match(card.license) else None,
        "documentation": "README.md",
        "covers": ["cover.png"],
        "tags": ["segmentation", "instance-segmentation", "unet", f"{card.net.ndim}d", "napari"],
        "inputs": [_input(scores)],
        "outputs": [_output(scores)],
        "weights": weights,
        "attachments": [{"source": CARD}, {"source": WEIGHTS}],
        "config": {"napari-unet": {"version": version("napari-unet-suite"), "sha256": card.sha256}},
    }


def _name(card: ModelCard) -> str:
    return re.sub(r"[^A-Za-z0-9_+\- ()]", " ", f"napari-unet {card.name}")[:_NAME]


def _input(scores: Scores) -> dict[str, Any]:
    card = scores.card
    names = ["red", "green", "blue"] if card.net.inputs == 3 else [f"channel{i}" for i in range(card.net.inputs)]
    axes: list[dict[str, Any]] = [{"type": "batch"}, {"type": "channel", "channel_names": names}]
    for axis, (least, step) in zip("zyx"[3 - card.net.ndim :], lengths(scores), strict=True):
        axes.append({"type": "space", "id": axis, "size": {"min": least, "step": step}})
    return {
        "id": "image",
        "axes": axes,
        "test_tensor": {"source": "test_input.npy"},
        "data": {"type": "float32"},
        "preprocessing": _preprocessing(card),
    }


def _preprocessing(card: ModelCard) -> list[dict[str, Any]]:
    rule = card.normalize
    over = [*(["channel"] if rule.joint else []), *"zyx"[3 - card.net.ndim :]]
    steps: list[dict[str, Any]] = [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]
    if before := {k: v for k, v in (("min", rule.floor), ("max", rule.ceiling)) if v is not None}:
        steps.append({"id": "clip", "kwargs": before})
    if rule.kind == "percentile":
        between = {"min_percentile": rule.low, "max_percentile": rule.high}
        steps.append({"id": "scale_range", "kwargs": {"axes": over, **between, "eps": card.normalize.eps or EPS}})
    elif rule.kind == "mean_std":
        steps.append({"id": "zero_mean_unit_variance", "kwargs": {"axes": over, "eps": card.normalize.eps or EPS}})
    elif rule.kind == "fixed":
        known = {"mean": list(rule.offset), "std": list(rule.divisor), "axis": "channel"}
        plain = {"mean": rule.offset[0], "std": rule.divisor[0]}
        steps.append({"id": "fixed_zero_mean_unit_variance", "kwargs": plain if len(rule.divisor) == 1 else known})
    if rule.limits is not None:
        steps.append({"id": "clip", "kwargs": {"min": rule.limits[0], "max": rule.limits[1]}})
    return [*steps, {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]


def _output(scores: Scores) -> dict[str, Any]:
    card = scores.card
    names = [*target(card.target).CHANNELS, "size"]
    axes: list[dict[str, Any]] = [{"type": "batch"}, {"type": "channel", "channel_names": names}]
    for axis, rim in zip("zyx"[3 - card.net.ndim :], per_axis(halo(card.net), card.net.ndim), strict=True):
        size = {"tensor_id": "image", "axis_id": axis}
        axes.append({"type": "space", "id": axis, "size": size, **({"halo": rim} if rim else {})})
    return {
        "id": "scores",
        "axes": axes,
        "test_tensor": {"source": "test_output.npy"},
        "data": {"type": "float32", "range": [0.0, 1.0]},
    }
