"""The commands about models: list, show, add, remove and export them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from .. import workflows
from .._terminal import Commands, Group, harmless, plain, say_json, tell, watch
from ..core.errors import ModelError
from ..core.model_card import ModelCard

__all__ = ["app", "use_of"]

_STOPPED: Final = 130
_NAME: Final = "Name of a model ('napari-unet models' lists them) or its folder."

_Name = Annotated[str, typer.Argument(help=_NAME, show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, and nothing else.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


class _Short(Group):
    """Lists where nothing is asked for, and shows where only a name is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = [word for word in args if not word.startswith("-")]
        if not words and "--help" not in args:
            args = ["list", *args]
        elif words and words[0] not in self.commands:
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = Commands(
    cls=_Short, help="List, show, add, remove and export models.",
    epilog="napari-unet models\n\nnapari-unet models nuclei\n\nnapari-unet models add my-cells.zip",
)  # fmt: skip


@app.command("list", epilog="napari-unet models list --json")
def list_(as_json: _Json = False) -> None:
    """List the models at hand, and those that are damaged."""
    cards, damaged = workflows.list_models(), workflows.list_damaged()
    if as_json:
        say_json([card.model_dump(mode="json") for card in cards])
    elif cards:
        tell({card.name: _described(card) for card in cards})
    for name, why in damaged:
        typer.echo(f"The model '{name}' is damaged: {harmless(why)}", err=True)
    if not cards and not as_json:
        raise ModelError("No model was found. Reinstall napari-unet-suite, or train one: napari-unet train --help.")


@app.command(epilog="napari-unet models show nuclei")
def show(name: _Name, as_json: _Json = False) -> None:
    """Show what is known about a model, and where it lies."""
    card = next((c for c in workflows.list_models() if c.name == name), None) or workflows.load_model(name, "cpu").card
    shown = card.model_dump(mode="json")
    if as_json:
        say_json(shown)
        return
    place = workflows.locate_model(name)
    rows = {key: plain(value) for key, value in shown.items() if value not in ("", None, [], {})}
    tell(rows | {"folder": place.folder, "size on disk": place.size_text})


@app.command(
    epilog="napari-unet models add my-cells.zip\n\nnapari-unet models add network.onnx --name theirs --target distance"
)
def add(
    file: Annotated[
        Path,
        typer.Argument(
            help="Model folder or its .zip, bioimage.io package, ONNX or TorchScript file.", show_default=False
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call it.", show_default="as the file says")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="How a bare network describes objects, such as distance.", show_default="as the file says"),
    ] = None,
    consent: Annotated[bool, typer.Option("--consent", help="Allow a model to run Python code of its own.")] = False,
    overwrite: _Overwrite = False,
    as_json: _Json = False,
) -> None:
    """Take a model in among your own, after it was checked."""
    card = watch(workflows.add_model_steps(file, name, target, consent, overwrite))
    place = workflows.locate_model(card.name)
    if as_json:
        say_json({"name": card.name, "folder": str(place.folder), "sha256": card.sha256})
        return
    told = {"Model": card.name, "Folder": place.folder, **({"Tiles": card.tiles} if card.tiles else {})}
    tell(told | {"Use it": use_of(card, card.name)})


@app.command(epilog="napari-unet models remove my-cells")
def remove(name: _Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete one of your own models, and the models of its folds, from the disk; asks first."""
    place = workflows.locate_model(name)
    if not place.bundled and not yes and not _agreed(f"Delete the model '{name}' in {place.folder}?"):
        typer.echo(f"Kept '{name}'. Without a terminal to answer in, say --yes.", err=True)
        raise typer.Exit(_STOPPED)
    tell({"Removed": workflows.remove_model(name)})


@app.command(
    epilog="napari-unet models export my-cells my-cells.zip\n\n"
    "napari-unet models export my-cells package.zip --format bioimageio"
)
def export(
    name: _Name,
    file: Annotated[Path, typer.Argument(help="File or folder to write.", show_default=False)],
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="|".join(workflows.FORMATS), help="What to write.", show_default="by ending"),
    ] = None,
    overwrite: _Overwrite = False,
    as_json: _Json = False,
) -> None:
    """Write a model so that others, or other programs, can use it."""
    done = watch(workflows.export_model_steps(name, file, form, overwrite))
    say_json({"name": name, "file": str(done)}) if as_json else tell({"Model": name, "Written": done})


def use_of(card: ModelCard, model: str | Path) -> str:
    """Return the command that uses a model, by its name or folder."""
    if card.task == "motion":
        return f"napari-unet track LABELS.tif --image MOVIE.tif --model {model} --output TRACKS.csv"
    return f"napari-unet segment IMAGE --output LABELS.tif --model {model}"


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


def _described(card: ModelCard) -> str:
    channels = f"{' or '.join(map(str, card.channels))} channel{'' if card.channels == (1,) else 's'}"
    text = f"{card.net.ndim}D, {channels}, object widths {card.widths}"
    title = card.title if card.title != card.name else ""
    return ". ".join(filter(None, (title, card.description.rstrip("."), text)))
