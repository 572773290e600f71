"""What a bioimage.io package says, in format 0.4 or 0.5: read with the bioimage.io library, and without the internet.

The library gets only what is needed here, so that nothing in a stranger's description makes it look anything up, and it
opens no file: those are found, checked and read here.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.errors import MissingExtraError, ModelError
from ..core.foreign import ForeignSpec
from ..core.model_card import ModelCard
from ..core.networks import NetSpec
from ..core.specs import TargetSpec
from ._bioimage_axes import channels_of, geometry, letters_of
from ._bioimage_steps import postprocessing, preprocessing
from ._torchscript import quiet
from .bioimage_writer import library

__all__ = ["CODE", "Check", "Package", "find_description", "read_package"]

_NAMES: Final = ("rdf.yaml", "bioimageio.yaml", "model.yaml", "rdf.yml", "bioimageio.yml", "model.yml")
_LARGEST: Final = 2**20  # bytes of a description
_MOST: Final = 100_000  # parts of a description
_LARGEST_TEST: Final = 2**28  # bytes of a test tensor
_FORMATS: Final = ("onnx", "torchscript", "pytorch_state_dict")
_FILES: Final = {"onnx": "weights.onnx", "torchscript": "weights.pt", "pytorch_state_dict": "weights.safetensors"}
CODE: Final = "network.py"  # what a file of code is called in a model folder
_KEPT: Final = (
    "type", "format_version", "name", "description", "authors", "cite", "license", "inputs", "outputs", "test_inputs",
    "test_outputs", "weights", "timestamp", "documentation", "id",
)  # fmt: skip
_LOOKED_UP: Final = ("output_of", "sample_tensor")  # of a tensor: lies elsewhere, or is not needed
_NOT_NEEDED: Final = ("parent", "authors", "dependencies", "attachments")  # of weights


@dataclass(frozen=True)
class Check:
    """A test that a package comes with.

    Attributes
    ----------
    image : ndarray
        Raw, in the input's own order of axes.
    outputs : tuple of ndarray
        What must come out, one for each output.
    relative, absolute : float
        How much each value may differ.
    mismatched : float
        Share of values that may differ more.
    """

    image: npt.NDArray[Any]
    outputs: tuple[npt.NDArray[Any], ...]
    relative: float
    absolute: float
    mismatched: float


@dataclass(frozen=True)
class Package:
    """A package, read.

    Attributes
    ----------
    card : ModelCard
        Complete but for what its channels mean and its hash.
    weights : Path
        The network's file.
    code : Path or None
        The file that builds the network of a state_dict.
    channels : tuple of str
        Names of all outputs' channels.
    check : Check or None
        Its test.
    """

    card: ModelCard
    weights: Path
    code: Path | None
    channels: tuple[str, ...]
    check: Check | None


def find_description(root: Path) -> Path | None:
    """Return the description of a package in a folder, or None if there is none."""
    named = [root / name for name in _NAMES if (root / name).is_file()]
    return next(iter(named or sorted(root.glob("*.bioimageio.yaml"))), None)


def read_package(root: Path, name: str) -> Package:
    """Read a bioimage.io package.

    Parameters
    ----------
    root : Path
        Folder of an unpacked package.
    name : str
        What the model is to be called.

    Returns
    -------
    Package
        What it says.

    Raises
    ------
    ModelError
        If it is no model, is damaged, or is a model that cannot be used here; the message says why.
    MissingExtraError
        If the bioimage.io library, or what its weights need, is not installed.
    """
    described = _load(root)
    inputs = [tensor for tensor in described.inputs if not getattr(tensor, "optional", False)]
    if len(inputs) != 1:
        raise ModelError(f"It takes {len(inputs)} inputs; only networks of one image can be used here.")
    entry = inputs[0]
    kind, weights = _weights(described.weights)
    built = weights.architecture if kind == "pytorch_state_dict" else None
    code = _local(root, built) if built is not None and hasattr(built, "source") else None
    normalize, before = preprocessing(entry.preprocessing, entry.axes, str(entry.id))
    sizes, halo = geometry(entry, described.outputs)
    foreign = ForeignSpec.of(
        file=_FILES[kind],
        format=kind.removeprefix("pytorch_"),
        axes=letters_of(entry),
        outputs=tuple(letters_of(tensor) for tensor in described.outputs),
        sizes=sizes,
        halo=halo,
        before=before,
        after=tuple(postprocessing(tensor.postprocessing) for tensor in described.outputs),
        strict=getattr(weights, "strict", True),
        **({} if built is None else _building(built, code)),
    )
    channels = tuple(name for tensor in described.outputs for name in channels_of(tensor))
    inside = next((len(axis.channel_names) for axis in entry.axes if axis.type == "channel"), 1)
    net = NetSpec(architecture="foreign", ndim=foreign.ndim, inputs=inside, outputs=len(channels), widths=(1,))
    card = _card(described, name).model_copy(
        update={
            "net": net,
            "normalize": normalize,
            "channels": (1, 3) if inside == 3 else (inside,),  # gray is colorless color
            "foreign": foreign,
        }
    )
    return Package(card, _local(root, weights), code, channels, _check(root, described, kind))


def _building(built: Any, code: Path | None) -> dict[str, Any]:
    """Return how the network of a state_dict is built."""
    source = {"code": str(built.import_from), "library": True} if code is None else {"code": CODE}
    return {**source, "entry": str(built.callable), "options": dict(built.kwargs)}


def _card(described: Any, name: str) -> ModelCard:
    """Return what a person reads of a model."""
    return ModelCard.of(
        name=name,
        title=str(described.name),
        description=str(described.description),
        net=NetSpec(),
        target=TargetSpec(name="foreground"),
        data="; ".join(str(cited.text) for cited in described.cite),
        license=str(described.license or ""),
        recipe=f"bioimage.io {described.id or described.name}",
        authors=tuple(str(author.name) for author in described.authors),
        citations=tuple(f"{c.text} doi:{c.doi}" if c.doi else str(c.text) for c in described.cite),
        tile_invariant=False,
    )


def _load(root: Path) -> Any:
    """Return the description, checked by the library and in format 0.5."""
    file = find_description(root)
    if file is None or file.stat().st_size > _LARGEST:
        raise ModelError(f"'{root.name}' has no description ({_NAMES[0]}) of a bioimage.io package.")
    spec = library("bioimageio.spec")
    yaml = importlib.import_module("ruyaml")
    try:
        content = yaml.YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except (yaml.error.YAMLError, ValueError, OSError, RecursionError) as error:
        raise ModelError(f"'{file.name}' cannot be read: {error}. Get the package again.") from error
    if _counted(content) > _MOST or not isinstance(content, dict) or content.get("type", "model") != "model":
        raise ModelError(f"'{file.name}' describes no model.")
    with spec.ValidationContext(root=root, perform_io_checks=False, log_warnings=False), quiet():
        try:
            described = spec.build_description(_needed(content), format_version="latest")
        except (ValueError, TypeError, AttributeError, KeyError, AssertionError, NotImplementedError) as error:
            raise ModelError(f"'{file.name}' is not what bioimage.io asks for: {error}") from error
    if isinstance(described, spec.InvalidDescr):
        raise ModelError(f"'{file.name}' is not what bioimage.io asks for: {described.get_reason()[:1000]}")
    return described


def _counted(content: Any) -> int:
    """Count the parts of a description; names for its own parts can make a small one explode."""
    count, left = 0, [content]
    while left and count <= _MOST:
        part = left.pop()
        count += 1
        left += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return count


def _needed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a description that are used here; the rest could name anything anywhere."""
    kept: dict[str, Any] = {name: content[name] for name in _KEPT if name in content}
    for side in ("inputs", "outputs"):
        tensors = kept.get(side)
        if isinstance(tensors, list):
            kept[side] = [_without(tensor, _LOOKED_UP) for tensor in tensors]
    weights = kept.get("weights")
    if isinstance(weights, dict):
        found = {kind: _without(entry, _NOT_NEEDED) for kind, entry in weights.items() if kind in _FORMATS}
        if not found:
            raise ModelError(
                f"Its weights are for other programs ({', '.join(map(str, weights))}). Only ONNX, TorchScript and "
                "PyTorch weights can be used here."
            )
        kept["weights"] = found
    said = content.get("config")
    config = said.get("bioimageio") if isinstance(said, dict) else None
    if isinstance(config, dict):
        names = ("reproducibility_tolerance", "test_kwargs")
        kept["config"] = {"bioimageio": {name: config[name] for name in names if name in config}}
    return kept


