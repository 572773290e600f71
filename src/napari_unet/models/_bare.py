"""Networks without a description: bare ONNX and TorchScript files. What they take is found out by trying."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from ..core.errors import ModelError, UNetError
from ..core.foreign import ForeignSpec, StepSpec
from ..core.model_card import ModelCard
from ..core.networks import NetSpec
from ..core.specs import TargetSpec
from ..nets import halo, multiple
from ..targets import target
from ..tiling.grid import per_axis
from ._old_cards import renewed
from ._runners import Runner, onnx_session, run_onnx, run_torch
from ._torchscript import CARD_INSIDE, open_script

__all__ = ["SUFFIXES", "describe"]

SUFFIXES: Final = {".onnx": "onnx", ".pt": "torchscript", ".pth": "torchscript", ".ts": "torchscript"} | {
    ".torchscript": "torchscript"
}
_EDGE: Final = {2: 64, 3: 32}
_STEPS: Final = (1, 2, 4, 8, 16, 32, 64)
_COUNTS: Final = (1, 3, 2, 4)  # channels, where nothing is said
_MOST: Final = 4096  # pixels of a fixed edge
_MOST_STORED: Final = {"tensor(uint8)": 2**8 - 1, "tensor(uint16)": 2**16 - 1}  # of networks of whole numbers


def describe(file: Path, name: str) -> tuple[ModelCard, bool]:
    """Describe a bare network.

    Parameters
    ----------
    file : Path
        ONNX or TorchScript, from anywhere.
    name : str
        What the model is to be called.

    Returns
    -------
    card : ModelCard
        Complete but for its hash, and for what its channels mean unless that is known.
    known : bool
        True if this program wrote the file: then its card is in it.

    Raises
    ------
    ModelError
        If it is no network of images.
    MissingExtraError
        If ONNX Runtime is needed and not installed.
    """
    kind = SUFFIXES[file.suffix.lower()]
    if kind == "onnx":
        session = onnx_session(file)
        inside = session.get_modelmeta().custom_metadata_map.get(CARD_INSIDE, "")
        entries = session.get_inputs()
        if len(entries) != 1:
            raise ModelError(f"'{file.name}' takes {len(entries)} inputs; only networks of one image can be used here.")
        shapes, most = [list(entries[0].shape)], _MOST_STORED.get(entries[0].type, 0)

        def runner(array: Any) -> Any:
            return run_onnx(session, array, name)
    else:
        module, inside = open_script(file)
        shapes, most = [[None] * 4, [None] * 5], 0

        def runner(array: Any) -> Any:
            return run_torch(module, array, "cpu", name)

    if (card := _own(inside, kind, name)) is not None:
        return card, True
    for axes, count, fixed in (found for shape in shapes for found in _layouts(file, shape)):
        if (spec := _tried(runner, kind, axes, count, fixed)) is not None:
            return _card(spec.model_copy(update={"before": _whole(most)}), count, name, file), False
    raise ModelError(
        f"'{file.name}' ran on none of the images that were tried (2D and 3D, up to 4 channels). Add it as a "
        "bioimage.io package, which says what it takes."
    )


def _whole(most: int) -> tuple[StepSpec, ...]:
    """Return what brings 0 to 1 to whole numbers up to `most`; nothing for a network of other numbers."""
    return (StepSpec(kind="linear", gain=(float(most),)), StepSpec(kind="clip", least=0, most=most)) if most else ()


def _file(kind: str) -> str:
    return {"onnx": "weights.onnx", "torchscript": "weights.pt"}[kind]


def _own(inside: str, kind: str, name: str) -> ModelCard | None:
    """Return the card that this program put into a file."""
    try:
        card = ModelCard.model_validate(renewed(json.loads(inside or "null")))
        count = len(target(card.target).CHANNELS)
        halos, steps = (per_axis(of(card.net), card.net.ndim) for of in (halo, multiple))
    except (ValidationError, ValueError, RecursionError, UNetError):
        return None
    spec = ForeignSpec(
        file=_file(kind),
        format="onnx" if kind == "onnx" else "torchscript",
        axes="bc" + "zyx"[3 - card.net.ndim :],
        outputs=("bc" + "zyx"[3 - card.net.ndim :],),
        sizes=tuple((step, step) for step in steps),
        halo=halos,
        scores=tuple((i,) for i in range(count)),
        size=count,
        closed=card.closed,
    )
    net = NetSpec(architecture="foreign", ndim=card.net.ndim, inputs=card.net.inputs, outputs=count + 1, widths=(1,))
    return card.model_copy(update={"name": name, "net": net, "foreign": spec})


def _layouts(file: Path, shape: Sequence[Any]) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    """Guess what the shape of an input means: axes, channels, and fixed lengths (0 where free)."""
    letters = {4: "yx", 5: "zyx"}.get(len(shape))
    if letters is None:
        raise ModelError(
            f"'{file.name}' takes arrays with {len(shape)} axes {list(shape)}. Only images (batch, channel, y, x), "
            "with or without z, can be used here."
        )
    front, back = (isinstance(shape[at], int) for at in (1, -1))
    # Where all lengths are fixed, as Keras writes them, the axis of channels is the short one.
    first = not shape[-1] <= max(_COUNTS) < shape[1] if front and back else front or not back
    axes, inner = ("bc" + letters, shape[2:]) if first else ("b" + letters + "c", shape[1:-1])
    channels = shape[1] if first else shape[-1]
    for count in [channels] if isinstance(channels, int) else _COUNTS:
        yield axes, count, tuple(n if isinstance(n, int) and n > 0 else 0 for n in inner)


def _tried(runner: Runner, kind: str, axes: str, count: int, fixed: tuple[int, ...]) -> ForeignSpec | None:
    """Return what a network takes, if it takes this at all."""
    edges = tuple(n or _EDGE[len(fixed)] for n in fixed)
    if max(edges) > _MOST or (found := _cut(runner, axes, count, edges)) is None:
        return None
    step = 0
    if not all(fixed):
        longer = ((s, tuple(n or _EDGE[len(fixed)] + s for n in fixed)) for s in _STEPS)
        step = next((s for s, shape in longer if _cut(runner, axes, count, shape) == found), 0)
    outputs, cut = found
    return ForeignSpec(
        file=_file(kind),
        format="onnx" if kind == "onnx" else "torchscript",
        axes=axes,
        outputs=outputs,
        sizes=tuple((edge, 0 if n else step) for edge, n in zip(edges, fixed, strict=True)),
        halo=cut,
        after=((),) * len(outputs),
    )


def _cut(
    runner: Runner, axes: str, count: int, edges: tuple[int, ...]
) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Run a network on noise; return the axes of its outputs, and what it cuts off on every side."""
    lengths = dict(zip([a for a in axes if a in "zyx"], edges, strict=True)) | {"b": 1, "c": count}
    noise = np.random.default_rng(0).random([lengths[axis] for axis in axes], dtype=np.float32)
    try:
        found = runner(noise)
    except ModelError:
        return None
    outputs, cuts = [], []
    for array in found:
        letters = axes if array.ndim == len(axes) else axes.replace("c", "")
        if array.ndim != len(letters):
            return None
        outputs.append(letters)
        cuts.append([lengths[a] - n for a, n in zip(letters, array.shape, strict=True) if a in "zyx"])
    if not cuts or any(cut < 0 or cut % 2 for part in cuts for cut in part):
        return None
    return tuple(outputs), tuple(max(parts) // 2 for parts in zip(*cuts, strict=True))


def _card(spec: ForeignSpec, count: int, name: str, file: Path) -> ModelCard:
    return ModelCard(
        name=name,
        title=name,
        description=f"A network from the file {file.name}, which says nothing of itself.",
        net=NetSpec(architecture="foreign", ndim=spec.ndim, inputs=count, widths=(1,)),
        target=TargetSpec(name="foreground"),
        channels=(1, 3) if count == 3 else (count,),
        recipe=f"file {file.name}",
        tile_invariant=False,
        foreign=spec,
    )
