"""Commands as a user gives them, and what comes of them."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner, Result

from napari_unet import cli


def run(*words: Any, answer: str | None = None) -> Result:
    """Give a command; `answer` is what is typed when it asks."""
    return CliRunner().invoke(cli.app, list(map(str, words)), prog_name="napari-unet", input=answer)


def good(*words: Any, **more: Any) -> str:
    """Give a command that must do what it is asked, and return what it prints."""
    done = run(*words, **more)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def bad(*words: Any) -> str:
    """Give a command that must fail in words, and return them on one line."""
    done = run(*words)
    assert done.exit_code == 2, done.output
    assert not done.stdout
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())
