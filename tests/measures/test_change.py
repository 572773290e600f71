"""Areas of classes at several dates, and what turned into what."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from typer.testing import CliRunner

from napari_unet import workflows
from napari_unet.cli import app
from napari_unet.core import windows
from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, SpecError
from napari_unet.core.place import GeoReference

from ..commands import bad

MAPS = np.zeros((3, 10, 20), np.uint8)
MAPS[:, :, :10] = 1
MAPS[1, :5, :10] = 2
MAPS[2, :, :5] = 2
NAMES = ["forest", "town"]


def image(data=MAPS, side=10.0, unit="meter", axes="tyx"):
    scale = tuple(side if axis in "yx" else 1.0 for axis in axes)
    units = tuple(unit if axis in "yx" else "pixel" for axis in axes)
    return Image(data, axes, scale, units, "maps")


def table(rows, *keys):
    """Return areas by names of columns."""
    found = zip(*(rows[key] for key in keys), rows["area"].tolist(), strict=True)
    return {tuple(map(str, key)): area for *key, area in found}


def test_areas_and_changes_are_in_units_of_area():
    areas, changes = workflows.change(image(), NAMES)
    assert set(areas["unit"]) == {"m2"}
    assert table(areas, "t", "name") == {
        ("0", "background"): 10000, ("0", "forest"): 10000, ("0", "town"): 0,
        ("1", "background"): 10000, ("1", "forest"): 5000, ("1", "town"): 5000,
        ("2", "background"): 10000, ("2", "forest"): 5000, ("2", "town"): 5000,
    }  # fmt: skip
    moved = table(changes, "t_from", "t_to", "name_from", "name_to")
    assert moved["0", "1", "forest", "town"] == 5000
    assert moved["1", "2", "forest", "town"] == moved["1", "2", "town", "forest"] == 2500
    assert moved["0", "2", "forest", "town"] == 5000
    assert moved["0", "1", "background", "background"] == 10000
    assert len(moved) == 3 * 9
    hectares = workflows.change(image(), NAMES, "ha")[0]
    assert table(hectares, "t", "name")["0", "forest"] == pytest.approx(1.0)
    assert table(workflows.change(image(), NAMES, "km2")[0], "t", "name")["1", "town"] == pytest.approx(0.005)


def test_nothing_is_said_of_what_is_not_known():
    areas, changes = workflows.change(image(), NAMES, empty=False)
    assert "background" not in areas["name"]
    assert table(areas, "t", "name")["1", "town"] == 5000
    shares = areas["share"][areas["t"] == 1]
    assert shares.tolist() == [0.5, 0.5]
    assert set(changes["from"]) == {1, 2}
    half = MAPS.copy()
    half[1, :, :10] = 0
    assert workflows.change(image(half), empty=False)[1]["pixels"][:4].sum() == 0


def test_maps_of_which_nothing_is_known_are_refused(tmp_path):
    blank = np.zeros((4, 5), np.uint8)
    with pytest.raises(ImageError, match="nothing to compare"):
        workflows.change([blank, blank], empty=False)
    assert workflows.change([blank, blank])[0]["pixels"].tolist() == [20, 20]
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", blank)
    files = [str(tmp_path / f"{name}.tif") for name in ("a", "b")]
    assert "--unknown" in bad("change", *files, "--unknown", "--output", str(tmp_path / "change.csv"))
    assert not (tmp_path / "change.csv").exists()


def test_a_name_is_of_one_class():
    with pytest.raises(SpecError, match="Two classes are called 'town'"):
        workflows.change(MAPS, ["town", "town"])


def test_pixels_count_where_no_length_is_known():
    areas, _ = workflows.change(MAPS)  # an array
    assert (areas["unit"][0], areas["area"][1], areas["name"][1]) == ("pixels", 100, "class 1")
    assert workflows.change(image(), unit="pixels")[0]["area"][1] == 100
    with pytest.raises(SpecError, match="coordinate reference system"):
        workflows.change(image(unit="degree"), unit="ha")
    with pytest.raises(SpecError, match="no unit of area"):
        workflows.change(image(), unit="acre")


@pytest.mark.parametrize(("epsg", "step", "corner"), [(3857, 10.0, (1.2e6, 8.4e6)), (4326, 1e-3, (12.0, 60.0))])
def test_areas_are_those_on_the_ground(epsg, step, corner):
    geo = GeoReference((step, 0.0, corner[0], 0.0, -step, corner[1]), CRS.from_epsg(epsg).to_wkt(), f"EPSG:{epsg}")
    unit = "meter" if epsg == 3857 else "degree"
    maps = Image(MAPS, "tyx", (1.0, step, step), ("pixel", unit, unit), "maps", geo=geo)
    areas, changes = workflows.change(maps, NAMES, "ha")
    for t, data in enumerate(MAPS):
        found = workflows.measure(Image(data, "yx", geo=geo), measures=["classes"])
        known = dict(zip(found["index"].tolist(), found["area_m2"].tolist(), strict=True))
        rows = [table(areas, "t", "name")[str(t), name] for name in NAMES]
        np.testing.assert_allclose(rows, [known.get(number, 0.0) / 1e4 for number in (1, 2)], rtol=1e-9)
    moved = table(changes, "t_from", "t_to", "name_from", "name_to")
    gone = sum(moved["0", "1", "forest", name] for name in ("background", *NAMES))
    assert gone == pytest.approx(table(areas, "t", "name")["0", "forest"])
    assert workflows.change(maps, unit="pixels")[0]["area"][1] == 100
    known = table(workflows.change(maps, NAMES, empty=False)[0], "t", "name")
    assert known["0", "forest"] == pytest.approx(1e4 * rows[0] * 2, rel=0.01)


def test_what_is_no_map_with_dates_is_refused():
    with pytest.raises(AxesError, match="along t, y and x"):
        workflows.change(image(MAPS[0], axes="yx"))
    with pytest.raises(ImageError, match="follow objects with 'track'"):
        workflows.change(image(np.full((2, 4, 4), 999)))
    first = image(MAPS[0], axes="yx")
    with pytest.raises(ImageError, match="on one grid"):
        workflows.change([first, image(MAPS[1, :5], axes="yx")])
    with pytest.raises(ImageError, match="same place"):
        workflows.change([first, image(MAPS[1], 5.0, axes="yx")])


@given(st.integers(0, 99), st.sampled_from(["tyx", "ytx", "xyt"]))
def test_sums_agree_however_it_is_read(seed, axes):
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 4, (int(rng.integers(2, 5)), 13, 17), np.uint8)
    turned = data.transpose(["tyx".index(axis) for axis in axes])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "_STEPS", ((), (7,), (4, 5), (2, 3, 3)))
        areas, changes = workflows.change(Image(turned, axes))
    count = len(set(areas["class"].tolist()))
    assert areas["pixels"].reshape(len(data), count).sum(1).tolist() == [13 * 17] * len(data)
    first = changes["pixels"][: count**2].reshape(count, count)
    assert first.sum(1).tolist() == areas["pixels"][:count].tolist()
    assert first.sum(0).tolist() == areas["pixels"][count : 2 * count].tolist()
    kinds = sorted(set(areas["class"].tolist()))
    expected = [[int(((data[0] == a) & (data[1] == b)).sum()) for b in kinds] for a in kinds]
    assert first.tolist() == expected


def test_the_command_writes_both_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for year, data in zip((2019, 2024), MAPS, strict=False):
        tifffile.imwrite(f"{year}.tif", data)
    words = ["change", "2019.tif", "2024.tif", "-o", "change.csv", "--areas", "areas.csv", "--classes", "forest,town"]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["classes"]["town"] == {"first": 0, "last": 50}
    with (tmp_path / "change.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if (row["name_from"], row["name_to"]) == ("forest", "town")]
    assert [row["pixels"] for row in rows] == ["50"]
    assert said["named"] == ["2019", "2024"]
    with (tmp_path / "areas.csv").open(newline="") as stream:
        assert [(row["t"], row["date"]) for row in csv.DictReader(stream) if row["name"] == "town"] == [
            ("0", "2019"), ("1", "2024"),
        ]  # fmt: skip
    result = CliRunner().invoke(app, [*words, "--overwrite"])
    assert "2019 to 2024" in result.output
    assert CliRunner().invoke(app, words).exit_code == 2  # never replaced unasked


def test_axes_are_those_of_each_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for year, data in zip((2019, 2024), MAPS, strict=False):
        np.save(f"{year}.npy", data.T)
    words = ["change", "2019.npy", "2024.npy", "-o", "change.csv", "--areas", "areas.csv"]
    assert "has 2 dimensions" in bad(*words, "--axes", "tyx")
    assert CliRunner().invoke(app, [*words, "--axes", "xy"]).exit_code == 0


def test_dates_bear_the_names_of_their_files(tmp_path):
    places = [tmp_path / day / "cover.tif" for day in ("may", "june", "july")]
    for place, data in zip(places, MAPS, strict=True):
        place.parent.mkdir()
        tifffile.imwrite(place, data)
    areas, changes = workflows.change(places)
    assert list(dict.fromkeys(areas["date"].tolist())) == ["may/cover", "june/cover", "july/cover"]
    assert set(zip(changes["date_from"].tolist(), changes["date_to"].tolist(), strict=True)) == {
        ("may/cover", "june/cover"), ("june/cover", "july/cover"), ("may/cover", "july/cover"),
    }  # fmt: skip
    assert "date" not in workflows.change(MAPS)[0]


def test_names_of_classes_are_those_that_the_maps_tell(tmp_path):
    def write(name, data, *told):
        rows = [{"label": number, "name": each} for number, each in enumerate(told, 1)]
        workflows.write_labels(tmp_path / name, Image(data, "yx"), {"classes": rows})
        return tmp_path / name

    old, new = (write(f"{year}.tif", data, *NAMES) for year, data in zip((2019, 2024), MAPS, strict=False))
    areas, _ = workflows.change([old, new])
    assert set(areas["name"]) == {"background", *NAMES}
    assert set(workflows.change([old, new], ["wood", "city"])[0]["name"]) >= {"wood", "city"}
    with pytest.raises(SpecError, match=r"Class 2 is 'town' in one map and 'lake'"):
        workflows.change([old, write("other.tif", MAPS[2], "forest", "lake")])


def test_names_are_told_by_the_maps_of_a_folder(tmp_path):
    geo = GeoReference((10.0, 0.0, 5e5, 0.0, -10.0, 5.3e6), CRS.from_epsg(32633).to_wkt(), "EPSG:32633")
    rows = [{"label": number, "name": each, "color": "#102030"} for number, each in enumerate(NAMES, 1)]
    for number, data in enumerate(MAPS):
        place = tmp_path / f"{number}.tif"
        workflows.write_labels(place, Image(data, "yx", (10.0, 10.0), ("meter",) * 2, geo=geo), {"classes": rows})
    areas, _ = workflows.change(workflows.read_labels(tmp_path, "tyx"))
    assert list(dict.fromkeys(areas["date"].tolist())) == ["0", "1", "2"]
    assert set(areas["name"]) == {"background", *NAMES}


def test_maps_with_time_in_a_tiff_lie_on_the_ground(tmp_path):
    geo = GeoReference((10.0, 0.0, 1.2e6, 0.0, -10.0, 8.4e6), CRS.from_epsg(3857).to_wkt(), "EPSG:3857", "meter")
    maps = Image(MAPS, "tyx", (1.0, 10.0, 10.0), ("pixel", "meter", "meter"), "maps", geo=geo)
    workflows.write_labels(tmp_path / "maps.tif", maps)
    found = workflows.read_labels(tmp_path / "maps.tif")
    assert (found.axes, found.geo) == ("tyx", geo)
    areas = [workflows.change(each)[0]["area"].tolist() for each in (maps, found)]
    assert areas[0] == areas[1]
    assert areas[0][0] < 5000  # on the map 10000
