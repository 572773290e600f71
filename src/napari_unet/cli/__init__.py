"""The command line: the same verbs, settings and labels as in the viewer and in Python."""

from .commands import app, main

__all__ = ["app", "main"]
