"""Where a benchmark was run, and what else the machine did meanwhile."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Describe where this was measured."""
    described: dict[str, Any] = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (named := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        described["cpu"] = named[1]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        described["memory_gb"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
        described["niceness"] = os.nice(0)
    return described


def others_seconds(own: Sequence[int] = ()) -> float:
    """Return the CPU seconds that others than this program and its processes have used since the machine started.

    0 where that is not told.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    tick = os.sysconf("SC_CLK_TCK")
    # user, nice, system, idle, waiting for disks, interrupts of two kinds, taken by other machines
    values = [int(value) for value in stat.read_text().split("\n", 1)[0].split()[1:9]]
    others = (sum(values) - values[3] - values[4]) / tick - sum(os.times()[:4])
    for peer in (Path(f"/proc/{pid}/stat") for pid in own):
        if peer.exists():  # one that has ended is in our own times
            others -= sum(map(int, peer.read_text().rsplit(")", 1)[1].split()[11:13])) / tick
    return others
