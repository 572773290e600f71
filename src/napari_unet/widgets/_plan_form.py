"""The settings of a training that few need, and what was planned where nothing was said."""

from __future__ import annotations

from typing import Any, Final

from napari_unet.core.augmenting import AugmentSpec
from napari_unet.core.specs import TrainSpec, load_task

from ._form import Form

__all__ = ["PlanForm"]

_LABELS: Final = {
    "network": "Network",
    "class_values": "Class values",
    "ndim": "Dimensions (0: either)",
    "corner": "Hold out a corner",
    "diameter": "Object width in the network",
    "zoom": "Images seen (1: as they are)",
    "loss": "Loss",
    "balance": "Balance classes",
    "foreground": "Patches on objects",
    "steps": "Steps, not minutes",
    "batch": "Patches a step",
    "patch": "Patch size",
    "depth": "Patch depth (planes)",
    "rate": "Learning rate",
    "warmup": "Rise of the rate",
    "cooldown": "Fall of the rate",
    "weight_decay": "Weight decay",
    "average": "Average of weights",
    "frozen": "Normalization as it was",
    "seed": "Seed",
    "every": "Steps a report",
    "threads": "Threads (0: PyTorch's choice)",
    "patience": "Patience (0: never stop)",
    "device": "Compute on",
    "devices": "Devices",
    "accumulate": "Parts of a step",
}
_ELSEWHERE: Final = (
    "name", "start", "minutes", "truth", "validation", "folds", "license", "net", "target", "normalize", "grid",
    "nodes", "task",
)  # fmt: skip
_CHOICES: Final = {"device": ("auto", "cpu", "cuda", "mps")}
# What follows from the images, the machine and the model that is started from.
_PLANNED: Final = ("diameter", "batch", "patch", "depth", "rate", "warmup", "frozen")
_FREE: Final = ("steps", *_PLANNED[1:])  # a number that is written counts, also if it is the usual one
_HINTS: Final = {
    **dict.fromkeys(_PLANNED, "as planned"),
    "network": "the task's own",
    "zoom": "from the images",
    "class_values": "1, 2 and so on",
    "steps": "as many as there is time for",
}


def _usual(task: str) -> TrainSpec:
    """Return the settings that a task has unless somebody changes them."""
    preset = load_task(task)
    return TrainSpec(task=task, augment=preset.augment, foreground=preset.foreground, cooldown=preset.cooldown)


class PlanForm(Form):
    """A form for a training: what nobody writes into it is left to the plan, which it shows in gray.

    Parameters
    ----------
    task : str
        Preset that gives the defaults.
    """

    def __init__(self, task: str) -> None:
        self._base = _usual(task)
        super().__init__(self._base, _LABELS, _CHOICES, _HINTS, skip=_ELSEWHERE, free=_FREE)

    def suit(self, task: str) -> None:
        """Take the defaults of another task; what was changed by hand is forgotten."""
        self._base = _usual(task)
        self.show(self._base)
        for name in _PLANNED:
            self.hint(name, _HINTS[name])

    def show_plan(self, spec: TrainSpec) -> None:
        """Say in gray what was planned."""
        for name in _PLANNED:
            value = getattr(spec, name)
            none = value is None or (name == "depth" and not value)  # patches of planes have none
            self.hint(name, _HINTS[name] if none else f"{value:g}, {_HINTS[name]}")

    def changes(self) -> dict[str, Any]:
        """Return the settings that somebody has changed: what was not touched is for the program to plan.

        Returns
        -------
        dict
            Fields of TrainSpec.

        Raises
        ------
        SpecError
            If a value cannot be used.
        """
        given, base = self.spec(task=self._base.task), self._base
        found: dict[str, Any] = {}
        for name in self.values():
            value, usual = getattr(given, name), getattr(base, name)
            if isinstance(usual, AugmentSpec):
                # Of what varies only that is said which was changed: the rest may follow from the images.
                changed = {key: new for key, new in value if new != getattr(usual, key)}
                found |= {name: usual.model_copy(update=changed)} if changed else {}
            elif name in _FREE or value != usual:
                found[name] = value
        return found
