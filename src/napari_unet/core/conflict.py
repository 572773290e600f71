"""Another distribution installs the same import package; say so before anything goes wrong."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

from .errors import ConflictError

__all__ = ["check_conflict"]


def check_conflict() -> None:
    """Refuse to run when another distribution has written into the same import package.

    Raises
    ------
    ConflictError
        If the distribution ``napari-unet`` is installed too.
    """
    try:
        distribution("napari-unet")
    except PackageNotFoundError:
        return
    raise ConflictError(
        "Two packages fight over the name 'napari_unet': 'napari-unet-suite' (this program) and 'napari-unet' "
        "(another plugin, based on TensorFlow). Keep one. To keep this one: "
        "pip uninstall -y napari-unet napari-unet-suite, then pip install napari-unet-suite."
    )
