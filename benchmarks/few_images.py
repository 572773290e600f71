"""Which defaults learn most from ten images in a few minutes? One setting changed at a time, on the ``dev`` images.

The training images are those of ``learning_curve.py``; what is found is compared with the truth of the ``dev`` images,
which are there to choose by, so the figures compare settings and are not what to expect of new images. Minutes are
those of the processor, as in ``learning_curve.py``.

Usage: ``python benchmarks/few_images.py``. What is done already is kept and not done again, unless ``--again``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from learning_curve import HERE, judged, keep, learn, write_split
from machine import machine

RESULTS = HERE / "results" / "few_images.json"
SETTINGS: dict[str, dict[str, Any]] = {
    "heat, 8 patches a step": {"target": {"name": "heat"}, "batch": 8},
    "heat, 2 patches a step": {"target": {"name": "heat"}, "batch": 2},
    "seams, 2 patches a step": {"target": {"name": "seams"}, "batch": 2},
}


def main() -> None:
    """Learn with each, compare, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5.0, help="of the processor")
    parser.add_argument("--again", action="store_true", help="do what is done already again")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as place:
        write_split(Path(place), options.images, "dev")
        for name, settings in SETTINGS.items():
            if name in results and not options.again:
                continue
            for made in ("pairs", "model", "found"):
                shutil.rmtree(Path(place) / made, ignore_errors=True)
            about = learn("napari-unet", Path(place), 60 * options.minutes, 1, json.dumps(settings))
            results[name] = judged(Path(place)) | {
                "images": options.images, "minutes": options.minutes, "about": about, "machine": machine(),
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
            }  # fmt: skip
            sys.stderr.write(f"{name}: AP50 {results[name]['AP50']:.3f}\n")
            keep(results, RESULTS)


if __name__ == "__main__":
    main()
