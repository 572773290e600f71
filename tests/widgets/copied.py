"""What the buttons *Copy as Python* and *Copy as command* of a dock give, run as a user would run it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtGui import QGuiApplication

from napari_unet import workflows
from napari_unet.core.results import label_hash

from .. import forked


def run_copied_python(widget: Any) -> str:
    """Run the copied Python, and return the hash of its labels."""
    widget.copies.python.click()
    names: dict[str, Any] = {}
    exec(QGuiApplication.clipboard().text(), names)
    return str(names["result"].hash)


def run_copied_command(widget: Any, here: Path, written: str) -> tuple[list[str], str]:
    """Run the copied command in a folder, and return its words and the hash of the labels that it writes."""
    widget.copies.command.click()
    words = shlex.split(QGuiApplication.clipboard().text())
    assert words[0] == "napari-unet"
    done = forked.run(words[1:], cwd=here)
    assert done.returncode == 0, done.stderr + done.stdout
    return words, label_hash(np.asarray(workflows.read_labels(here / written).data))
