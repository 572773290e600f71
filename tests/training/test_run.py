"""From files to a model folder."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.core.errors import SpecError, TrainingDataError
from napari_unet.core.specs import NetSpec, TargetSpec, TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.models.zoo import load_model
from napari_unet.samples.simulated import nuclei
from napari_unet.training.run import fitted_net, make_card, train_model


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
    assert "2 images to learn from" in " ".join(p.news for p in shown)
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
    while not next(steps).payload:
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


def test_one_channel_fits_networks_of_several():
    assert make_card(spec(net=NetSpec(inputs=3, widths=(4, 8))), "").channels == (1, 3)


def test_what_is_left_open_is_planned(data, tmp_path):
    bare = TrainSpec(name="planned", steps=1, batch=1, threads=1, validation=0.5)
    shown = []
    folder = finish(train_model(data, bare, tmp_path / "planned"), shown.append)
    card = load_model(str(folder), "cpu").card
    assert (card.task, card.diameter, card.data) == ("cell", 24.0, "1 annotated images")
    assert "1 held out to judge" in " ".join(p.news for p in shown)


def test_settings_must_be_complete():
    bare = TrainSpec(name="tiny", net=NetSpec(), target=TargetSpec())
    for job in (
        lambda: fitted_net(TrainSpec()),
        lambda: make_card(bare, ""),
    ):
        with pytest.raises(TrainingDataError, match="incomplete"):
            job()
