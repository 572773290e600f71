"""Motion is learned from files of movies and tracks, and used to link."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_unet.cli import app
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, ModelError
from napari_unet.core.specs import NetSpec, SegmentSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.io.images import write_image
from napari_unet.models.motion import foretell
from napari_unet.models.zoo import load_model
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import Movie, simulate
from napari_unet.workflows import segment, track, train, write_labels, write_tracks


@pytest.fixture(scope="module")
def movie() -> Movie:
    return simulate(MovieSpec(shape=(72, 80), frames=4, count=10, diameter=13.0, cycle=5.0, seed=4))


@pytest.fixture(scope="module")
def place(tmp_path_factory, movie):
    """Write a table of movies, and train a model for some steps."""
    folder = tmp_path_factory.mktemp("motion")
    write_image(folder / "movie.tif", Image(np.asarray(movie.image.data), "tyx"))
    write_labels(folder / "labels.tif", Image(np.asarray(movie.labels.data), "tyx"))
    write_tracks(folder / "tracks.csv", movie.tracks())
    (folder / "table.csv").write_text("image,labels,tracks\nmovie.tif,labels.tif,tracks.csv\n")
    net = NetSpec(inputs=2, outputs=5, widths=(4, 6))
    train(
        folder / "table.csv", name="small", task="motion", net=net, steps=2, patch=32, batch=1, threads=1, device="cpu",
        folder=folder / "small",
    )  # fmt: skip
    return folder


def test_the_command_links_with_the_model(place, movie, tmp_path):
    given = [str(place / "labels.tif"), "--axes", "tyx", "--image", str(place / "movie.tif")]
    out = tmp_path / "tracks.csv"
    run = CliRunner().invoke(app, ["track", *given, "--output", str(out), "--model", str(place / "small"), "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["objects"] == movie.tracks().counts["objects"]


def test_what_is_foretold_does_not_depend_on_tiles(place, movie):
    image, labels = (Image(np.asarray(each.data), "tyx") for each in (movie.image, movie.labels))
    model = load_model(str(place / "small"), "cpu")
    found = []
    for tiling in (TilingSpec(), TilingSpec(tile=32, batch=1)):
        found.append(finish(foretell(labels, image, SegmentSpec(diameter=13.0, tiling=tiling), model)))
    assert [len(ids) for ids in found[0].labels] == [len(np.unique(f)) - 1 for f in np.asarray(labels.data)]
    for one, other in zip(*((*motion.back, *motion.chances[1:]) for motion in found), strict=True):
        assert np.array_equal(one, other)
    assert np.isnan(found[0].chances[0]).all()
    assert any(back.any() for back in found[0].back)


def test_what_cannot_foretell_says_so(place, movie):
    image, labels = (Image(np.asarray(each.data), "tyx") for each in (movie.image, movie.labels))
    with pytest.raises(ModelError, match="foretells no motion"):
        track(labels, image=image, model="nuclei")
    with pytest.raises(ImageError, match="give it too"):
        track(labels, model=str(place / "small"))
    with pytest.raises(ImageError, match="does not fit the labels"):
        track(labels, image=Image(np.asarray(movie.image.data)[:3], "tyx"), model=str(place / "small"))
    with pytest.raises(ModelError, match="'small' foretells how objects move"):
        segment(image, model=str(place / "small"))
    one = track(Image(labels.data[:1], "tyx"), image=Image(image.data[:1], "tyx"), model=str(place / "small"))
    assert one.counts["divisions"] == 0
