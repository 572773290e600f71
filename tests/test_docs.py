"""The manual cannot rot: its examples run, its links lead somewhere, its options exist and its numbers are measured."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import napari_unet
from napari_unet import workflows
from napari_unet.core import registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
_BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"# src/napari_unet/(\w+)/(\w+\.\w+)\n")
_PACKAGE = Path(registry.__file__).resolve().parent.parent


def blocks(page: Path) -> list[tuple[str, bool, str]]:
    """Return language, whether it is to be tested, and text of every block of code."""
    return [(kind, "test" in more.split(), text) for kind, more, text in _BLOCK.findall(page.read_text("utf-8"))]


WORDS = [ROOT / "README.md", *PAGES]
FACES = {"napari_unet": napari_unet, "workflows": workflows}
# Of every command, of dask's workers, of Slurm, and those that peers_cells.py makes of names.
OTHERS = {"--help", "--resources", "--requeue", "--skip-cellpose", "--skip-ours", "--skip-stardist"}
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


@pytest.mark.parametrize("page", WORDS, ids=lambda page: page.stem)
def test_python_is_python(page: Path):
    for kind, _, text in blocks(page):
        for node in ast.walk(ast.parse(text, page.name)) if kind == "python" else ():
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("napari_unet"):
                room = importlib.import_module(str(node.module))
                assert [each.name for each in node.names if not hasattr(room, each.name)] == []
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in FACES:
                assert hasattr(FACES[ast.unparse(node.value)], node.attr), ast.unparse(node)


@pytest.mark.parametrize("page", WORDS, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    here = [link.partition("#")[0] for link in links if not link.startswith(("http://", "https://", "#"))]
    assert [link for link in here if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_index():
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert [page.name for page in PAGES if page.name != "index.md" and f"({page.name})" not in text] == []


def commands() -> dict[str, Any]:
    """Return the commands by their words, as they are typed: ``segment``, ``models export`` ..."""
    from napari_unet.cli import app

    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", {})
        found |= {f"{name} {word}": each for word, each in inner.items()} if inner else {name: command}
    return found


def command_lines(page: Path) -> list[str]:
    """Return what follows the name of the program in every line of a shell that a page shows."""
    shown = "".join(text for kind, _, text in blocks(page) if kind in ("sh", "bash")).replace("\\\n", " ")
    said = re.findall(r"\bnapari-unet (?!napari-unet)(\w.*?)(?:;| [|&].*)?(?: done)?$", shown, re.MULTILINE)
    return [line.removesuffix('"') if line.count('"') % 2 else line for line in said]


@pytest.mark.parametrize("page", WORDS, ids=lambda page: page.stem)
def test_commands_can_be_given(page: Path):
    """Every command is parsed, with all its options and their values; nothing is done."""
    known = commands()
    for line in command_lines(page):
        words = [re.sub(r"\$\w+", "1", word) for word in shlex.split(line, comments=True)]
        if words == ["models"]:
            continue
        if words[0] == "models" and " ".join(words[:2]) not in known:
            words.insert(1, "show")  # "models nuclei" is short for it
        name = " ".join(words[:2]) if words[0] == "models" else words[0]
        known[name].make_context(name, words[1 + name.count(" ") :])


def test_commands_are_found_in_pages():
    assert sum(len(command_lines(page)) for page in WORDS) > 100


@pytest.mark.parametrize("page", WORDS, ids=lambda page: page.stem)
def test_options_that_are_named_exist(page: Path):
    scripts = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "recipes").glob("*.py")]
    options = [each for command in commands().values() for each in command.params]
    known = {flag for each in options for flag in (*each.opts, *each.secondary_opts)}
    known |= {flag for file in scripts for flag in re.findall(r'"(--[a-z][\w-]*)"', file.read_text("utf-8"))}
    named = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text("utf-8"))
    assert {flag for code in named for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)} <= known | OTHERS


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


def test_the_card_of_the_bundled_model_has_the_scores_of_the_manual():
    measured = json.loads((ROOT / "benchmarks" / "results" / "accuracy.json").read_text("utf-8"))
    assert workflows.load_model("nuclei").card.metrics == measured["modalities"]


@pytest.mark.parametrize("script", ["figures.py", "pictures.py"])
def test_figures_are_those_measured(script):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").glob("*.svg")), ids=lambda file: file.stem)
def test_axes_of_curves_have_round_numbers(picture):
    marks = [float(y) for y in re.findall(r'text-anchor="end"[^>]*>([-\d.]+)<', picture.read_text("utf-8"))]
    assert len(marks) >= 3
    steps = {f"{b - a:.6g}" for a, b in itertools.pairwise(marks)}
    assert len(steps) == 1
    assert steps.pop().replace("0", "").strip(".") in ("1", "2", "5")
