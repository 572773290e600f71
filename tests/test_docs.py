"""The manual cannot rot: its examples run, its links lead somewhere, its options exist and its numbers are measured."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from napari_unet.core import registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
_BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"# src/napari_unet/(\w+)/(\w+\.\w+)\n")
_PACKAGE = Path(registry.__file__).resolve().parent.parent


def blocks(page: Path) -> list[tuple[str, bool, str]]:
    """Return language, whether it is to be tested, and text of every block of code."""
    return [(kind, "test" in more.split(), text) for kind, more, text in _BLOCK.findall(page.read_text("utf-8"))]


TESTED = [page for page in PAGES if any(test for _, test, _ in blocks(page))]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's rooms as the registry sees them, to which a page may add files."""
    for room in ("nets", "targets", "measures", "metrics", "tasks", "networks"):
        (tmp_path / room).mkdir()
        for file in (_PACKAGE / room).iterdir():
            if file.suffix in (".py", ".toml"):
                (tmp_path / room / file.name).write_bytes(file.read_bytes())
        if room not in ("tasks", "networks"):
            package = importlib.import_module(f"napari_unet.{room}")
            # Last, so that only what a page adds is imported from here.
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / room)])
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            room, _, entry = name.rpartition(".")
            del sys.modules[name]
            vars(sys.modules[room]).pop(entry, None)


@pytest.mark.parametrize("page", TESTED, ids=lambda page: page.stem)
def test_examples_run(page: Path, house: Path):
    """Files are put where their first line says; everything else runs, each block by itself."""
    for number, (kind, test, text) in enumerate(blocks(page)):
        if not test:
            continue
        if place := _PLACE.match(text):
            file = house / place[1] / place[2]
            assert not (_PACKAGE / place[1] / place[2]).exists(), "the example has the name of a real entry"
            file.write_text(text, "utf-8")
        else:
            assert kind == "python"
            exec(compile(text, f"{page.name} block {number}", "exec"), {"__name__": "example"})


def test_every_add_page_is_tested():
    assert {page for page in PAGES if page.name.startswith("add-")} <= set(TESTED)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_python_is_python(page: Path):
    for kind, _, text in blocks(page):
        if kind == "python":
            compile(text, page.name, "exec")


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    here = [link.partition("#")[0] for link in links if not link.startswith(("http://", "https://", "#"))]
    assert [link for link in here if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_index():
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert [page.name for page in PAGES if page.name != "index.md" and f"({page.name})" not in text] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_commands_exist(page: Path):
    from napari_unet.cli import app

    commands = typer.main.get_command(app).commands
    for kind, _, text in blocks(page):
        lines = text.splitlines() if kind == "sh" else []
        for line in lines:
            said = re.search(r"\bnapari-unet (.+?)(?:; done)?$", line)
            if said is None or said[1].startswith("-"):
                continue
            name, *words = shlex.split(said[1], comments=True)
            if name.startswith("napari-unet"):  # pip's line about the other package
                continue
            command = commands[name]
            if inner := getattr(command, "commands", None):  # "models nuclei" is short for "models show nuclei"
                command = inner[words.pop(0) if words and words[0] in inner else "show"]
            known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
            assert {word for word in words if word.startswith("-")} <= known, line


def test_options_of_the_table_exist():
    from napari_unet.cli import app

    commands = typer.main.get_command(app).commands
    for page, name in (("command-line.md", "segment"), ("train.md", "train")):
        rows = re.findall(r"^\| (`--.*?) \|", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE)
        named = set(re.findall(r"--[\w-]+", " ".join(rows)))
        assert named
        assert named <= {flag for option in commands[name].params for flag in option.opts}


def test_representations_are_those_measured():
    measured = json.loads((ROOT / "benchmarks" / "results" / "representations.json").read_text("utf-8"))
    text = (ROOT / "docs" / "representations.md").read_text("utf-8")
    assert f"number of steps ({measured['steps']})" in text
    rows = dict(re.findall(r"^\| `(\w+)` \| (\**\d.*?) \|$", text, re.MULTILINE))
    for name, found in measured["results"].items():
        expected = [f"{found['AP50']:.3f}", f"{found['mAP']:.3f}", f"{found['decode_seconds']:.2f}"]
        assert [cell.strip(" *") for cell in rows[name].split("|")] == expected


@pytest.mark.parametrize("script", ["figures.py", "pictures.py"])
def test_figures_are_those_measured(script):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
