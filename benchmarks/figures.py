"""Write measured figures into the manual.

A place in README.md or docs/ that shows a figure is marked ``<!-- figure: NAME -->...<!-- end -->``. NAME is a path
into ``benchmarks/results/``: ``accuracy/modalities/fluo/AP50`` is that entry of ``accuracy.json``. Run
``python benchmarks/figures.py`` after a benchmark; ``--check`` only says whether all figures are up to date. Between
``<!-- methods: tumor -->`` and ``<!-- end methods -->`` stands the table of a benchmark that compares methods, or
nothing as long as it was not run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WEIGHTS = ROOT / "src" / "napari_unet" / "models" / "weights" / "nuclei" / "weights.safetensors"
PLACE = re.compile(r"(<!-- methods: (\w+) -->\n).*?(<!-- end methods -->)", re.DOTALL)
MARK = re.compile(r"<!-- figure: ([^>]+?) -->(?:[^<\n]*<!-- end -->)?")


def figure(name: str) -> str:
    """Look a figure up by its path."""
    if name == "model/megabytes":
        return f"{WEIGHTS.stat().st_size / 1e6:.1f}"
    file, *keys = name.split("/")
    value: Any = json.loads((RESULTS / f"{file}.json").read_text())
    for key in keys:
        if key in ("min", "max") and key not in value:
            value = {k: (min if key == "min" else max)(row[k] for row in value.values()) for k in keys[-1:]}
        else:
            value = value[int(key)] if isinstance(value, list) else value[key]
    if isinstance(value, float):
        if keys[-1] == "seconds":
            return f"{value:.3g}"
        return f"{value:.2f}" if name.startswith("peers_cells") else f"{value:.3f}"
    return str(value)


def table(name: str) -> str:
    """Lay out scores of methods: a row for each set and method, means with their intervals."""
    file = RESULTS / f"{name}.json"
    if not file.is_file():
        return ""
    lines = ["| | | Dice | HD95, mm | seconds |", "| --- | --- | --- | --- | --- |"]
    for subject, held in json.loads(file.read_text()).items():
        for method, scores in held["methods"].items():
            kinds = [n for n in range(1, len(held["classes"]) + 1) if scores.get(f"dice_{n}")]
            dice, far = (", ".join(_sure(scores[f"{key}_{n}"], digits) for n in kinds)
                         for key, digits in (("dice", 3), ("hd95", 1)))  # fmt: skip
            lines.append(f"| {subject} | {method} | {dice} | {far} | {scores['seconds']['mean']:.2g} |")
        cores = f"{held['threads']} core{'' if held['threads'] == 1 else 's'}"
        about = f"{len(held['folds'])} of 5 folds, {held['minutes']:g} minutes of training on {cores}"
        lines.append(f"| | {about} | | | |")
    return "\n".join([*lines, ""])


def _sure(found: dict[str, float], digits: int) -> str:
    return f"{found['mean']:.{digits}f} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"


def filled(text: str) -> str:
    """Put the present figure after every mark, and the present tables."""
    text = PLACE.sub(lambda m: f"{m[1]}{table(m[2])}{m[3]}", text)
    return MARK.sub(lambda m: f"<!-- figure: {m[1]} -->{figure(m[1])}<!-- end -->", text)


def main() -> int:
    """Fill or check all pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check, stale = parser.parse_args().check, []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        before = page.read_text()
        after = filled(before)
        if before != after:
            stale.append(page.name)
            if not check:
                page.write_text(after)
    sys.stdout.write(f"{'stale' if check else 'changed'}: {', '.join(stale) or 'nothing'}\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
