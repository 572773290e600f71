"""TorchScript files: written, and read from strangers.

TorchScript is a small language of its own and cannot call Python, but its programs can write files (``torch.save``) and
read them (``torch.from_file``). So the program's text is searched for what a network has no use for, and what torch is
given is not the stranger's archive but a new one made of exactly the members that were searched.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from ..core.errors import ModelError
from .archive import Limits, list_members

__all__ = ["CARD_INSIDE", "open_script", "quiet", "read_state", "write_script"]

CARD_INSIDE: Final = "napari-unet-card.json"
_MAGIC: Final = b"PK\3\4"
_MEMBERS: Final = 20_000  # every weight is one
_PROGRAM: Final = re.compile(r"^[^/]+/code/.*\.py$")
_KEPT: Final = re.compile(r"^[^/]+/(data\.pkl|constants\.pkl|version|byteorder|(data|constants|extra|code)/.*)$")
# Operators that reach the disk or other machines, and operators from libraries that torch does not come with.
_REACHES_OUT: Final = re.compile(r"\b(save|from_file|rpc_\w+|load_tensor)\b|\bops\.(?!aten\b|prim\b|quantized\b)\w+")
_WORDS: Final = "ONNX or TorchScript file, or a bioimage.io package"
_WRAPPERS: Final = ("state_dict", "model_state_dict", "model_state", "model")


def open_script(file: Path, device: str = "cpu") -> tuple[Any, str]:
    """Open a TorchScript network.

    Parameters
    ----------
    file : Path
        From anywhere.
    device : str
        Where it is to run.

    Returns
    -------
    module : torch.jit.ScriptModule
        In evaluation mode.
    card : str
        The model card that this program puts into such files, or nothing.

    Raises
    ------
    ModelError
        If it is none, is damaged, or does more than a network has to.
    """
    data = _searched(file)
    extra: dict[str, Any] = {CARD_INSIDE: ""}
    try:
        with quiet():
            module = torch.jit.load(io.BytesIO(data), map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, EOFError) as error:
        raise ModelError(f"'{file.name}' is no TorchScript that this torch can open: {error}") from error
    found = extra[CARD_INSIDE]
    return module.eval(), found.decode("utf-8", "replace") if isinstance(found, bytes) else found


def write_script(file: Path, network: nn.Module, example: torch.Tensor, card: str = "") -> None:
    """Write a network as TorchScript, traced on an example.

    Parameters
    ----------
    file : Path
        Is replaced.
    network : torch.nn.Module
        In evaluation mode.
    example : torch.Tensor
        Something that it takes.
    card : str
        Kept in the file.
    """
    out = io.BytesIO()
    with quiet():
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, out, _extra_files={CARD_INSIDE: card})
    file.write_bytes(_again(out, lambda name, content: None))


def read_state(file: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a PyTorch file and nothing else: a pickle in it is not run.

    Parameters
    ----------
    file : Path
        From anywhere.

    Returns
    -------
    dict of str to torch.Tensor
        Names and weights.

    Raises
    ------
    ModelError
        If it holds anything but weights.
    """
    try:
        with quiet():
            found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"'{file.name}' holds more than weights: opening it would run Python code that is hidden in it, so it is "
            f"not opened. Ask for the network as an {_WORDS}."
        ) from error
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, AttributeError, IndexError) as error:
        raise ModelError(f"'{file.name}' is no PyTorch file, or is damaged: {error}. Get it again.") from error
    for name in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ModelError(f"'{file.name}' is no list of weights. Ask for the network as an {_WORDS}.")
    return {str(name): value for name, value in found.items()}


def _searched(file: Path) -> bytes:
    """Return an archive made of the searched members of a TorchScript file."""
    with file.open("rb") as opened:
        magic = opened.read(len(_MAGIC))
    limits = Limits(files=_MEMBERS, size=Limits().room(file))
    if magic != _MAGIC or not any(_PROGRAM.match(name) for name in list_members(file, limits)):
        read_state(file)  # says what else is wrong with it
        raise ModelError(f"'{file.name}' holds weights but no network to put them into. Ask for an {_WORDS}.")

    def search(name: str, content: bytes) -> None:
        if "/code/" in name and (bad := _REACHES_OUT.search(content.decode("utf-8", "replace"))):
            raise ModelError(
                f"'{file.name}' is more than a network: its program uses '{bad[0]}', which reaches files or other "
                "computers. It is not opened."
            )

    return _again(file, search)


def _again(archive: Any, look: Callable[[str, bytes], None]) -> bytes:
    """Return a new archive with the members that a network needs; where its source lay is left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(out, "w") as target:
        for member in source.infolist():
            if _KEPT.match(member.filename) and not member.filename.endswith(".debug_pkl"):
                content = source.read(member)
                look(member.filename, content)
                target.writestr(zipfile.ZipInfo(member.filename), content)
    return out.getvalue()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's advice to leave TorchScript to itself: other programs ask for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
