"""Files of a folder that are replaced together: all of them or none, whenever the program ends, and undone if asked."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

from ..core.errors import OutputError
from .atomic import atomic_file, clear, patiently, sync

__all__ = ["Swaps"]

_PLAN: Final = "plan.json"
_DONE: Final = "done"
_DRAFT: Final = ".draft"  # being written: nothing depends on it
_UNDO: Final = ".undo"  # being taken back
_GONE: Final = ".gone"  # being removed


class Swaps:
    """Changes of a folder, the last of which can be undone.

    A change is written beside the folder first. From the moment at which its plan is complete it will happen: what was
    not moved when the program ended is moved by :meth:`recover`. Files that are replaced are kept until they are undone
    or :meth:`forget` is called.

    Parameters
    ----------
    root : Path
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.folder = self.root.with_name(self.root.name + ".edits")

    @property
    def count(self) -> int:
        """How many changes can be undone."""
        return len(self._done())

    def draft(self) -> Path:
        """Return an empty folder for the new files of the next change; each goes where it belongs below the root."""
        draft = self.folder / f"{self._next():06d}{_DRAFT}"
        try:
            clear(draft)
            (draft / "new").mkdir(parents=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return draft / "new"

    def commit(self, new: Path, files: list[str], removed: list[str]) -> None:
        """Replace files.

        Parameters
        ----------
        new : Path
            From :meth:`draft`.
        files : list of str
            What is in it and belongs to the change: paths below the root, with ``/``.
        removed : list of str
            What is taken away.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written. The folder is as it was then, or will be as it is to be.
        """
        draft = new.parent
        plan = {name: [name in set(files), (self.root / name).is_file()] for name in [*files, *removed]}
        try:
            for name in files:
                sync(new / name)
            with atomic_file(draft / _PLAN) as temporary:
                temporary.write_text(json.dumps(plan), "utf-8")
            ready = draft.with_name(draft.name.removesuffix(_DRAFT))
            patiently(os.rename, draft, ready)
            sync(self.folder)
            self._apply(ready)
        except OSError as error:
            raise self._unwritable(error) from error

    def undo(self) -> None:
        """Take the last change back.

        Raises
        ------
        OutputError
            If there is none, or the disk cannot be written.
        """
        done = self._done()
        if not done:
            raise OutputError(f"There is nothing to undo in '{self.root}'.")
        try:
            going = done[-1].with_name(done[-1].name + _UNDO)
            patiently(os.rename, done[-1], going)
            self._take_back(going)
        except OSError as error:
            raise self._unwritable(error) from error

    def recover(self) -> None:
        """Bring to an end what was under way when the program ended."""
        if not self.folder.is_dir():
            return
        try:
            for folder in sorted(self.folder.iterdir()):
                if folder.name.endswith((_DRAFT, _GONE)) or not (folder / _PLAN).is_file():
                    clear(folder)
                elif folder.name.endswith(_UNDO):
                    self._take_back(folder)
                elif not (folder / _DONE).exists():
                    self._apply(folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def forget(self) -> None:
        """Let go of what could be undone."""
        self.recover()
        for folder in self._done():
            self._remove(folder)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _done(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(f for f in self.folder.iterdir() if f.name.isdecimal() and (f / _DONE).exists())

    def _next(self) -> int:
        names = [f.name.split(".")[0] for f in self.folder.iterdir()] if self.folder.is_dir() else []
        return 1 + max((int(name) for name in names if name.isdecimal()), default=0)

    def _apply(self, folder: Path) -> None:
        """Move files into place; done again, it goes on."""
        for name, (new, old) in _plan(folder).items():
            target, coming, kept = self.root / name, folder / "new" / name, folder / "old" / name
            if new and not coming.exists():
                continue
            if old and not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                half = kept.with_name(kept.name + ".half")
                patiently(half.unlink, True)
                _keep(target, half)
                patiently(os.rename, half, kept)
            if new:
                target.parent.mkdir(parents=True, exist_ok=True)
                patiently(os.replace, coming, target)
            else:
                patiently(target.unlink, True)
            sync(target.parent)
        (folder / _DONE).touch()
        sync(folder)

    def _take_back(self, folder: Path) -> None:
        for name, (_new, old) in _plan(folder).items():
            target, kept = self.root / name, folder / "old" / name
            if kept.exists():
                patiently(os.replace, kept, target)
            elif not old:
                patiently(target.unlink, True)
            sync(target.parent)
        self._remove(folder)

    def _remove(self, folder: Path) -> None:
        # Under another name first: half a folder must not be taken for a change that is to be done.
        gone = folder.with_name(folder.name.split(".")[0] + _GONE)
        patiently(os.rename, folder, gone)
        clear(gone)

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"'{self.root}' could not be changed: {error.strerror or error}. Check the free space and the connection "
            "of the disk, then try again; nothing is half changed."
        )


def _plan(folder: Path) -> dict[str, tuple[bool, bool]]:
    """Return of each file whether there is a new one, and whether there was an old one."""
    found = json.loads((folder / _PLAN).read_text("utf-8"))
    return {str(name): (bool(new), bool(old)) for name, (new, old) in found.items()}


def _keep(file: Path, place: Path) -> None:
    try:
        os.link(file, place)
    except OSError:  # a disk without hard links
        shutil.copy2(file, place)
        sync(place)
