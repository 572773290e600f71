"""What the tests share that follow a command from its first word to its last file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory, bright: Path, disks: tuple[Any, Any]) -> Iterator[Command]:
    """Run a command in a process of its own: ``command(folder, *words, stage=...)`` to status, output and errors."""
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    place = tmp_path_factory.mktemp("zygote")
    words = [sys.executable, "-W", "ignore::DeprecationWarning", str(Path(__file__).with_name("zygote.py"))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        np.save(place / "disks.npy", disks[0])
        warm = ["segment", "disks.npy", "-o", "labels.ome.zarr", "--model", str(bright), "--tile", "48"]
        print(json.dumps({"folder": str(place), "words": warm}), file=process.stdin, flush=True)
        assert process.stdout.readline() == "ready\n"

        def run(folder: Path, *words: Any, stage: str | int = "") -> tuple[int, str, str]:
            out, err = place / "out", place / "err"
            order = {"folder": str(folder), "words": list(map(str, words)), "stage": stage}
            print(json.dumps(order | {"out": str(out), "err": str(err)}), file=process.stdin, flush=True)
            return int(process.stdout.readline()), out.read_text(), err.read_text()

        yield run
        process.stdin.close()
