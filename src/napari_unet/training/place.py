"""Whether a new model may have its name: said before the first step. No torch here."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import OutputError
from ..models.cards import check_not_bundled, find_card, user_folder
from .runs import is_run, run_folder

__all__ = ["check_place"]


def check_place(name: str, folder: Path | None = None, overwrite: bool = False) -> None:
    """Refuse to train a model where there is one.

    Parameters
    ----------
    name : str
        Of the model to be.
    folder : Path, optional
        Where it goes; the user's model folder by default.
    overwrite : bool
        Whether a model that is there may be replaced.

    Raises
    ------
    OutputError
        If there is a model, it may not be replaced, and no training goes on there that was allowed to.
    ModelError
        If a model of the program has this name, which always comes first.
    """
    home = folder or user_folder() / name
    if home.resolve().parent == user_folder().resolve():
        check_not_bundled(home.name)
    if find_card(home) and not overwrite and not is_run(run_folder(folder, name)):
        raise OutputError(
            f"There is a model '{folder or name}'. Choose another name, or allow it to be replaced (overwrite)."
        )
