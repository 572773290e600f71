"""The plan of a run, kept in its folder: a run that goes on keeps to it, also where there is less memory now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from ..core.errors import SpecError
from ..core.results import Plan
from ..core.specs import PLANNED, TrainSpec
from ..io.atomic import write_text
from .state import FREE, same_run

__all__ = ["begun_with", "keep_plan", "planned_before"]

_PLAN: Final = "plan.json"


def keep_plan(run: Path, given: TrainSpec, plan: Plan) -> None:
    """Write down how it was decided to learn, unless a run has begun with another plan.

    Parameters
    ----------
    run : Path
        Folder of the run.
    given : TrainSpec
        Settings as they were given.
    plan : Plan
        What was made of them.

    Raises
    ------
    OutputError
        If the disk is full or cannot be written.
    """
    if (run / _PLAN).exists() and (run / "last.pt").exists():
        return
    said = {
        "given": given.model_dump(mode="json", exclude_unset=True),
        "spec": plan.spec.model_dump(mode="json"),
        "words": plan.words,
        "warnings": plan.warnings,
        "counts": plan.counts,
    }
    write_text(run / _PLAN, json.dumps(said, indent=1) + "\n")


def planned_before(run: Path, given: TrainSpec) -> TrainSpec | None:
    """Return the plan of a run that goes on, if it was begun with these settings.

    Parameters
    ----------
    run : Path
        Folder of the run; perhaps not there.
    given : TrainSpec
        Settings as they are given now; where and how long it runs may differ.

    Returns
    -------
    TrainSpec or None
        With everything filled in; None where there is no plan, or one of other settings.
    """
    try:
        said = json.loads((run / _PLAN).read_text("utf-8"))
        before, planned = TrainSpec.of(**said["given"]), TrainSpec.of(**said["spec"])
    except (OSError, ValueError, KeyError, TypeError, SpecError):
        return None
    left_open = [set(PLANNED) - each.model_fields_set for each in (before, given)]
    if not same_run(before, given) or left_open[0] != left_open[1]:
        return None
    return planned.model_copy(update={name: getattr(given, name) for name in FREE})


def begun_with(run: Path) -> tuple[TrainSpec, frozenset[str]] | None:
    """Return the plan that a run was begun with, and the settings that were given by name; None where nothing tells.

    Parameters
    ----------
    run : Path
        Folder of the run.

    Returns
    -------
    TrainSpec, frozenset of str
        Also where the run goes on for another time than it was begun for.
    """
    try:
        said = json.loads((run / _PLAN).read_text("utf-8"))
        return TrainSpec.of(**said["spec"]), frozenset(said["given"])
    except (OSError, ValueError, KeyError, TypeError, SpecError):
        return None
