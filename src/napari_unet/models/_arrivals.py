"""A model that arrives is recognized, checked, run and brought into the form of a model folder."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.torch import save_file

from ..core.errors import ModelError
from ..core.model_card import ModelCard, is_plain
from ._bare import SUFFIXES, describe
from ._consent import MEANING, give_consent
from ._probe import completed, run_check, try_out
from ._runners import take_onnx
from ._torchscript import read_state
from .archive import unpack
from .bioimage_reader import CODE, Package, find_description, read_package
from .cards import CARD, WEIGHTS, find_card, read_card
from .foreign import open_foreign
from .store import copy_model, read_network

__all__ = ["Wish", "prepare"]

_KNOWN: Final = "a model folder or a .zip of one, a bioimage.io package, or an .onnx or TorchScript (.pt) file"
_LONGEST: Final = 60  # characters of a name that a model brings


@dataclass(frozen=True)
class Wish:
    """What the user says of a model that is to be added: arguments of ``add_model``."""

    name: str | None = None
    consent: bool = False
    target: str | None = None

    def called(self, said: str) -> str:
        """Return what a model is to be called that comes with a name of its own."""
        if self.name is None:
            plain = re.sub(r'[/\\:*?"<>|\x00-\x1f]+', "-", said)[:_LONGEST].strip(" .-")
            return plain if is_plain(plain) else f"model {plain}".strip()
        if not is_plain(self.name):
            raise ModelError(f"No model can be called '{self.name}'. Give a plain word, without / \\ : * ? \" < > |.")
        return self.name


def prepare(source: Path, place: Path, wish: Wish) -> ModelCard:
    """Bring a model into the form of a model folder.

    Parameters
    ----------
    source : Path
        What the user wants to add.
    place : Path
        An empty folder; the model's files are put into its folder ``ready``.
    wish : Wish
        What the user says of it.

    Returns
    -------
    ModelCard
        As it was written.

    Raises
    ------
    ModelError
        If it is no model, is damaged, cannot be used here or needs consent.
    MissingExtraError
        If a package is needed that is not installed.
    """
    ready = place / "ready"
    ready.mkdir()
    root = _root(source, place / "unpacked")
    if root.is_file():
        return _bare(root, ready, wish)
    return _folder(root, ready, wish) if find_card(root) else _package(root, ready, wish)


def _root(source: Path, unpacked: Path) -> Path:
    """Return what there is to read: a folder with a card or a description, or a bare network."""
    if not source.exists():
        raise ModelError(f"There is no '{source}'. Give {_KNOWN}.")
    if source.is_file() and source.suffix.lower() in SUFFIXES:
        return source
    if source.is_file() and source.suffix.lower() in (".json", ".toml", ".yaml", ".yml"):
        source = source.parent
    if source.is_file():
        if source.suffix.lower() != ".zip":
            raise ModelError(f"'{source.name}' is no model that can be added. Give {_KNOWN}.")
        unpack(source, unpacked)
        source = unpacked
    inner = [path for path in source.iterdir() if path.is_dir() and path.name[0] != "."]
    places: list[Path] = [source, *(inner if len(inner) == 1 else [])]
    for root in places:
        if find_card(root) or find_description(root):
            return root
    raise ModelError(f"There is neither a {CARD} nor a bioimage.io description (rdf.yaml) in it. Give {_KNOWN}.")


def _folder(root: Path, ready: Path, wish: Wish) -> ModelCard:
    """Take a model folder as it is."""
    card = read_card(root)
    if wish.target not in (None, card.target.name):
        raise ModelError(
            f"The model '{card.name}' says itself how it describes objects: as '{card.target.name}', and not as "
            f"'{wish.target}'. Leave that out; it is for bare networks."
        )
    card = card.model_copy(update={"name": wish.called(card.name)})
    copy_model(root, ready, card)
    if not card.sha256:
        card = _written(ready, card)
    if card.foreign is None:
        read_network(ready, card)
        return card
    if card.foreign.format == "state_dict":
        _ask(card, wish)
        give_consent(ready, card.foreign)
    model = open_foreign(ready, card)
    edges = card.foreign.fitting((1,) * card.net.ndim)
    model.predict(np.zeros((1, card.net.inputs, *edges), np.float32))
    return card


def _package(root: Path, ready: Path, wish: Wish) -> ModelCard:
    """Take a bioimage.io package: its network, and what it says about it."""
    package = read_package(root, wish.called(""))
    card = package.card.model_copy(update={"name": wish.called(package.card.title)})
    spec = card.foreign
    if spec is None:
        raise ModelError("It describes no network.")
    if spec.format == "state_dict":
        _ask(card, wish)
    _take(package, ready / spec.file)
    if package.code is not None:
        shutil.copyfile(package.code, ready / CODE)
    if spec.format == "state_dict":
        give_consent(ready, spec)
    model = open_foreign(ready, card)
    outputs = try_out(model) if package.check is None else run_check(model, package.check)
    return _written(ready, completed(model, outputs, package.channels, wish.target))


def _bare(file: Path, ready: Path, wish: Wish) -> ModelCard:
    """Take a network that comes without a description."""
    card, known = describe(file, wish.called(file.stem))
    if card.foreign is None:
        raise ModelError("It describes no network.")
    if card.foreign.format == "onnx":
        take_onnx(file, ready / card.foreign.file)
    else:
        shutil.copyfile(file, ready / card.foreign.file)
    model = open_foreign(ready, card.model_copy(update={"sha256": ""}))
    if known and wish.target in (None, card.target.name):
        try_out(model)
        return _written(ready, card)
    return _written(ready, completed(model, try_out(model), (), wish.target))


def _take(package: Package, into: Path) -> None:
    """Copy a package's weights."""
    kind = package.card.foreign.format if package.card.foreign else ""
    if kind == "onnx":
        take_onnx(package.weights, into)
    elif kind == "torchscript":
        shutil.copyfile(package.weights, into)
    else:
        # Read without running anything, and kept in a form that can hold nothing to run.
        save_file({name: value.contiguous().clone() for name, value in read_state(package.weights).items()}, into)


def _written(ready: Path, card: ModelCard) -> ModelCard:
    """Write a card with the hash of what it is for."""
    file = ready / (card.foreign.file if card.foreign else WEIGHTS)
    card = card.model_copy(update={"sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
    (ready / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return card


def _ask(card: ModelCard, wish: Wish) -> None:
    spec = card.foreign
    if spec is not None and not wish.consent:
        where = f"the installed package '{spec.code}'" if spec.library else "a Python file that comes with it"
        raise ModelError(f"The network of '{card.name}' is built by '{spec.entry}' in {where}. {MEANING}")
