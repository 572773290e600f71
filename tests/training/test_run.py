"""From files to a model folder."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.core.errors import AxesError, ImageError, SpecError, TrainingDataError
from napari_unet.core.specs import NetSpec, TargetSpec, TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.models.zoo import load_model
from napari_unet.samples.simulated import nuclei
from napari_unet.training.run import fitted_net, load_pair, make_card, train_model


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def spec(**more):
    values = {"name": "tiny", "net": NetSpec(widths=(4, 8)), "steps": 2, "batch": 1, "patch": 32, "threads": 1}
    return TrainSpec(**(values | more)).filled(load_task("cell"))


@pytest.fixture
def data(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for seed in range(2):
        image, labels = nuclei((64, 72), count=6, diameter=16, seed=seed)
        tifffile.imwrite(tmp_path / "data" / "images" / f"{seed}.tif", image)
        tifffile.imwrite(tmp_path / "data" / "labels" / f"{seed}.tif", labels.astype("u2"))
    return tmp_path / "data"


def test_files_become_a_model(data, tmp_path):
    folder, shown = tmp_path / "models" / "tiny", []
    assert finish(train_model(data, spec(), folder), shown.append) == folder
    assert [p.done for p in shown if p.payload or p.note == "starting"] == [0, 2]
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]
    model = load_model(str(folder), "cpu")
    card = model.card
    assert (card.name, card.task, card.data, card.seed) == ("tiny", "cell", "2 annotated images", 0)
    assert (card.target, card.diameter, card.channels) == (spec().target, spec().diameter, (1,))
    assert card.net == fitted_net(spec())
    scores = model.predict(np.zeros((1, 1, 16, 16), np.float32))
    assert scores.shape == (1, card.net.outputs, 16, 16)
    # Trained again it is replaced, and the same.
    finish(train_model(data, spec(), folder))
    assert load_model(str(folder), "cpu").card.sha256 == card.sha256


def test_models_go_to_the_users_folder_and_stopped_runs_stay_beside(data, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "mine"))
    steps = train_model(data, spec(every=1))
    while next(steps).done < 1:
        pass
    steps.close()
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["tiny.training"]
    finish(train_model(data, spec(every=1)))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["tiny"]
    assert load_model("tiny", "cpu").card.name == "tiny"


@pytest.mark.parametrize("name", ["a/b", ".hidden", ""])
def test_a_name_no_model_can_have_is_found_before_the_first_step(data, tmp_path, name):
    with pytest.raises(SpecError, match="plain word"):
        next(train_model(data, spec(name=name), tmp_path / "models" / "tiny"))


def test_one_channel_fits_networks_of_several(data):
    wide = spec(net=NetSpec(inputs=3, widths=(4, 8)))
    pair = load_pair(data / "images" / "0.tif", data / "labels" / "0.tif", wide, 2.5)
    assert pair.levels[0].shape == (1, 64, 72)
    assert (pair.name, pair.weight) == ("0.tif", 2.5)
    assert -1 <= float(pair.levels[0].min()) < 0.1
    assert 0.9 < float(pair.levels[0].max()) <= 4
    assert make_card(wide, "").channels == (1, 3)


def test_volumes_of_one_plane_are_planes(data, tmp_path):
    image, labels = nuclei((64, 72), count=6, diameter=16, seed=0)
    tifffile.imwrite(tmp_path / "flat.tif", image[None], metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "mask.tif", labels[None].astype("u2"), metadata={"axes": "ZYX"})
    pair = load_pair(tmp_path / "flat.tif", tmp_path / "mask.tif", spec())
    assert torch.equal(pair.labels, load_pair(data / "images" / "0.tif", data / "labels" / "0.tif", spec()).labels)


@pytest.mark.parametrize(
    ("image", "labels", "error", "text"),
    [
        ((2, 64, 72), (2, 64, 72), TrainingDataError, "Save planes as files of their own"),
        ((64, 72), (2, 64, 72), TrainingDataError, "labels of a single 2D image"),
        ((64, 72), (64, 70), TrainingDataError, "They must be the same"),
        ((64, 72), None, ImageError, "does not hold labels"),
    ],
)
def test_pairs_that_do_not_fit(tmp_path, image, labels, error, text):
    tifffile.imwrite(tmp_path / "image.tif", np.zeros(image, "u2"))
    drawn = np.full((64, 72), 0.5, "f4") if labels is None else np.zeros(labels, "u2")
    tifffile.imwrite(tmp_path / "labels.tif", drawn)
    with pytest.raises(error, match=text):
        load_pair(tmp_path / "image.tif", tmp_path / "labels.tif", spec())


def test_pictures_are_too_flat_for_volumes(data):
    with pytest.raises(AxesError, match="needs 3"):
        load_pair(data / "images" / "0.tif", data / "labels" / "0.tif", spec(net=NetSpec(ndim=3, widths=(4,))))


def test_channels_that_do_not_fit(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 72, 3), "u1"), photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((64, 72), "u2"))
    with pytest.raises(TrainingDataError, match="1 or 1 channels"):
        load_pair(tmp_path / "a.tif", tmp_path / "b.tif", spec())
    assert load_pair(tmp_path / "a.tif", tmp_path / "b.tif", spec(net=NetSpec(inputs=3))).levels[0].shape[0] == 3


def test_settings_must_be_complete(data):
    bare = TrainSpec(name="tiny", net=NetSpec(), target=TargetSpec())
    for job in (
        lambda: fitted_net(TrainSpec()),
        lambda: make_card(bare, ""),
        lambda: load_pair(data / "images" / "0.tif", data / "labels" / "0.tif", bare),
    ):
        with pytest.raises(TrainingDataError, match="incomplete"):
            job()
