"""Does learning seams help? The first stage of the bundled model against the second, on the ``dev`` images.

Needs the two folders that ``python recipes/nuclei.py`` leaves in ``runs/``. Thresholds are chosen for both in the same
way, on the same images; so the figures compare the two and are not what to expect of new images.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "recipes"))

from accuracy import stored_scores  # noqa: E402
from nuclei import choose  # noqa: E402
from nuclei_data import fields  # noqa: E402

from napari_unet.metrics.matching import Counts, count, scores  # noqa: E402
from napari_unet.models.cards import read_card  # noqa: E402
from napari_unet.targets import target  # noqa: E402


def main() -> None:
    """Choose for both, compare, store."""
    report = {}
    for name, folder in (("heat", "nuclei-first"), ("seams", "nuclei")):
        model = ROOT / "runs" / folder
        rule, total = choose(model, read_card(model)), Counts()
        for field in fields("dev", ("fluo",)):
            channels, diameter = stored_scores(field, str(model))
            found = target(rule.name).decode(channels, rule, rule.min_fraction * 0.7854 * diameter**2)
            total = total + count(field.labels, found)
        report[name] = {key: round(scores(total)[key], 4) for key in ("AP50", "mAP")}
    (ROOT / "benchmarks" / "results" / "seams.json").write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
