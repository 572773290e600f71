"""Which foreign code the user has allowed to run, kept outside of the model folders: no model can allow itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from ..core.errors import ModelError
from ..core.foreign import ForeignSpec
from ..io.atomic import write_text
from .cards import user_folder

__all__ = ["MEANING", "fingerprint", "give_consent", "require_consent"]

MEANING: Final = (
    "That code runs on this computer with all that you may do yourself: it could read, change or delete your files, or "
    "send them away. ONNX and TorchScript weights need no such code, so look for a package that has them. If you know "
    "who made this one and trust them, add it with your consent (in the dock check 'Allow its own code to run', on the "
    "command line say --consent, in Python consent=True)."
)
_FILE: Final = ".consent.json"


def fingerprint(folder: Path, spec: ForeignSpec) -> str:
    """Return the sha256 of all that decides what would run: the code, what is called in it, and with what."""
    code = b"" if spec.library else (folder / spec.code).read_bytes()
    call = json.dumps([spec.code if spec.library else "", spec.entry, spec.options], sort_keys=True)
    return hashlib.sha256(code + b"\0" + call.encode()).hexdigest()


def give_consent(folder: Path, spec: ForeignSpec) -> None:
    """Remember that the user allows the code of this model, and no other, to run."""
    home = user_folder()
    home.mkdir(parents=True, exist_ok=True)
    write_text(home / _FILE, json.dumps(sorted({*_given(), fingerprint(folder, spec)}), indent=1) + "\n")


def require_consent(folder: Path, spec: ForeignSpec, name: str) -> None:
    """Raise ModelError if the user has not allowed exactly this code."""
    if fingerprint(folder, spec) not in _given():
        source = f"the installed package '{spec.code}'" if spec.library else f"its own file '{spec.code}'"
        raise ModelError(
            f"The model '{name}' needs Python code from {source} ('{spec.entry}'), which has not been allowed to run. "
            + MEANING
        )


def _given() -> list[str]:
    try:
        given = json.loads((user_folder() / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [text for text in given if isinstance(text, str)] if isinstance(given, list) else []
