"""Draw the curves of the manual from what benchmarks have measured: ``python benchmarks/pictures.py``.

Pictures go to ``docs/images`` and say what stands in ``benchmarks/results``, nothing else. A benchmark that was not run
has none.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from _chart import draw_bars, draw_lines

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "images"
SCORES = {"AP50": "AP50", "AP75": "AP75", "touching_found": "touching found"}
LOSSES = {"border": "border weights", "plain": "cross-entropy", "balanced": "balanced"}
BENDING = {"elastic": "elastic", "rigid": "rigid"}


def measured(name: str) -> dict[str, Any]:
    """Return the results of a benchmark; empty if it was not run."""
    file = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def longest(cells: dict[str, Any], variants: dict[str, str]) -> dict[str, Any]:
    """Return the cell of the most steps that was measured for all variants."""
    whole = [cell for cell in cells.values() if set(variants) <= set(cell)]
    return max(whole, key=lambda cell: min(cell[name]["steps"] for name in variants), default={})


def draw_borders(folder: Path) -> None:
    """Draw what border weights bring."""
    if cell := longest(measured("border"), LOSSES):
        groups = {said: {LOSSES[loss]: cell[loss][score] for loss in LOSSES} for score, said in SCORES.items()}
        draw_bars(folder / "border-weights.svg", groups)


def draw_membranes(folder: Path) -> None:
    """Draw the errors of membranes while they are learned, with and without elastic deformation."""
    if cell := longest(measured("em"), BENDING):
        for column, score, file in ((1, "Rand error", "em-rand"), (2, "pixel error", "em-pixels")):
            lines = {said: [(row[0], row[column]) for row in cell[name]["curve"]] for name, said in BENDING.items()}
            draw_lines(folder / f"{file}.svg", lines, ("steps", score))


def draw_tuning(folder: Path) -> None:
    """Draw the scores of kinds of images before and after fine-tuning."""
    if found := measured("finetune"):
        kinds = {kind: {when: told[when]["AP50"] for when in ("before", "after")} for kind, told in found.items()}
        draw_bars(folder / "fine-tuning.svg", kinds)


def main() -> int:
    """Draw all, or say whether they are as they would be drawn now."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say which are out of date")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if check else PICTURES
        for draw in (draw_borders, draw_membranes, draw_tuning):
            draw(folder)
        made = sorted(folder.glob("*.svg"))
        old = [file.name for file in made if not same(file, PICTURES / file.name)]
    if old:
        sys.stderr.write(f"Out of date: {', '.join(old)}. Run python benchmarks/pictures.py.\n")
    return int(bool(old))


def same(one: Path, other: Path) -> bool:
    """Say whether two files hold the same."""
    return other.is_file() and one.read_bytes() == other.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
