"""Runs that were stopped and can go on, found again. Loads nothing heavy: a screen asks whenever an image is chosen."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..core.axes import Image
from .choosing import UNFINISHED, data_folder, run_folder

__all__ = ["Unfinished", "find_unfinished"]

_MOST: Final = 1000  # folders that are looked at


@dataclass(frozen=True)
class Unfinished:
    """A run that can go on.

    Attributes
    ----------
    output : Path
        Where its labels are to be in the end.
    settings : dict
        Those of the run; fields of :class:`~napari_unet.core.specs.SegmentSpec`.
    when : float
        When it was last written, seconds since 1970.
    """

    output: Path
    settings: dict[str, Any]
    when: float

    @property
    def words(self) -> str:
        """What it is, for people."""
        model = self.settings.get("model", "")
        names = model if isinstance(model, str) else " and ".join(map(str, model))
        when = time.strftime("%Y-%m-%d at %H:%M", time.localtime(self.when))
        return f"A run on this image was stopped on {when}: {self.output.name} (model {Path(names).name})."


def find_unfinished(image: Image, folders: Sequence[Path] = ()) -> list[Unfinished]:
    """Find runs on an image that were stopped.

    Parameters
    ----------
    image : Image
        Only its axes, shape and type are compared: the run itself looks at its pixels before it goes on.
    folders : sequence of Path
        Where to look, beside the folder for images that have none of their own.

    Returns
    -------
    list of Unfinished
        The latest first.
    """
    found = []
    wanted = {"axes": image.axes, "shape": list(image.shape)}
    for folder in dict.fromkeys([*folders, data_folder() / "labels"]):
        for run, _ in zip(sorted(folder.glob("*.zarr.unfinished")), range(_MOST), strict=False):
            try:
                begun = json.loads((run / "manifest.json").read_text("utf-8"))
                shown, settings = begun["identity"]["image"], dict(begun["identity"]["settings"])
                # Where a model lies is no part of what a run is, but it has to be found again.
                settings |= {name: begun["errand"]["spec"][name] for name in ("model",) if name not in settings}
                when = max(kind.stat().st_mtime for kind in run.iterdir())
            except (OSError, ValueError, KeyError, TypeError):
                continue
            output = run.with_name(run.name.removesuffix(UNFINISHED))
            if {name: shown.get(name) for name in wanted} == wanted and run_folder(output) == run.resolve():
                found.append(Unfinished(output, settings, when))
    return sorted(found, key=lambda each: -each.when)
