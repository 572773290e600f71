"""Model folders: ``card.json`` and ``weights.safetensors``. The hash of the weights is the model's identity."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from ..core.errors import ModelError, OutputError
from ..core.model_card import ModelCard
from ..io.atomic import atomic_folder
from ..nets import build
from .cards import CARD, WEIGHTS

__all__ = ["copy_model", "read_network", "write_model"]

_LARGEST: Final = 2**31  # bytes; a weights file above this is refused before it is read


def read_network(folder: Path, card: ModelCard) -> nn.Module:
    """Build a model's network and load its weights.

    Parameters
    ----------
    folder : Path
        A model folder.
    card : ModelCard
        Its card.

    Returns
    -------
    torch.nn.Module
        In float32, on the CPU, not folded.

    Raises
    ------
    ModelError
        If the weights are missing, damaged, another program's, or not the ones the card names.
    """
    file = folder / WEIGHTS
    if card.foreign is not None:
        raise ModelError(
            f"The network of '{card.name}' was made by another program. It can find objects, but it can be neither "
            "trained further nor written in other formats here."
        )
    if not file.is_file() or file.stat().st_size > _LARGEST:
        raise ModelError(f"{file} is missing or larger than {_LARGEST} bytes. Get the model folder again.")
    data = file.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if card.sha256 and found != card.sha256:
        raise ModelError(
            f"{file} is not the weights file its card names (sha256 {found[:12]} instead of {card.sha256[:12]}). "
            "It was changed or damaged; get the model folder again."
        )
    try:
        weights = load(data)
        # Without memory first: a card may ask for a network that is larger than the machine.
        with torch.device("meta"):
            wanted = build(card.net).state_dict()
        if {n: v.shape for n, v in weights.items()} != {n: v.shape for n, v in wanted.items()}:
            raise ValueError("the names or shapes of its tensors are not those of the network in the card")
        network = build(card.net)
        network.load_state_dict({name: value.to(wanted[name].dtype) for name, value in weights.items()})
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{file} does not hold the weights of '{card.name}': {error}. Get the model folder again, "
            "or update this program if the model is newer than it."
        ) from error
    return network.eval()


def write_model(
    folder: Path, card: ModelCard, network: nn.Module, fill: Callable[[Path], None] | None = None
) -> ModelCard:
    """Store a model; the folder appears whole or not at all.

    Parameters
    ----------
    folder : Path
        New model folder; an existing one is replaced.
    card : ModelCard
        Its card; the hash is filled in.
    network : torch.nn.Module
        Not folded. Convolution weights are stored in 16 bits, normalization in 32.
    fill : callable, optional
        Writes what else belongs to the model into the folder that it is given.

    Returns
    -------
    ModelCard
        The card as written.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    weights = {
        name: value.detach().cpu().to(torch.float16 if value.ndim > 1 else value.dtype).contiguous()
        for name, value in network.state_dict().items()
    }
    data = save(weights)
    card = card.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The model cannot be written to {folder}: {error}. Choose another place.") from error
    with atomic_folder(folder, overwrite=True) as part:
        (part / WEIGHTS).write_bytes(data)
        (part / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if fill is not None:
            fill(part)
    return card


def copy_model(folder: Path, into: Path, card: ModelCard) -> None:
    """Copy a model's files, and no others, into a folder that exists.

    Parameters
    ----------
    folder : Path
        The model.
    into : Path
        Where its files go.
    card : ModelCard
        What is written as its card.

    Raises
    ------
    ModelError
        If a file is missing or is a link, which could lead anywhere.
    """
    spec = card.foreign
    names = [WEIGHTS] if spec is None else [spec.file, *([spec.code] if spec.code and not spec.library else [])]
    for name in names:
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise ModelError(f"{file} is missing, or is a link to somewhere else. Get the model folder again.")
        shutil.copyfile(file, into / name)
    (into / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
