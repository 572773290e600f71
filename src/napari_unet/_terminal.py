"""How the command line speaks: errors in words, a progress bar, rows of names and values, and JSON."""

from __future__ import annotations

import inspect
import io
import json
import re
import sys
import time
from typing import Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from .core.errors import UNetError
from .core.pace import Pace
from .core.steps import Progress, Steps, finish

__all__ = ["Commands", "Group", "InWords", "harmless", "plain", "say_anything", "say_json", "tell", "watch"]

T = TypeVar("T")
_USER_ERROR: Final = 2
_INTERRUPTED: Final = 130
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but the ends of columns and lines
_FAULT: Final = (
    "This is a fault of the program, not yours. Please report it with the lines above and 'napari-unet info'."
)


_KINDS: Final = {
    "<str>": "<text>", "<float>": "<number>", "<int>": "<number>", "<list[str]>": "<text>",
}  # fmt: skip
_PATHS: Final = {"<path>", "<list[Path]>"}
_FOLDER: Final = re.compile(r"(New folder|Folder) (for|of the) ")


def _place(words: str) -> str:
    """Return whether a path is a file or a folder, as the help of its parameter begins to say or mentions."""
    if _FOLDER.match(words):
        return "<folder>"
    return "<file or folder>" if "folder" in words.lower() else "<file>"


def _worded(params: list[Any], ctx: Any) -> list[Any]:
    """Have parameters say in words what they take; an option that takes nothing says nothing."""
    for each in params:
        told = getattr(each, "display_type", None)  # older versions say it otherwise
        kind = told(ctx) if told else ""
        words = _place(each.help or "") if kind in _PATHS else _KINDS.get(kind)
        if isinstance(each, TyperOption) and each.metavar is None:
            each.metavar = "" if each.is_flag else words
        elif isinstance(each, TyperArgument) and words:  # its metavar would be its name
            each.display_type = lambda ctx, words=words: words  # type: ignore[method-assign, misc]
    return params


class _Command(TyperCommand):
    def __init__(self, name: str | None, *, help: str | None = None, **more: Any) -> None:
        # Lines end where the terminal does, not where they do in the source.
        flowing = [" ".join(part.split()) for part in inspect.cleandoc(help or "").split("\n\n")]
        super().__init__(name, help="\n\n".join(flowing), **more)

    def get_params(self, ctx: Any) -> list[Any]:
        return _worded(super().get_params(ctx), ctx)


class Group(TyperGroup):
    """Commands that belong together."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _worded(super().get_params(ctx), ctx)


class Commands(typer.Typer):
    """Collects commands, whose options say in words what they take."""

    def command(self, name: str | None = None, **how: Any) -> Any:
        """Register a command; see :meth:`typer.Typer.command`."""
        return super().command(name, cls=_Command, **how)


class InWords(Group):
    """Says in words what went wrong, and gives each kind of trouble its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UNetError as error:
            typer.secho(f"Error: {harmless(error)}", fg="red", err=True)
            raise typer.Exit(_USER_ERROR) from error
        except KeyboardInterrupt as error:
            typer.secho("Stopped. No half-written result was left behind.", fg="yellow", err=True)
            raise typer.Exit(_INTERRUPTED) from error
        except Exception as error:
            error.add_note(_FAULT)
            raise


def watch(steps: Steps[T], log: bool = False) -> T:
    """Drive a job under a progress bar; with `log`, in lines where there is no terminal."""
    console = Console(stderr=True)
    words, left = (TextColumn(f"{{task.{what}}}", markup=False) for what in ("description", "fields[left]"))
    columns, pace = (words, BarColumn(), MofNCompleteColumn(), left), Pace()
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Starting", total=None, left="")

        def show(progress: Progress) -> None:
            pace.add(progress, time.monotonic())
            total = progress.total or None
            bar.update(task, completed=progress.done, total=total, description=progress.note, left=pace.words)
            if log and not console.is_terminal:
                typer.echo(f"{progress.done}/{progress.total or '?'} {progress.note}", err=True)
            if progress.news and console.is_terminal:
                bar.console.print(harmless(progress.news), markup=False, highlight=False)
            elif progress.news:
                typer.echo(harmless(progress.news), err=True)

        return finish(steps, show)


def tell(rows: dict[str, Any]) -> None:
    """Print names and values, one a line."""
    width = max(map(len, rows), default=0) + 2
    for name, value in rows.items():
        typer.echo(f"{name:<{width}}{harmless(value)}")


def harmless(value: Any) -> str:
    """Return a value as text without what a terminal would obey: a stranger's words are words and nothing else."""
    return _CONTROLS.sub("", str(value))


def say_anything() -> None:
    """Have characters that the terminal or a file does not know written as their numbers: they must not end a command.

    Windows writes files and pipes in the code page of the country, which knows few letters of others.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def say_json(value: Any) -> None:
    """Print a value for scripts."""
    typer.echo(json.dumps(value, indent=1))


def plain(value: Any) -> str:
    """Return a value as words for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    if value is None:
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
