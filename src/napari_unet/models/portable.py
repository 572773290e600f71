"""Networks as files that other programs run: ONNX and TorchScript.

The file maps normalized images ``(b, c, *s)`` of any size on the network's grid to scores in 0 to 1, ``(b, k, *s)``:
the channels of the target, then the object size. The model's card is kept in it, so that this program knows it again.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from ..core.errors import MissingExtraError, ModelError
from ..core.model_card import ModelCard
from ..nets import multiple
from ..nets._norm import fold
from ..targets import Target, target
from ..tiling.grid import per_axis
from ._torchscript import CARD_INSIDE, quiet, write_script
from .store import read_network

__all__ = ["Scores", "read_scores", "write_onnx", "write_torchscript"]

_CHATTY: Final = "torch.onnx._internal.exporter._registration"  # tells of packages that are not needed


class Scores(nn.Module):
    """A network that puts out scores: what is sent to other programs.

    Parameters
    ----------
    card : ModelCard
        Its card.
    network : torch.nn.Module
        Folded here, so give a copy if it is trained on.
    """

    def __init__(self, card: ModelCard, network: nn.Module) -> None:
        super().__init__()
        self.card = card
        self.network = fold(network).eval().requires_grad_(False)
        self._target: Target = target(card.target)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map normalized images ``(b, c, *s)`` to scores ``(b, k, *s)``."""
        scores: torch.Tensor = self._target.activate(self.network(image))
        return scores

    @property
    def steps(self) -> tuple[int, ...]:
        """What lengths along each spatial axis must be multiples of."""
        return per_axis(multiple(self.card.net), self.card.net.ndim)

    def example(self) -> torch.Tensor:
        """Return something that it takes, of another length along every axis."""
        shape = (self.card.net.inputs, *((2 + i) * step for i, step in enumerate(self.steps)))
        return torch.linspace(-1, 2, 2 * torch.Size(shape).numel()).reshape(2, *shape)


def read_scores(folder: Path, card: ModelCard) -> Scores:
    """Read a model of this program as a network that puts out scores.

    Parameters
    ----------
    folder : Path
        A model folder.
    card : ModelCard
        Its card.

    Returns
    -------
    Scores
        In float32, on the CPU.

    Raises
    ------
    ModelError
        If its weights are missing or damaged, or it is a foreign model.
    """
    return Scores(card, read_network(folder, card))


def write_torchscript(file: Path, scores: Scores) -> None:
    """Write a network as TorchScript.

    Parameters
    ----------
    file : Path
        Is replaced.
    scores : Scores
        What is written.
    """
    # Pooling is written as pooling only where gradients could be asked for; see nets/unet.py.
    with torch.enable_grad():
        write_script(file, scores, scores.example(), scores.card.model_dump_json())


def write_onnx(file: Path, scores: Scores) -> int:
    """Write a network as ONNX, with any number of images of any size on its grid.

    Parameters
    ----------
    file : Path
        Is replaced.
    scores : Scores
        What is written.

    Returns
    -------
    int
        Version of the operators.

    Raises
    ------
    MissingExtraError
        If the packages that write ONNX are not installed.
    ModelError
        If the network has something that ONNX does not know.
    """
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingExtraError(package, "onnx", "Writing ONNX") from error
    lengths = zip("dhw"[3 - len(scores.steps) :], scores.steps, strict=True)
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    free |= {axis: step * torch.export.Dim(name) for axis, (name, step) in enumerate(lengths, 2)}
    try:
        with quiet(), _hushed(), torch.enable_grad():
            program = torch.onnx.export(
                scores,
                (scores.example(),),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=["scores"],
                dynamic_shapes={"image": free},
            )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            f"The network of '{scores.card.name}' could not be written as ONNX: {error} Write it as torchscript."
        ) from error
    if program is None:
        raise ModelError(f"The network of '{scores.card.name}' could not be written as ONNX.")
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where on this computer the code lies is nobody's business
    program.model.metadata_props[CARD_INSIDE] = scores.card.model_dump_json()
    program.save(str(file))
    return int(program.model.opset_imports[""])


@contextmanager
def _hushed() -> Iterator[None]:
    logger = logging.getLogger(_CHATTY)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
