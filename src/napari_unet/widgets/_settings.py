"""The exact call that repeats what the widget does, as a shell command and as Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Final

from napari_unet.core.processes import shell_line
from napari_unet.core.region import region_text
from napari_unet.core.results import MAPS
from napari_unet.core.runtimes import RUNTIMES
from napari_unet.core.specs import SegmentSpec

__all__ = [
    "CHOICES", "HINTS", "LABELS", "PLACEHOLDER", "as_command", "as_python", "changed", "in_the_dock",
    "option_words", "output_name",
]  # fmt: skip

Source = str | Sequence[str] | None
Sizes = Sequence[tuple[str, float, str]]
PLACEHOLDER: Final = "IMAGE.tif"
# How the settings are called on the screen, what an empty line stands for, and what can be chosen.
LABELS: Final = {
    "channels": "Channels",
    "threshold": "Threshold",
    "min_score": "Least score",
    "link_z": "Join planes",
    "stack": "Stack",
    "average": "Average over",
    "dropout_samples": "Dropout samples",
    "uncertainty": "Show uncertainty",
    "confidence": "Show confidence",
    "anomaly": "Show anomalies",
    "device": "Compute on",
    "runtime": "Compute with",
    "background": "Skip darker than",
    "unreadable": "Damaged parts",
    "tiling.tile": "Tile size",
    "tiling.batch": "Tiles at once",
    "tiling.workers": "Threads (0: all)",
}
_OWN: Final = "the model's own"
HINTS: Final = {
    "channels": "all", "threshold": _OWN, "min_score": _OWN, "background": "look everywhere",
}  # fmt: skip
CHOICES: Final = {"device": ("auto", "cpu", "cuda", "mps"), "runtime": ("auto", *RUNTIMES)}

_OPTIONS: Final = {
    "--overwrite": "check 'Replace what is there'",
    "--unreadable skip": "'Damaged parts: skip' (Advanced)",
    "--batch 1": "1 in 'Tiles at once' (Advanced)",
    "--workers": "'Threads' (Advanced)",
    "--tile": "'Tile size' (Advanced)",
    "--device": "'Compute on' (Advanced)",
    "--runtime": "'Compute with' (Advanced)",
}


def in_the_dock(text: str) -> str:
    """Name the fields of the dock in a text that names options of the command line."""
    for option, field in _OPTIONS.items():
        text = text.replace(option, field)
    return text


def changed(spec: SegmentSpec) -> dict[str, Any]:
    """List the settings that differ from their defaults.

    Parameters
    ----------
    spec : SegmentSpec
        Settings of a run.

    Returns
    -------
    dict
        Keyword arguments that rebuild the spec. The model is always named, so that another default changes nothing.
    """
    return {"model": spec.model, **spec.model_dump(exclude_defaults=True, exclude={"model"})}


def output_name(source: str | None, noun: str = "labels", suffix: str = ".tif") -> str:
    """Propose a file name for the labels of an image.

    Parameters
    ----------
    source : str or None
        Path of the image.
    noun : str
        What the labels are of.
    suffix : str
        Of the file.

    Returns
    -------
    str
        ``"<image>-<noun>.tif"``, without a folder; of one of several images of a file with its number.
    """
    place = PurePath(source or PLACEHOLDER)
    one = place.name if place.name.isdecimal() and place.parent.suffix else ""
    name = (place.parent if one else place).name.split(".")[0] or "image"
    return "-".join(filter(None, (name, one, f"{noun.replace(' ', '-')}{suffix}")))


def as_command(
    spec: SegmentSpec,
    source: Source,
    axes: str | None = None,
    output: str | None = None,
    cluster: tuple[str, int] = ("", 0),
) -> str:
    """Write a run as a shell command.

    Parameters
    ----------
    spec : SegmentSpec
        Settings of the run.
    source : str or sequence of str or None
        Path of the image, or those of its channels; None writes a placeholder.
    axes : str, optional
        Axes of the image, one letter each.
    output : str, optional
        File for the labels; :func:`output_name` if missing.
    cluster : (str, int)
        The address of a scheduler, or a number of processes of this computer, that compute.

    Returns
    -------
    str
        One line, quoted for the shell of this system.
    """
    first, *further = [source] if isinstance(source, str) else source or [PLACEHOLDER]
    words = ["napari-unet", "segment", first, "--output", output or output_name(first)]
    words += [word for file in further for word in ("--channel", file)]
    more = {name: output_name(first, name) for name in MAPS if getattr(spec, name)}
    where = {"scheduler": cluster[0], "local_workers": cluster[1]}
    return shell_line([*words, *option_words(spec, {"axes": axes} | more | where)])


def option_words(spec: SegmentSpec, more: dict[str, Any]) -> list[str]:
    """Return settings that differ from the usual ones as options of a command, and the model; `more` overrules them."""
    options = changed(spec)
    options |= options.pop("tiling", {})
    if spec.region is not None:
        options["region"] = region_text(spec.region)
    del options["model"]
    words = [word for model in spec.models for word in ("--model", model)]
    for name, value in (options | {key: one for key, one in more.items() if one}).items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [text])]
    return words


def as_python(
    spec: SegmentSpec, source: Source, axes: str | None = None, output: str | None = None, sizes: Sizes = ()
) -> str:
    """Write a run as Python.

    Parameters
    ----------
    spec : SegmentSpec
        Settings of the run.
    source : str or sequence of str or None
        Path of the image, or those of its channels; None writes a placeholder.
    axes : str, optional
        Axes of the image, one letter each.
    output : str, optional
        Where the labels are written; nowhere if missing.
    sizes : sequence of (str, float, str)
        Axes whose pixels have another size than their file says, and that size with its unit.

    Returns
    -------
    str
        Lines that leave the segmentation in ``result``.
    """
    options = "".join(f", {name}={value!r}" for name, value in changed(spec).items())
    options += f", output={output!r}" if output else ""
    places = source if isinstance(source, str) else list(source or ()) or PLACEHOLDER
    reading = f"{places!r}, axes={axes!r}" if axes else f"{places!r}"
    given = ", ".join(f"{axis}=({size!r}, {unit!r})" for axis, size, unit in sizes)
    given = f".scaled({given})" if given else ""
    return (
        "import napari_unet\n\n"
        f"image = napari_unet.read_image({reading}){given}\n"
        f"result = napari_unet.segment(image{options})\n"
    )
