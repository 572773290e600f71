"""The training loop: it learns, it can be stopped, and stopping changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.core.errors import OutputError, TrainingDataError
from napari_unet.core.results import Epoch
from napari_unet.core.specs import AugmentSpec, NetSpec, TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.fit import fit, learning_rate
from napari_unet.training.pairs import Truth
from napari_unet.training.patches import make_pair

MILD = AugmentSpec(elastic=0, wide_fraction=0, scale_jitter=0.1, noise=0.02, blur=0, contrast=0.1, invert=0)


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def field(seed, shape=(64, 64), diameter=14):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    for number in range(1, 9):
        away = np.linalg.norm(grid - rng.uniform(0, shape), axis=-1)
        labels[(away < diameter / 2) & (labels == 0)] = number
    image = (labels > 0) * 0.8 + 0.1 + 0.05 * rng.standard_normal(shape)
    return make_pair(image[None].astype(np.float32), labels, f"field {seed}")


def spec(**more):
    values = {
        "net": NetSpec(widths=(4, 8)), "target": TargetSpec(name="distance"), "augment": MILD, "diameter": 14.0,
        "steps": 6, "batch": 2, "patch": 32, "rate": 1e-2, "every": 2, "threads": 1,
    }  # fmt: skip
    return TrainSpec(**(values | more))


def reports(shown):
    """What was said at reports and at the start; between them words are said by the clock."""
    return [p for p in shown if p.payload is not None or p.note in ("starting", "going on")]


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", ["distance", "heat"])
def test_two_images_are_learned(tmp_path, name):
    how = spec(net=NetSpec(widths=(8, 16)), target=TargetSpec(name=name), steps=60, batch=4, patch=48, every=5)
    shown = []
    network = finish(fit([field(0), field(1)], how, tmp_path), shown.append)
    losses = [p.payload and p.payload.loss for p in reports(shown)]
    assert losses[0] is None
    assert losses[-1] < 0.6 * losses[1]
    assert not network.training
    pair = field(0)
    with torch.inference_mode():
        foreground = network(pair.levels[0][None])[0, 0] > 0
    assert ((pair.labels > 0) == foreground).float().mean() > 0.9


def test_volumes_are_learned(tmp_path):
    how = spec(net=NetSpec(ndim=3, widths=(4, 8), convolutions=1), patch=16, batch=1, steps=4)
    shown = []
    network = finish(fit([field(0, (24, 32, 32))], how, tmp_path), shown.append)
    assert [p.done for p in reports(shown)] == [0, 2, 4]
    assert all(np.isfinite(p.payload.loss) for p in reports(shown)[1:])
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 4, 8, 8, 8)


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    pairs, how = [field(0), field(1)], spec()
    whole = weights(finish(fit(pairs, how, tmp_path / "whole")))
    for stop in (2, 4):
        steps = fit(pairs, how, tmp_path / "cut")
        for progress in steps:
            if progress.payload is not None and progress.done == stop:  # at a report, not at words by the clock
                break
        steps.close()
    shown = []
    cut = weights(finish(fit(pairs, how, tmp_path / "cut"), shown.append))
    assert [(p.done, p.note.split()[0]) for p in reports(shown)] == [(4, "going"), (6, "loss")]
    assert whole.keys() == cut.keys()
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    other = weights(finish(fit(pairs, how.model_copy(update={"seed": 1}), tmp_path / "other")))
    assert not all(torch.equal(value, other[name]) for name, value in whole.items())


def test_a_finished_run_is_not_run_again(tmp_path):
    how, shown = spec(steps=2), []
    first = weights(finish(fit([field(0)], how, tmp_path)))
    again = weights(finish(fit([field(0)], how, tmp_path), shown.append))
    assert [p.done for p in reports(shown)] == [2]
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_progress_tells_step_loss_and_rate(tmp_path):
    shown = []
    finish(fit([field(0)], spec(steps=5), tmp_path), shown.append)
    assert [(p.done, p.total) for p in reports(shown)] == [(0, 5), (2, 5), (4, 5), (5, 5)]
    assert isinstance(shown[-1].payload, Epoch)
    assert (shown[-1].payload.step, shown[-1].note) == (5, f"loss {shown[-1].payload.loss:.3f}")


def test_other_settings_on_the_same_folder_are_refused(tmp_path):
    finish(fit([field(0)], spec(steps=2), tmp_path))
    with pytest.raises(TrainingDataError, match="other settings"):
        finish(fit([field(0)], spec(steps=2, rate=1e-3), tmp_path))


def test_a_run_of_a_version_with_another_optimizer_is_refused(tmp_path):
    finish(fit([field(0)], spec(steps=2), tmp_path))
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save(state | {"optimizer": {"state": {}, "param_groups": []}}, tmp_path / "last.pt")
    for how in (spec(steps=2), spec(steps=2, rate=1e-3)):  # the usual rate was another one, too
        with pytest.raises(TrainingDataError, match="older version"):
            finish(fit([field(0)], how, tmp_path))


@pytest.mark.parametrize("keep", [0, 100, -1000])
def test_a_damaged_checkpoint_is_named(tmp_path, keep):
    finish(fit([field(0)], spec(steps=2), tmp_path))
    file = tmp_path / "last.pt"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(TrainingDataError, match=r"last\.pt cannot be read"):
        finish(fit([field(0)], spec(steps=2), tmp_path))


def test_a_failed_checkpoint_leaves_the_one_before(tmp_path, monkeypatch):
    steps = fit([field(0)], spec(), tmp_path)
    while next(steps).done < 2:
        pass
    before = (tmp_path / "last.pt").read_bytes()

    def fail(state, stream):
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OutputError, match="No space left"):
        finish(steps)
    monkeypatch.undo()
    assert (tmp_path / "last.pt").read_bytes() == before
    assert finish(fit([field(0)], spec(), tmp_path)) is not None
    assert {p.name for p in tmp_path.iterdir()} == {"last.pt", "previous.pt", "log.csv"}


def test_an_error_in_a_patch_is_not_swallowed(tmp_path):
    with pytest.raises(TrainingDataError, match="incomplete"):
        finish(fit([field(0)], spec(augment=None), tmp_path))
    with pytest.raises(TrainingDataError, match="incomplete"):
        finish(fit([field(0)], spec(net=None), tmp_path))


def test_the_rate_rises_stays_and_falls():
    how = spec(steps=100, warmup=0.1, cooldown=0.5, rate=1.0)
    rates = [learning_rate(step, how) for step in range(101)]
    assert (np.diff(rates[:10]) > 0).all()
    assert rates[10:51] == [1.0] * 41
    assert (np.diff(rates[50:]) < 0).all()
    assert rates[-1] == pytest.approx(0.01)
    assert 0 < rates[0] < 0.1
    assert learning_rate(99, spec(steps=100, cooldown=0, warmup=0, rate=1.0)) == 1.0


@pytest.mark.parametrize("name", ["heat", "seams"])
def test_a_model_is_a_start(tmp_path, name):
    from napari_unet.models.store import write_model
    from napari_unet.training.run import make_card

    first = spec(name="first", target=TargetSpec(name="heat"), normalize={}, steps=4)
    trained = finish(fit([field(0)], first, tmp_path / "a"))
    write_model(tmp_path / "first", make_card(first, "test"), trained)
    gentle = {"start": str(tmp_path / "first"), "target": TargetSpec(name=name), "steps": 1, "rate": 1e-9}
    again = finish(fit([field(0)], spec(**gentle), tmp_path / "b"))
    old, new = weights(trained), weights(again)
    same = [key for key in old if key.startswith(("down", "up", "merge")) and old[key].ndim > 1]
    assert same
    for key in same:
        torch.testing.assert_close(new[key], old[key], atol=1e-3, rtol=1e-2)
    # The foreground keeps its row, and so does the object size, which is last.
    torch.testing.assert_close(new["head.weight"][0], old["head.weight"][0], atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(new["head.weight"][-1], old["head.weight"][-1], atol=1e-3, rtol=1e-2)


def test_an_interruption_while_saving_stays_one(tmp_path, monkeypatch):
    def interrupted(*_):
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("the writer failed: unfinished file")

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finish(fit([field(0)], spec(), tmp_path))
    monkeypatch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        finish(fit([field(0)], spec(), tmp_path))


def test_a_run_does_not_go_on_with_other_masks(tmp_path):
    classes = TargetSpec(name="classes", classes=("one", "two"))

    def masks(edge):
        labels = np.zeros((64, 64), np.int32)
        labels[10:edge, 10:40] = 1
        labels[45:60, 10:edge] = 2
        image = np.random.default_rng(0).random((1, 64, 64)).astype(np.float32)
        return make_pair(image, labels, "field", truth=Truth(classes=2))

    how = spec(target=classes, net=NetSpec(widths=(4, 8), outputs=3), steps=2)
    finish(fit([masks(30)], how, tmp_path))
    assert np.array_equal(masks(30).sizes, masks(31).sizes)  # classes have no sizes to be told by
    with pytest.raises(TrainingDataError, match="other images"):
        finish(fit([masks(31)], how, tmp_path))
