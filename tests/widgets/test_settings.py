"""The copied calls say exactly what the widget does."""

from __future__ import annotations

import shlex
import sys
import types
from typing import Any

import pytest

from napari_unet.core.region import parse_region
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.widgets._settings import PLACEHOLDER, as_command, as_python, output_name

SPECS = [
    SegmentSpec(),
    SegmentSpec(model="my models/nuclei 2", diameter=23.5),
    SegmentSpec(diameter=1 / 3, channels=(0, 2), threshold=0.4, min_size=12, device="cpu"),
    SegmentSpec(tiling=TilingSpec(tile=128, batch=4, workers=2)),
    SegmentSpec(model=("my models/nuclei 2", "nuclei"), average="rotations", uncertainty=True, runtime="torch"),
    SegmentSpec(link_z=0, min_score=0.5),
    SegmentSpec(dropout_samples=8, uncertainty=True),
    SegmentSpec(background=0.1, unreadable="skip"),
    SegmentSpec(
        region=(((-1.5, 0.0), (0.0, 1e-3), (1234.567, 30.0)), ((1.0, 2.0), (1.0, 9.0), (7.0, 2.0), (3.0, 1.0)))
    ),
]


def parse(command: str) -> tuple[str, dict[str, Any]]:
    """Read a command as a shell and a parser of options do."""
    program, verb, source, *rest = shlex.split(command)
    assert (program, verb) == ("napari-unet", "segment")
    pairs = list(zip((w.removeprefix("--") for w in rest[::2]), rest[1::2], strict=True))
    return source, dict(pairs) | {"model": [value for name, value in pairs if name == "model"]}


def as_spec(options: dict[str, Any]) -> SegmentSpec:
    options = dict(options)
    if "uncertainty" in options:  # where to write it
        assert options["uncertainty"].endswith("-uncertainty.tif")
        options["uncertainty"] = True
    tiling = {n: options.pop(n) for n in ("tile", "batch", "workers") if n in options}
    if "region" in options:
        options["region"] = parse_region(options["region"])
    if "channels" in options:
        options["channels"] = tuple(options["channels"].split(","))
    return SegmentSpec.of(**{n.replace("-", "_"): v for n, v in options.items()}, tiling=tiling)


@pytest.mark.skipif(sys.platform == "win32", reason="quoted for another shell")
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("source", ["/data/a b/cells 'x'.tif", "plain.tif", None])
def test_command_round_trip(spec: SegmentSpec, source: str | None) -> None:
    found, options = parse(as_command(spec, source, "tyx", "out dir/labels.tif"))
    assert found == (source or PLACEHOLDER)
    assert options.pop("axes") == "tyx"
    assert options.pop("output") == "out dir/labels.tif"
    assert as_spec(options) == spec


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("source", ["C:\\data\\new cells.tif", "/data/'x'.tif", None])
@pytest.mark.parametrize("axes", ["tyx", None])
def test_python_round_trip(
    spec: SegmentSpec, source: str | None, axes: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = types.ModuleType("napari_unet")
    fake.read_image = lambda path, axes=None: (path, axes)
    fake.segment = lambda image, **options: (image, SegmentSpec.of(**options))
    names: dict[str, object] = {}
    code = as_python(spec, source, axes)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "napari_unet", fake)
        exec(code, names)
    assert names["result"] == (((source or PLACEHOLDER), axes), spec)


def test_the_model_is_always_named() -> None:
    assert "--model nuclei" in as_command(SegmentSpec(), "a.tif")
    assert "model='nuclei'" in as_python(SegmentSpec(), "a.tif")


def test_the_cluster_is_named() -> None:
    spec = SegmentSpec()
    assert as_command(spec, "a.zarr", "yx", "b.ome.zarr", ("tcp://x:1", 0)).endswith("--axes yx --scheduler tcp://x:1")
    assert as_command(spec, "a.zarr", None, "b.ome.zarr", ("", 2)).endswith("--local-workers 2")
    assert "workers" not in as_command(spec, "a.zarr", None, "b.ome.zarr")


def test_sizes_that_the_file_does_not_say_are_told() -> None:
    code = as_python(SegmentSpec(), "a.tif", None, None, [("y", 0.5, "micrometer"), ("x", 0.25, "micrometer")])
    assert "read_image('a.tif').scaled(y=(0.5, 'micrometer'), x=(0.25, 'micrometer'))\n" in code


def test_output_name() -> None:
    assert output_name("/data/slide.ome.tif", "cells") == "slide-cells.tif"
    assert output_name("/data/stage.ome.tif/3", "cells") == "stage-3-cells.tif"
    assert output_name("/data/scans/3") == "3-labels.tif"
    assert output_name(None) == "IMAGE-labels.tif"
