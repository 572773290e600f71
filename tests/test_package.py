"""What a stranger meets first: the import, the metadata, the manifest and the floors."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, metadata, requires
from pathlib import Path

import pytest
import yaml
from npe2 import PluginManifest

import napari_unet

DISTRIBUTION = "napari-unet-suite"
PACKAGE = Path(napari_unet.__file__).parent
HEAVY = {"dask", "magicgui", "napari", "numba", "numpy", "pydantic", "qtpy", "scipy", "skimage", "torch", "zarr"}
ROOMS = sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file())


def fresh(code: str) -> dict:
    """Run `code` in a process of its own and return the JSON it prints last."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def test_import_is_cheap():
    code = """
import time
start = time.perf_counter()
import napari_unet
seconds = time.perf_counter() - start
import json, sys
print(json.dumps({"seconds": seconds, "modules": sorted({m.split(".")[0] for m in sys.modules})}))
"""
    runs = [fresh(code) for _ in range(3)]
    assert not HEAVY & set(runs[0]["modules"])
    assert min(run["seconds"] for run in runs) < 0.3


def test_naming_the_rooms_entries_imports_nothing_heavy():
    code = """
import json, sys
from napari_unet.core import registry
found = registry.names("tasks", ".toml")
print(json.dumps({"found": found, "modules": sorted({m.split(".")[0] for m in sys.modules})}))
"""
    run = fresh(code)
    assert "cell" in run["found"]
    assert not HEAVY & set(run["modules"])


def test_the_face_is_short_and_every_name_on_it_exists():
    assert len((PACKAGE / "__init__.py").read_text().splitlines()) <= 40
    assert set(napari_unet.__all__) < set(dir(napari_unet))
    for name in dir(napari_unet):
        assert getattr(napari_unet, name) is not None


def test_the_face_tells_type_checkers_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    typed = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed - {"annotations", "TYPE_CHECKING", "Any", "Final"} == set(napari_unet.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = napari_unet.nonsense


def test_version_is_known_here_and_to_the_installer():
    pattern = r"\d+\.\d+(\.\w+)*(\+[\w.]+)?"
    assert re.fullmatch(pattern, napari_unet.__version__)
    assert re.fullmatch(pattern, metadata(DISTRIBUTION)["Version"])


def test_base_dependencies_hold_no_viewer_and_no_qt():
    base = [line for line in requires(DISTRIBUTION) or [] if "extra ==" not in line]
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in base}
    assert {"numpy", "torch", "magicgui", "npe2"} <= names
    assert not {n for n in names if n.startswith(("napari", "pyqt", "pyside", "qtpy", "superqt"))}
    # pyqtgraph is none: it takes whichever is there.
    assert not [line for line in requires(DISTRIBUTION) or [] if re.match(r"(?i)(pyqt|pyside)(?!graph)", line)]


@pytest.mark.parametrize("extra", ["all", "napari", "geo", "medical", "cluster", "openvino", "bioimageio"])
def test_extras_are_declared(extra):
    assert extra in (metadata(DISTRIBUTION).get_all("Provides-Extra") or [])


def test_everything_imported_is_declared():
    base = [re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in requires(DISTRIBUTION) or []]
    imports = {"PIL": "pillow", "skimage": "scikit-image", "qtpy": "napari", "superqt": "napari", "pint": "napari"}
    imports |= {"dask_jobqueue": "dask-jobqueue"}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found = [node.module]
            for name in {n.split(".")[0] for n in found} - sys.stdlib_module_names - {"napari_unet"}:
                assert imports.get(name, name) in base, f"{file.name} imports {name}, which no dependency installs"


def test_no_file_is_larger_than_the_architecture_says():
    lines = {file: len(file.read_text("utf-8").splitlines()) for file in PACKAGE.rglob("*.py")}
    most = {file: 220 if file.is_relative_to(PACKAGE / "widgets") else 400 for file in lines}
    assert len(lines) > 400
    assert {file.name: count for file, count in lines.items() if count > most[file]} == {}


def test_manifest_is_valid_and_its_commands_bear_our_name():
    manifest = PluginManifest.from_distribution(DISTRIBUTION)
    manifest.validate_imports()
    assert manifest.name == DISTRIBUTION
    commands = {command.id for command in manifest.contributions.commands or []}
    assert commands
    assert all(command.startswith(f"{DISTRIBUTION}.") for command in commands)
    assert set(manifest.contributions.menus or {}) <= {f"napari/layers/{m}" for m in ("segment", "track", "measure")}


def test_manifest_is_found_through_its_entry_point():
    (entry,) = entry_points(group="napari.manifest", name=DISTRIBUTION)
    assert entry.value == "napari_unet:napari.yaml"


def test_manifest_is_visible_at_the_root(root):
    link = root / "napari.yaml"
    if os.name == "posix":  # Git for Windows writes a file with the name in it, where it may make no links
        assert link.resolve() == (root / "src" / "napari_unet" / "napari.yaml").resolve()
        assert link.is_symlink()
        assert os.readlink(link) == "src/napari_unet/napari.yaml"  # noqa: PTH115  # as it is written, unresolved


@pytest.mark.parametrize("name", ["test", "release"])
def test_workflows_ask_for_little_and_name_what_is_there(root, name):
    told = yaml.safe_load((root / ".github" / "workflows" / f"{name}.yml").read_text("utf-8"))
    assert told["permissions"] == {"contents": "read"}
    for job in told["jobs"].values():
        assert job.get("permissions", {"id-token": "write"}) == {"id-token": "write"}
        assert all(re.search(r"@(release/)?v\d+$", step["uses"]) for step in job["steps"] if "uses" in step)
    assert all((root / place).exists() for place in told.get("env", {}).get("ENGINE", "src").split())


def test_reports_of_problems_come_with_versions(root):
    forms = [yaml.safe_load(file.read_text("utf-8")) for file in (root / ".github" / "ISSUE_TEMPLATE").glob("*.yml")]
    asked = [form for form in forms if "body" in form]
    assert len(asked) == 2
    assert all("napari-unet info" in str(form["body"]) for form in asked)


def test_text_is_read_and_written_as_utf_8():
    """Windows takes its code page where nothing is said."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
                least = {"read_text": 1, "write_text": 2}.get(node.func.attr, 0)
                if node.func.attr == "open" and first in ("r", "w", "a", "x", "r+", "w+", "a+"):
                    least = 3
                if least and isinstance(node.func.value, ast.Name) and node.func.value.id == "self":
                    continue
                said = len(node.args) >= least or any(word.arg == "encoding" for word in node.keywords)
                assert said, f"{file.name}, line {node.lineno}: {ast.unparse(node)}"


def test_parts_of_paths_are_written_with_slashes():
    """What one system writes another may read: Windows reads both kinds of slashes, and writes the other one."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str" and node.args:
                assert ".relative_to(" not in ast.unparse(node.args[0]), f"{file.name}, line {node.lineno}"


def test_floors_are_kept(root):
    tool = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([tool, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_every_room_is_under_contract(root):
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    by = {contract["id"]: contract for contract in contracts}
    engine = {f"napari_unet.{room}" for room in ROOMS if room not in ("cli", "widgets", "workflows")}
    assert engine <= set(by["viewer"]["source_modules"])
    assert engine - {"napari_unet.core"} <= set(by["screens"]["forbidden_modules"])
    torch = {f"napari_unet.{room}" for room in ("nets", "targets", "models", "training", "cluster")}
    assert engine - torch <= set(by["torch-rooms"]["source_modules"])
