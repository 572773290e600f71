"""Pre- and postprocessing as bioimage.io describes it, in this program's terms.

What needs the whole image (percentiles, mean and standard deviation) becomes the model's normalization, which is
measured once for an image and then the same for every tile. All else is done to single values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..core.errors import ModelError, SpecError
from ..core.foreign import StepSpec
from ..core.specs import NormalizeSpec

__all__ = ["postprocessing", "preprocessing"]

_EPS: Final = 1e-6  # that bioimage.io adds to fixed standard deviations
_MEASURED: Final = ("zero_mean_unit_variance", "scale_range")


def preprocessing(steps: Sequence[Any], axes: Sequence[Any], tensor: str) -> tuple[NormalizeSpec, tuple[StepSpec, ...]]:
    """Translate what is done to an image.

    Parameters
    ----------
    steps : sequence
        Descriptions of steps, of the bioimage.io library.
    axes : sequence
        Descriptions of the input's axes.
    tensor : str
        Name of the input.

    Returns
    -------
    normalize : NormalizeSpec
        What is measured once for an image.
    before : tuple of StepSpec
        What is done to its values then.

    Raises
    ------
    ModelError
        If a step is not known here, or would have to be measured for every tile.
    """
    rule: NormalizeSpec | None = None
    before: list[StepSpec] = []
    for step in steps:
        if step.id not in _MEASURED:
            before.append(_step(step))
            continue
        if rule is not None:
            raise ModelError("Its preprocessing measures intensities twice, which is not known here. " + _ASK)
        rule, before = _measured(step, axes, tensor, before), []
    # What comes first only says how images are stored.
    while before and before[0].kind == "cast":
        before.pop(0)
    return rule or NormalizeSpec(kind="none", limits=None), tuple(before)


def postprocessing(steps: Sequence[Any]) -> tuple[StepSpec, ...]:
    """Translate what is done to an output.

    Parameters
    ----------
    steps : sequence
        Descriptions of steps, of the bioimage.io library.

    Returns
    -------
    tuple of StepSpec
        The same in this program's terms.

    Raises
    ------
    ModelError
        If a step is not known here, or would have to be measured for every tile.
    """
    return tuple(_step(step) for step in steps)


_ASK: Final = "Ask its authors for a version without, or use it in a program that knows it."


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in value) if isinstance(value, list | tuple) else (float(value),)


def _step(step: Any) -> StepSpec:
    """Translate what is done to single values."""
    kind, what = str(step.id), step.kwargs
    if str(getattr(what, "axis", None) or "channel") != "channel":
        raise ModelError(
            f"It has a step '{kind}' along the axis '{what.axis}'; here it can only be along channels. {_ASK}"
        )
    if kind == "ensure_dtype":
        return StepSpec.of(kind="cast", dtype=str(what.dtype))
    if kind == "scale_linear":
        return StepSpec(kind="linear", gain=_numbers(what.gain), offset=_numbers(what.offset))
    if kind == "fixed_zero_mean_unit_variance":
        gain = tuple(1 / (value + _EPS) for value in _numbers(what.std))
        mean = _numbers(what.mean)
        return StepSpec(kind="linear", gain=gain, offset=tuple(-m * g for m, g in zip(mean, gain, strict=True)))
    if kind == "clip" and getattr(what, "min_percentile", None) is getattr(what, "max_percentile", None) is None:
        return StepSpec(kind="clip", least=what.min, most=what.max)
    if kind == "binarize":
        return StepSpec(kind="binarize", threshold=_numbers(what.threshold))
    if kind in {"sigmoid", "softmax"}:
        return StepSpec.of(kind=kind)
    raise ModelError(
        f"It has a step '{kind}'"
        + (" with percentiles" if kind == "clip" else "")
        + ", which is not known here, or would "
        f"look at the whole of every tile. {_ASK}"
    )


def _measured(step: Any, axes: Sequence[Any], tensor: str, before: Sequence[StepSpec]) -> NormalizeSpec:
    """Translate a step that needs the whole image, together with what is done before it."""
    what = step.kwargs
    over = None if what.axes is None else {str(axis) for axis in what.axes}
    needed = {str(axis.id) for axis in axes if axis.type == "space" and axis.size != 1}
    if over is not None and not needed <= over:
        raise ModelError(f"Its '{step.id}' is measured for every {', '.join(sorted(needed - over))} by itself. {_ASK}")
    if str(getattr(what, "reference_tensor", None) or tensor) != tensor:
        raise ModelError(f"Its '{step.id}' is measured on another input. {_ASK}")
    gain, floor, ceiling = _folded(before)
    values: dict[str, Any] = {
        "joint": over is None or "channel" in over or not any(axis.type == "channel" for axis in axes),
        "eps": float(what.eps) / gain,
        "floor": floor,
        "ceiling": ceiling,
        "limits": None,
        "kind": "mean_std" if step.id == _MEASURED[0] else "percentile",
    }
    if step.id == _MEASURED[1]:
        values |= {"low": float(what.min_percentile), "high": float(what.max_percentile)}
    try:
        return NormalizeSpec.of(**values)
    except SpecError as error:
        raise ModelError(f"Its '{step.id}' cannot be done here: {error}") from error


def _folded(steps: Sequence[StepSpec]) -> tuple[float, float | None, float | None]:
    """Return the gain of steps before a measurement, and between what intensities they clip.

    A gain and an offset change nothing of what is measured after them, save for what is added to the divisor.
    """
    gain, offset = 1.0, 0.0
    floor: float | None = None
    ceiling: float | None = None
    for step in steps:
        if step.kind == "linear" and len(step.gain) == len(step.offset) == 1 and step.gain[0] > 0:
            gain, offset = gain * step.gain[0], offset * step.gain[0] + step.offset[0]
        elif step.kind == "clip":
            if step.least is not None:
                floor = max((step.least - offset) / gain, -float("inf") if floor is None else floor)
            if step.most is not None:
                ceiling = min((step.most - offset) / gain, float("inf") if ceiling is None else ceiling)
        elif step.kind != "cast":
            raise ModelError(
                f"Its preprocessing does '{step.kind}' before it measures, which is not known here. {_ASK}"
            )
    return gain, floor, ceiling