def _without(entry: Any, names: Sequence[str]) -> Any:
    return {name: value for name, value in entry.items() if name not in names} if isinstance(entry, dict) else entry


def _weights(weights: Any) -> tuple[str, Any]:
    """Choose weights: those that need no code first."""
    there = [kind for kind in _FORMATS if getattr(weights, kind, None) is not None]
    runs = all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime"))
    usable = [kind for kind in there if kind != "onnx" or runs]
    if not usable or (usable == ["pytorch_state_dict"] and "onnx" in there):
        raise MissingExtraError("onnxruntime", "onnx", "This model's ONNX network")
    return usable[0], getattr(weights, usable[0])


def _local(root: Path, entry: Any) -> Path:
    """Return a file that a package names: one of its own, and the one that it means."""
    source = str(entry.source)
    parts = PurePosixPath(source).parts
    file = root.joinpath(*parts)
    if "://" in source:
        raise ModelError(f"Its file {source} lies on the internet. Download the complete package (.zip) and add that.")
    if "\\" in source or ":" in source or ".." in parts or PurePosixPath(source).is_absolute():
        raise ModelError(f"It names the file '{source}', which is not its own. It is not opened.")
    if not file.is_file() or any(part.is_symlink() for part in (file, *file.parents) if root in part.parents):
        raise ModelError(f"Its file '{source}' is missing, or is a link to somewhere else. Get the package again.")
    wanted = getattr(entry, "sha256", None)
    if wanted is not None and hashlib.sha256(file.read_bytes()).hexdigest() != str(wanted):
        raise ModelError(f"Its file '{source}' was changed or damaged (its sha256 differs). Get the package again.")
    return file


