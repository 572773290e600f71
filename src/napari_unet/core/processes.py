"""Starting this program once more: as a process of its own, or by a line for a shell."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .errors import UNetError

__all__ = ["again", "shell_line"]

_BARE: Final = re.compile(r"[\w.:\\/+=~-]+", re.ASCII)  # what the shells of Windows take as it stands


def again(
    words: Sequence[str], *, outlives: bool = False, gives_way: bool = False, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what ``subprocess.Popen`` needs to start this program once more.

    Parameters
    ----------
    words : sequence of str
        Of the command line, after ``napari-unet``.
    outlives : bool
        It goes on when this process and its terminal are gone.
    gives_way : bool
        The screen of this process goes first. Only Windows can be told so here; elsewhere a process says it of itself.
    env : mapping of str to str, optional
        More of its environment.

    Returns
    -------
    dict
        Arguments by name.

    Raises
    ------
    UNetError
        If this program is packed so that its Python cannot be started alone.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise UNetError(
            "This napari is packed into one program, whose Python cannot be started as a process of its own. Use the "
            "command line of an installation with pip or conda for this."
        )
    flags = 0
    if sys.platform == "win32":
        # No window of its own, nor for what it starts itself: napari may run where there is no terminal.
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        flags |= getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) * outlives
        flags |= getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0) * gives_way
    # What it says is read as UTF-8, whatever the code page of this computer.
    told = os.environ | {"PYTHONIOENCODING": "utf-8"} | dict(env or {})
    return {
        "args": [sys.executable, "-m", "napari_unet", *words], "env": told, "creationflags": flags,
        "start_new_session": outlives and sys.platform != "win32",
    }  # fmt: skip


def shell_line(words: Sequence[str]) -> str:
    """Quote the words of a command for the shell of this system.

    Parameters
    ----------
    words : sequence of str
        The command and what it is given.

    Returns
    -------
    str
        One line; on Windows for PowerShell as well as for the command prompt. To the first a comma parts words, and to
        both ``&``, ``;``, ``>`` and brackets are more than letters.
    """
    if sys.platform != "win32":
        return shlex.join(words)
    # With a blank in front it is quoted, whatever it is.
    return " ".join(w if _BARE.fullmatch(w) else '"' + subprocess.list2cmdline([f" {w}"])[2:] for w in words)
