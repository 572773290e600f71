"""Packages of the extra ``medical``, loaded where a file needs them."""

from __future__ import annotations

import importlib
from typing import Any

from ..core.errors import MissingExtraError

__all__ = ["need"]


def need(package: str, purpose: str) -> Any:
    """Import a package of the extra ``medical``.

    Parameters
    ----------
    package : str
        Its import name, also of a module in it.
    purpose : str
        What it is needed for, as the beginning of a sentence.

    Returns
    -------
    module
        The package.

    Raises
    ------
    MissingExtraError
        If it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package.partition(".")[0], "medical", purpose) from error
