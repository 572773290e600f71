"""Models and presets at hand: list, load, add, share and remove them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..core.errors import OutputError
from ..core.specs import Task
from ..core.specs import load_task as _load_task
from ..core.steps import Progress, Steps, finish

if TYPE_CHECKING:
    from ..core.model_card import ModelCard
    from ..models.foreign import ForeignModel
    from ..models.model import Model

__all__ = [
    "FORMATS", "ModelPlace", "add_model", "add_model_steps", "export_model", "export_model_steps", "info",
    "list_damaged", "list_models", "load_model", "load_task", "locate_model", "remove_model",
]  # fmt: skip

# What a model can be written as, and the ending of such a file; a folder has none.
FORMATS: Final = {"zip": ".zip", "folder": "", "bioimageio": ".zip", "onnx": ".onnx", "torchscript": ".pt"}


@dataclass(frozen=True)
class ModelPlace:
    """Where a model lies.

    Attributes
    ----------
    folder : Path
        The model folder.
    size : int
        Bytes on disk.
    bundled : bool
        True if it belongs to the program and not to the user.
    """

    folder: Path
    size: int
    bundled: bool

    @property
    def size_text(self) -> str:
        """The size for people: ``"38 kB"`` or ``"1.5 MB"``."""
        return f"{self.size / 1e6:.1f} MB" if self.size >= 1e6 else f"{-(-self.size // 1000)} kB"


def load_model(name: str = "nuclei", device: str = "auto", runtime: str = "auto") -> Model | ForeignModel:
    """Load a model by name or folder; see :func:`napari_unet.models.zoo.load_model`."""
    from ..models.zoo import load_model as find

    return find(name, device, runtime)


def list_models() -> list[ModelCard]:
    """Return the cards of all models at hand, bundled ones first."""
    from ..models.cards import list_cards

    return list_cards()


def list_damaged() -> list[tuple[str, str]]:
    """Return name and trouble of the user's models that cannot be used."""
    from ..models.cards import list_damaged as find

    return find()


def locate_model(name: str) -> ModelPlace:
    """Say where a model lies, damaged or not.

    Parameters
    ----------
    name : str
        A name, or the path of a model folder.

    Returns
    -------
    ModelPlace
        Folder, size on disk, and whether it is bundled.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    from ..models.cards import bundled, find_card, find_model, read_card

    folder = find_model(name)
    if find_card(folder) is None:  # before all that lies in it is counted: it may be a whole disk
        read_card(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return ModelPlace(folder, size, bundled(folder))


def add_model_steps(
    source: str | Path,
    name: str | None = None,
    target: str | None = None,
    consent: bool = False,
    overwrite: bool = False,
) -> Steps[ModelCard]:
    """Take a model in among the user's own, step by step.

    Parameters
    ----------
    source : path
        A model folder or its .zip, a bioimage.io package, or a bare ONNX or TorchScript file.
    name : str, optional
        What it is called from now on; the name it brings by default.
    target : str, optional
        Entry of ``targets/`` that says what a bare network's channels mean.
    consent : bool
        Allow a file that runs code of its own.
    overwrite : bool
        Replace a model of the same name.

    Returns
    -------
    ModelCard
        What is known of it now.

    Yields
    ------
    Progress
        Before it is read, and when it is there. Who stops takes it away again; a model that it replaced is gone.

    Raises
    ------
    ModelError, MissingExtraError, OutputError
        If the file is no model, is damaged, needs consent or a missing package, or the name is taken.
    """
    yield Progress(0, 0, "Reading and checking the model")
    from ..models.exchange import add_model as add

    card = add(Path(source), name=name, consent=consent, target=target, overwrite=overwrite)
    try:
        yield Progress(1, 1, "Checked and stored")
    except GeneratorExit:
        if not overwrite:
            remove_model(card.name)
        raise
    return card


def add_model(
    source: str | Path,
    name: str | None = None,
    target: str | None = None,
    consent: bool = False,
    overwrite: bool = False,
) -> ModelCard:
    """Take a model in among the user's own; see :func:`add_model_steps`."""
    return finish(add_model_steps(source, name, target, consent, overwrite))


def remove_model(name: str) -> Path:
    """Delete a model of the user and return the folder that is gone; bundled ones stay."""
    from ..models.exchange import remove_model as remove

    return remove(name)


def export_model_steps(name: str, file: str | Path, format: str | None = None, overwrite: bool = False) -> Steps[Path]:
    """Write a model so that others, or other programs, can use it, step by step.

    Parameters
    ----------
    name : str
        A name, or the path of a model folder.
    file : path
        File or folder to write.
    format : str, optional
        One of ``FORMATS``; by default what the ending says, a folder where there is none.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    Path
        What was written.

    Yields
    ------
    Progress
        Before it is written, and when it is there. Who stops takes it away again; what it replaced is gone.

    Raises
    ------
    ModelError, OutputError, MissingExtraError
        If the model cannot be written in that form or at that place.
    """
    file, new = Path(file), not Path(file).exists()
    yield Progress(0, 0, "Writing the model")
    from ..io.atomic import clear
    from ..models.exchange import export_model as export

    done = export(name, file, format or _format(file), overwrite=overwrite)
    try:
        yield Progress(1, 1, "Written")
    except GeneratorExit:
        if new and done.is_dir():
            clear(done)
        elif new:
            done.unlink(missing_ok=True)
        raise
    return done


def export_model(name: str, file: str | Path, format: str | None = None, overwrite: bool = False) -> Path:
    """Write a model so that others, or other programs, can use it; see :func:`export_model_steps`."""
    return finish(export_model_steps(name, file, format, overwrite))


def _format(file: Path) -> str:
    """Choose a format by the ending of a file."""
    endings = {ending: form for form, ending in reversed(FORMATS.items())}
    if file.suffix.lower() not in endings:
        raise OutputError(f"'{file.name}' does not say what to write. Say it: one of {', '.join(FORMATS)}.")
    return endings[file.suffix.lower()]


def load_task(name: str) -> Task:
    """Read a preset by name."""
    return _load_task(name)


def info() -> dict[str, Any]:
    """Return versions, devices and models: what a report of a problem needs."""
    from ..models.report import report

    return report()
