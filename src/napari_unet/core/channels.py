"""Channels by number or name, as they are written in settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

__all__ = ["Channels"]


def _numbered(value: Any) -> Any:
    """Read digits as numbers: a form and a command line know text only."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(int(word) if isinstance(word, str) and word.strip().isdecimal() else word for word in value)


Channels = Annotated[tuple[int | str, ...] | None, BeforeValidator(_numbered)]
