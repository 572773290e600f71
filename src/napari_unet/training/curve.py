"""The curve of a run as files: ``log.csv``, and TensorBoard's events where tensorboard is installed."""

from __future__ import annotations

import csv
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..core.results import Epoch
from ..io.atomic import atomic_file

__all__ = ["FIRST_COLUMNS", "Curve", "read_curve"]

FIRST_COLUMNS: Final = ("step", "seconds", "loss", "rate")
_LOG: Final = "log.csv"
_EVENTS: Final = "events"
_VALIDATION: Final = "validation "


class Curve:
    """Writes what a run's history says, so that files and safe points never tell different stories.

    Parameters
    ----------
    folder : Path
        Of the run.
    first : int
        Step from which on it is written: what an interrupted run wrote after its last safe point is taken back.
    """

    def __init__(self, folder: Path, first: int = 0) -> None:
        self._file, self._writer = folder / _LOG, None
        if importlib.util.find_spec("tensorboard") is not None:
            module: Any = importlib.import_module("torch.utils.tensorboard")
            self._writer = module.SummaryWriter(str(folder / _EVENTS), purge_step=first + 1)

    def write(self, rows: Sequence[dict[str, float]]) -> None:
        """Write the whole curve; the last row is new.

        Parameters
        ----------
        rows : sequence of dict
            One for each report.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written.
        """
        names = dict.fromkeys(FIRST_COLUMNS) | dict.fromkeys(name for row in rows for name in row)
        with atomic_file(self._file) as part, part.open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, list(names), lineterminator="\n")
            table.writeheader()
            table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
        if self._writer is not None and rows:
            for name in rows[-1].keys() - {"step"}:
                self._writer.add_scalar(name, rows[-1][name], int(rows[-1]["step"]))
            self._writer.flush()

    def close(self) -> None:
        """Close the events."""
        if self._writer is not None:
            self._writer.close()


def read_curve(folder: Path) -> list[Epoch]:
    """Read the curve of a run that was stopped.

    Parameters
    ----------
    folder : Path
        Of the run; perhaps nothing was reported yet.

    Returns
    -------
    list of Epoch
        In their order, without pictures; empty where there is no curve, or it is damaged.
    """
    try:
        with (folder / _LOG).open(newline="", encoding="utf-8") as stream:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
        return [
            Epoch(
                int(row["step"]), row["loss"], row["rate"], row["seconds"],
                {name.removeprefix(_VALIDATION): row[name] for name in row if name.startswith(_VALIDATION)},
            )
            for row in rows
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
