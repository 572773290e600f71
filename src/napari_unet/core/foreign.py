"""A network that was made by another program: what its file wants and what its answers mean."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ._spec import Spec

__all__ = ["ForeignSpec", "StepSpec"]

_SPACE = "zyx"


class StepSpec(Spec):
    """What is done to every value, before or after a foreign network, whatever its neighbors are.

    Attributes
    ----------
    kind : {"linear", "clip", "binarize", "sigmoid", "softmax", "cast"}
        What is done; softmax is over the channels.
    gain, offset : tuple of float
        Of ``linear``: ``gain * value + offset``; one number, or one for each channel.
    least, most : float or None
        Of ``clip``.
    threshold : tuple of float
        Of ``binarize``: 1 above it; one number, or one for each channel.
    dtype : str
        Of ``cast``.
    """

    kind: Literal["linear", "clip", "binarize", "sigmoid", "softmax", "cast"]
    gain: tuple[float, ...] = Field((1.0,), min_length=1)
    offset: tuple[float, ...] = Field((0.0,), min_length=1)
    least: float | None = None
    most: float | None = None
    threshold: tuple[float, ...] = Field((0.5,), min_length=1)
    dtype: Literal[
        "bool",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float16",
        "float32",
        "float64",
    ] = "float32"


class ForeignSpec(Spec):
    """A network in a file of its own, in another format than this program's.

    Attributes
    ----------
    file : str
        The network, in the model's folder.
    format : {"onnx", "torchscript", "state_dict"}
        What the file is. A state_dict needs `code`.
    axes : str
        Letters of what it takes, in its own order: ``b`` (one image at a time) may be missing, ``c`` too.
    outputs : tuple of str
        The same for each of its outputs.
    sizes : tuple of (int, int)
        Smallest length that it takes along each spatial axis (z, y, x), and the step to the next; a step of 0 means
        that it takes no other length.
    halo : tuple of int
        Pixels along each spatial axis, next to the border of what it is given, at which it is not to be trusted.
    before, after : tuple of StepSpec
        What is done to what it is given, and to each of its outputs.
    scores : tuple of tuple of int
        For every channel of the target, the channels of its outputs (counted through) that are added up. A negative
        number -1 - n stands for one minus channel n.
    size : int or None
        The channel that says how large objects are, if it has one.
    code, entry, options : str, str and dict
        Of a state_dict: the Python file in the folder (or, in `library`, the package) that builds the network, the name
        of what is called, and its arguments.
    library : bool
        True if `code` is a package that must be installed.
    strict : bool
        Of a state_dict: whether names must match exactly.
    closed : bool
        Whether nothing is beyond the border of an image, which else goes on mirrored: volumes of this program's own
        networks, see :class:`~napari_unet.core.model_card.ModelCard`.
    """

    file: str
    format: Literal["onnx", "torchscript", "state_dict"]
    axes: str = "bcyx"
    outputs: tuple[str, ...] = Field(("bcyx",), min_length=1)
    sizes: tuple[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=0)]], ...]
    halo: tuple[Annotated[int, Field(ge=0)], ...]
    before: tuple[StepSpec, ...] = ()
    after: tuple[tuple[StepSpec, ...], ...] = ((),)
    scores: tuple[tuple[int, ...], ...] = ((0,),)
    size: int | None = None
    code: str = ""
    entry: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    library: bool = False
    strict: bool = True
    closed: bool = False

    @property
    def ndim(self) -> int:
        """Spatial dimensions."""
        return sum(axis in _SPACE for axis in self.axes)

    @property
    def multiple(self) -> tuple[int, ...]:
        """Steps between the places where tiles may start, along each spatial axis."""
        return tuple(step or 1 for _, step in self.sizes)

    def fitting(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the smallest lengths that the network takes and that hold `shape`; fixed ones may be shorter."""
        return tuple(
            least + step * max(0, math.ceil((n - least) / step)) if step else least
            for n, (least, step) in zip(shape, self.sizes, strict=True)
        )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in (self.file, self.code if not self.library else "x"):
            if any(c in name for c in "/\\:") or name.startswith("."):
                raise ValueError(f"files must lie in the model's folder, not at '{name}'")
        for axes in (self.axes, *self.outputs):
            if len(set(axes)) != len(axes) or set(axes) - set("bczyx") or not {"y", "x"} <= set(axes):
                raise ValueError(f"axes must be letters of bczyx with y and x, not '{axes}'")
        if not len(self.sizes) == len(self.halo) == self.ndim:
            raise ValueError(f"sizes and halo need {self.ndim} entries, one for each spatial axis")
        if len(self.after) != len(self.outputs):
            raise ValueError(f"'after' needs an entry for each of the {len(self.outputs)} outputs")
        if (self.format == "state_dict") != bool(self.code and self.entry):
            raise ValueError("a state_dict, and nothing else, needs code and the name of what is called in it")
        return self