def _check(root: Path, described: Any, kind: str) -> Check | None:
    """Read the test tensors."""
    tensors = [described.inputs[0], *described.outputs]
    if any(tensor.test_tensor is None for tensor in tensors) or len(described.inputs) != 1:
        return None
    arrays = []
    for tensor in tensors:
        file = _local(root, tensor.test_tensor)
        try:
            if file.stat().st_size > _LARGEST_TEST:
                raise ValueError(f"it is larger than {_LARGEST_TEST} bytes")
            arrays.append(np.load(file, allow_pickle=False))
        except (ValueError, OSError, EOFError) as error:
            raise ModelError(
                f"Its test tensor '{file.name}' cannot be read: {error}. Get the package again."
            ) from error
    config = described.config.bioimageio
    old = ((config.model_extra or {}).get("test_kwargs") or {}).get(kind) or {}
    fitting = (t for t in config.reproducibility_tolerance if not t.weights_formats or kind in t.weights_formats)
    said = next(fitting, None)
    if said is not None:
        tolerance = said.relative_tolerance, said.absolute_tolerance, said.mismatched_elements_per_million / 1e6
    else:
        tolerance = float(old.get("relative_tolerance", 1e-3)), float(old.get("absolute_tolerance", 1e-3)), 0.0
    return Check(arrays[0], tuple(arrays[1:]), *tolerance)
