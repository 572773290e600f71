"""Models that travel: there and back with the same labels, and nothing from a stranger that was not checked."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_unet
from napari_unet.core.axes import Image
from napari_unet.core.errors import ModelError, OutputError
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import finish
from napari_unet.models import exchange
from napari_unet.models.cards import CARD, WEIGHTS, find_model, list_cards, list_damaged, read_card
from napari_unet.models.exchange import FORMATS, add_model, export_model, remove_model
from napari_unet.models.foreign import open_foreign
from napari_unet.models.model import Model
from napari_unet.models.segment import segment_image
from napari_unet.models.store import read_network


def labels_of(name, image):
    """Return the hash of the labels that a model of this program finds."""
    return napari_unet.segment(image, SegmentSpec(model=name, diameter=12.0)).hash


def foreign_labels(name, image):
    """Return the labels that another program's model finds."""
    folder = find_model(name)
    model = open_foreign(folder, read_card(folder))
    return finish(segment_image(Image(image, "yx"), SegmentSpec(diameter=12.0), model)).labels.data


@pytest.fixture
def wanted(bright, disks, monkeypatch):
    """The labels that the bright model finds in single precision, which is what files for other programs compute in."""
    monkeypatch.setattr("napari_unet.models.runtimes.eager.fast_precision", lambda device: torch.float32)
    card = read_card(bright)
    model = Model(card, read_network(bright, card), "cpu")
    return finish(segment_image(Image(disks[0], "yx"), SegmentSpec(diameter=12.0), model)).labels.data


def left(home):
    """Return what is in the user's folder, hidden things too."""
    return sorted(path.name for path in home.iterdir()) if home.exists() else []


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_there_and_back_finds_the_same_objects(bright, disks, home, tmp_path, form):
    name = {"folder": "copy", "zip": "copy.zip"}[form]
    assert export_model(str(bright), tmp_path / name, form) == tmp_path / name
    card = add_model(tmp_path / name)
    assert card == read_card(bright)
    assert left(home) == ["bright"]
    assert sorted(path.name for path in (home / "bright").iterdir()) == [CARD, WEIGHTS]
    assert labels_of("bright", disks[0]) == labels_of(str(bright), disks[0])


def test_a_zip_of_a_folder_and_a_card_stand_for_the_folder(bright, home, tmp_path):
    shutil.make_archive(str(tmp_path / "packed"), "zip", bright.parent, bright.name)
    assert add_model(tmp_path / "packed.zip", name="one").sha256 == read_card(bright).sha256
    own = read_card(bright).target.name
    assert add_model(tmp_path / "packed.zip", name="same", target=own).target.name == own
    with pytest.raises(ModelError, match=f"describes objects: as '{own}', and not as 'offsets'"):
        add_model(tmp_path / "packed.zip", name="another", target="offsets")
    assert add_model(bright / CARD, name="two").name == "two"
    assert left(home) == ["one", "same", "two"]


def test_the_same_model_makes_the_same_archive(bright, tmp_path):
    first, second = (export_model(str(bright), tmp_path / name, "zip") for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()


def test_onnx_there_and_back(bright, disks, home, tmp_path, wanted):
    card = add_model(export_model(str(bright), tmp_path / "bright.onnx", "onnx"), name="other")
    assert (card.foreign.format, card.target, card.foreign.size) == ("onnx", read_card(bright).target, 3)
    assert card.tile_invariant
    np.testing.assert_array_equal(foreign_labels("other", disks[0]), wanted)


def test_torchscript_there_and_back(bright, disks, home, tmp_path, wanted):
    file = export_model(str(bright), tmp_path / "bright.pt", "torchscript")
    card = add_model(file, name="script")
    assert (card.foreign.format, card.target, card.foreign.size) == ("torchscript", read_card(bright).target, 3)
    assert card.tile_invariant
    assert wanted.max() > 30
    np.testing.assert_array_equal(foreign_labels("script", disks[0]), wanted)
    # As what it is, and not as what it was.
    again = export_model("script", tmp_path / "again.pt", "torchscript")
    assert again.read_bytes() == (home / "script" / "weights.pt").read_bytes()
    export_model("script", tmp_path / "script.zip", "zip")
    assert add_model(tmp_path / "script.zip", name="third").sha256 == card.sha256
    for form in ("bioimageio", "onnx"):
        with pytest.raises(ModelError, match="made by another program"):
            export_model("script", tmp_path / "no", form)


def test_a_bare_onnx_network_is_tried_out(blur_onnx, home, tmp_path):
    file = blur_onnx(tmp_path / "Their net.onnx", gains=(1.0,), step=4)
    card = add_model(file)
    spec = card.foreign
    assert (card.name, card.target.name, card.channels, card.tile_invariant) == ("Their net", "foreground", (1,), False)
    assert (spec.axes, spec.sizes, spec.scores) == ("bcyx", ((64, 4), (64, 4)), ((0,),))
    assert spec.halo == (1, 1), "the kernel is 3 wide"
    assert card.tile_mismatch == 0
    assert card.widths == "not told: images are taken as they are"
    squares = np.zeros((80, 90), np.float32)
    squares[10:20, 10:20] = squares[40:60, 30:50] = 1
    found = finish(segment_image(Image(squares, "yx"), SegmentSpec(), open_foreign(home / card.name, card)))
    assert found.objects == 2


def test_raw_scores_get_a_sigmoid_and_the_user_may_say_what_they_are(blur_onnx, home, tmp_path):
    file = blur_onnx(tmp_path / "net.onnx", inputs=3, gains=(9.0, -9.0, 5.0, 3.0), sizes=(48, 32))
    with pytest.raises(ModelError, match=r"'net\.onnx' was not added\. It is not known what the 4 channels"):
        add_model(file)
    assert left(home) == []
    card = add_model(file, target="distance")
    assert card.target.name == "distance"
    assert [step.kind for step in card.foreign.after[0]] == ["sigmoid"]
    assert (card.foreign.sizes, card.channels, card.foreign.size) == (((48, 0), (32, 0)), (1, 3), 3)


@pytest.mark.parametrize(
    ("gains", "wanted"), [((-9.0, 9.0), None), ((-9.0, 9.0), "foreground"), ((-9.0, 7.0, 1.0), None)]
)
def test_raw_scores_of_classes_get_a_softmax(blur_onnx, home, tmp_path, gains, wanted):
    card = add_model(blur_onnx(tmp_path / "net.onnx", gains=gains), target=wanted)
    assert [step.kind for step in card.foreign.after[0]] == ["softmax"]
    assert card.target.name == ("foreground" if len(gains) == 2 else "border")
    bright = np.full((80, 90), -0.5, np.float32)
    bright[10:20, 10:20] = bright[40:60, 30:50] = 0.5
    scores = open_foreign(home / card.name, card).predict(bright[None, None])
    assert scores[0, 0, 50, 40] > 0.9
    assert scores[0, 0, 5, 60] < 0.1


@pytest.mark.parametrize(("gains", "wanted"), [((9.0, 5.0), None), ((-9.0, 9.0), "boundary")])
def test_raw_scores_that_are_no_classes_get_a_sigmoid(blur_onnx, home, tmp_path, gains, wanted):
    card = add_model(blur_onnx(tmp_path / "net.onnx", gains=gains), target=wanted)
    assert ([step.kind for step in card.foreign.after[0]], card.target.name) == (["sigmoid"], "boundary")


def test_a_bare_torchscript_network_is_tried_out(blur_script, home, tmp_path):
    card = add_model(blur_script(tmp_path / "net.ts", inputs=2, padding=0), name="mine", target="boundary")
    assert (card.net.inputs, card.foreign.axes, card.foreign.halo) == (2, "bcyx", (1, 1))
    scores = open_foreign(home / "mine", card).predict(np.ones((1, 2, 70, 66), np.float32))
    assert scores.shape == (1, 3, 70, 66)


@pytest.mark.parametrize("fixed", [False, True])
def test_how_much_tiles_matter_is_tried_and_kept(blur_onnx, home, tmp_path, fixed):
    from napari_unet.models._torchscript import write_script

    norm = torch.nn.InstanceNorm2d(1)  # looks at the whole tile
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), norm, torch.nn.Sigmoid())
    with torch.no_grad():
        network[0].weight.fill_(1 / 9)
    write_script(tmp_path / "net.pt", network.eval(), torch.zeros(1, 1, 16, 16))
    card = add_model(tmp_path / "net.pt", name="theirs")
    assert 0.1 < card.tile_mismatch <= 1
    assert read_card(home / "theirs") == card
    assert f"a score changed by up to {card.tile_mismatch:.2g}" in card.tiles
    file = blur_onnx(tmp_path / "net.onnx", gains=(1.0,), sizes=(48, 32) if fixed else ("h", "w"))
    local = add_model(file)
    assert (local.tile_mismatch, local.tiles) == (0, "made no difference when it was tried")


def test_what_ran_on_nothing_is_not_added(home, tmp_path):
    from napari_unet.models._torchscript import write_script

    class Fussy(torch.nn.Module):
        def forward(self, x):
            return x.reshape(7)

    write_script(tmp_path / "net.pt", Fussy().eval(), torch.zeros(7))
    with pytest.raises(ModelError, match="ran on none of the images that were tried"):
        add_model(tmp_path / "net.pt")
    assert left(home) == []


def test_onnx_that_is_no_network_of_images(home, tmp_path):
    import onnx

    for count, shape, match in ((2, ["b", 1, "y", "x"], "takes 2 inputs"), (1, ["a", "b"], "arrays with 2 axes")):
        entries = [onnx.helper.make_tensor_value_info(f"in{i}", 1, shape) for i in range(count)]
        nodes = [onnx.helper.make_node("Identity", ["in0"], ["out"])]
        out = onnx.helper.make_tensor_value_info("out", 1, None)
        model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", entries, [out]), ir_version=8)
        onnx.save(model, str(tmp_path / "net.onnx"))
        with pytest.raises(ModelError, match=match):
            add_model(tmp_path / "net.onnx")


def test_names(bright, home, tmp_path):
    add_model(bright)
    with pytest.raises(ModelError, match="'bright' among your models already"):
        add_model(bright)
    assert add_model(bright, overwrite=True).name == "bright"
    assert add_model(bright, name="My model 2").name == "My model 2"
    for name in ("nuclei", "../nuclei", "a/b", "", ".hidden", "C:x", "..", str(tmp_path / "x")):
        with pytest.raises(ModelError, match=r"a model of the program|No model can be called"):
            add_model(bright, name=name, overwrite=True)
    (home / "folder").mkdir()
    (home / "folder" / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="already"):
        add_model(bright, name="folder", overwrite=True)
    assert left(home) == ["My model 2", "bright", "folder"]
    assert (home / "folder" / "thesis.txt").exists()


def damaged(bright, tmp_path, change):
    folder = tmp_path / "damaged"
    shutil.copytree(bright, folder)
    change(folder)
    return folder


def relink(folder):
    file = folder / WEIGHTS
    file.rename(folder / "elsewhere")
    file.symlink_to(folder / "elsewhere")


DAMAGES = {
    "weights": lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-1] + b"\x07"),
    "no weights": lambda f: (f / WEIGHTS).unlink(),
    "card": lambda f: (f / CARD).write_text("{"),
    "no card": lambda f: (f / CARD).unlink(),
    "link": relink,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_model_is_not_added(bright, home, tmp_path, damage, packed):
    source = damaged(bright, tmp_path, DAMAGES[damage])
    if packed and damage != "link":
        source = Path(shutil.make_archive(str(tmp_path / "damaged"), "zip", source))
    with pytest.raises(ModelError, match=f"'{source.name}' was not added") as caught:
        add_model(source)
    assert str(home) not in str(caught.value), "the folder that it was checked in is gone"
    assert left(home) == []


def test_a_model_without_a_hash_gets_one(bright, home, tmp_path):
    def forget(folder):
        (folder / CARD).write_text(json.dumps(json.loads((folder / CARD).read_text()) | {"sha256": ""}))

    assert add_model(damaged(bright, tmp_path, forget)).sha256 == read_card(bright).sha256
    assert read_card(home / "bright").sha256 == read_card(bright).sha256


def test_what_is_no_model(home, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    (tmp_path / "fake.zip").write_text("hello")
    for name, match in {
        "nowhere": "There is no",
        "empty": "neither a card.json nor",
        "empty.zip": "neither a card.json nor",
        "notes.txt": "no model that can be added",
        "fake.zip": "no zip archive",
    }.items():
        with pytest.raises(ModelError, match=match):
            add_model(tmp_path / name)
    assert left(home) == []


def test_an_archive_that_breaks_out_leaves_nothing(bright, home, tmp_path):
    file = export_model(str(bright), tmp_path / "evil.zip", "zip")
    with zipfile.ZipFile(file, "a") as out:
        out.writestr("../../evil.json", "{}")
        link = zipfile.ZipInfo("link.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=r"'evil\.zip' was not added.*Nothing was unpacked"):
        add_model(file)
    assert left(home) == []
    assert [path for path in tmp_path.rglob("*") if path not in before] == [home]


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("place", ["bare", "folder"])
def test_a_pickle_creates_no_file(bright, home, tmp_path, place):
    source, trap = tmp_path / "model.pt", tmp_path / "trapped"
    torch.save(Trap(trap), source)
    if place == "folder":
        foreign = {"file": "weights.pt", "format": "torchscript", "sizes": [[1, 1]] * 2, "halo": [0, 0]}
        source = damaged(bright, tmp_path, lambda f: shutil.copy(tmp_path / "model.pt", f / "weights.pt"))
        card = json.loads((source / CARD).read_text()) | {"sha256": "", "foreign": foreign}
        (source / CARD).write_text(json.dumps(card | {"target": {"name": "foreground"}}))
    with pytest.raises(ModelError, match=r"was not added.*not opened"):
        add_model(source, consent=True)
    assert not trap.exists()
    assert left(home) == []


CODE = """
from pathlib import Path
import torch

Path({trap!r}).touch()

def net(gain=1.0):
    layer = torch.nn.Conv2d(1, 1, 1, bias=False)
    return torch.nn.Sequential(layer, torch.nn.Hardtanh(0, gain))
"""


@pytest.fixture
def coded(tmp_path):
    """A model folder whose network is built by Python code that leaves a trace, and that trace."""
    from safetensors.torch import save_file

    folder, trace = tmp_path / "coded", tmp_path / "ran"
    folder.mkdir()
    (folder / "network.py").write_text(CODE.format(trap=str(trace)))
    save_file({"0.weight": torch.ones(1, 1, 1, 1)}, folder / "weights.safetensors")
    card = {
        "name": "coded",
        "net": {"architecture": "foreign", "widths": [1]},
        "target": {"name": "foreground"},
        "foreign": {"file": "weights.safetensors", "format": "state_dict", "code": "network.py", "entry": "net"}
        | {"options": {"gain": 1.0}, "sizes": [[1, 1], [1, 1]], "halo": [0, 0]},
    }
    (folder / CARD).write_text(json.dumps(card))
    return folder, trace


def test_code_runs_only_with_consent(coded, home):
    folder, trace = coded
    with pytest.raises(ModelError, match=r"built by 'net' in a Python file .* read, change or delete your files"):
        add_model(folder)
    with pytest.raises(ModelError, match="has not been allowed to run"):
        open_foreign(folder, read_card(folder))
    assert not trace.exists()
    assert left(home) == []
    card = add_model(folder, consent=True)
    assert trace.exists()
    image = np.random.default_rng(0).random((1, 1, 4, 4), dtype=np.float32)
    np.testing.assert_array_equal(open_foreign(home / "coded", card).predict(image)[:, :1], image)


@pytest.mark.parametrize("change", ["code", "entry", "options", "library"])
def test_consent_is_for_this_code_and_no_other(coded, home, change):
    folder, trace = coded
    add_model(folder, consent=True)
    trace.unlink()
    said = json.loads((home / "coded" / CARD).read_text())
    if change == "code":
        with (home / "coded" / "network.py").open("a") as file:
            file.write("\n# another line\n")
    new = {"entry": {"entry": "Path"}, "options": {"options": {"gain": 2.0}}}.get(change, {})
    new = new or ({"library": True, "code": "os", "entry": "system"} if change == "library" else {})
    (home / "coded" / CARD).write_text(json.dumps(said | {"foreign": said["foreign"] | new}))
    with pytest.raises(ModelError, match="has not been allowed to run"):
        open_foreign(home / "coded", read_card(home / "coded"))
    assert not trace.exists()


def test_code_that_fails_says_so(coded, home):
    folder, _ = coded
    said = json.loads((folder / CARD).read_text())
    for new, match in (
        ({"entry": "nothing"}, r"failed\. AttributeError"),
        ({"options": {"depth": 3}}, r"failed\. TypeError"),
        ({"entry": "Path", "options": {}}, "returned no network"),
        ({"code": "not_installed_anywhere", "library": True}, r"failed\. ModuleNotFoundError"),
        ({"library": True, "code": "torch.nn", "entry": "Identity", "options": {}}, "weights of 'coded' are not those"),
    ):
        (folder / CARD).write_text(json.dumps(said | {"foreign": said["foreign"] | new}))
        with pytest.raises(ModelError, match=match):
            add_model(folder, consent=True)
    assert left(home) == [".consent.json"]


def test_a_damaged_list_of_consents_is_an_empty_one(coded, home):
    folder, _ = coded
    add_model(folder, consent=True)
    for text in ("", "{}", "[1, 2]"):
        (home / ".consent.json").write_text(text)
        with pytest.raises(ModelError, match="has not been allowed"):
            open_foreign(home / "coded", read_card(home / "coded"))


def test_removing(bright, home):
    add_model(bright)
    add_model(bright, name="broken")
    (home / "broken" / CARD).write_text("{")
    assert [name for name, _ in list_damaged()] == ["broken"]
    assert remove_model("broken") == home / "broken"
    assert left(home) == ["bright"]
    (home / "bright.folds" / "bright-fold-1").mkdir(parents=True)
    (home / "brighter.folds").mkdir()
    assert remove_model("bright") == home / "bright"
    assert not (home / "bright.folds").exists()
    (home / "brighter.folds").rmdir()
    assert left(home) == []


def test_what_is_never_removed(bright, home, tmp_path):
    add_model(bright)
    (home / "folder").mkdir()
    shutil.copytree(bright, tmp_path / "other")
    (home / "link").symlink_to(tmp_path / "other")
    with pytest.raises(ModelError, match=r"'nuclei' is none of your own models .* It belongs to the program"):
        remove_model("nuclei")
    for name in ("folder", "link", "nowhere", "../other", "../models/bright", str(bright), "", ".", "..", ".new"):
        with pytest.raises(ModelError, match="none of your own models"):
            remove_model(name)
    assert left(home) == ["bright", "folder", "link"]
    assert read_card(find_model("nuclei")).name == "nuclei"
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [CARD, WEIGHTS]


def test_a_name_that_the_program_has_too_is_the_users_to_remove(bright, home):
    """A model of an earlier day, from before the program brought one of that name."""
    shutil.copytree(bright, home / "nuclei")
    bundled = find_model("nuclei")
    assert remove_model("nuclei") == home / "nuclei"
    assert find_model("nuclei") == bundled


def test_places_to_write(bright, home, tmp_path):
    (tmp_path / "there.zip").write_text("mine")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="exists"):
        export_model(str(bright), tmp_path / "there.zip", "zip")
    assert (tmp_path / "there.zip").read_text() == "mine"
    with pytest.raises(OutputError, match="with other things than a model"):
        export_model(str(bright), tmp_path / "documents", "folder", overwrite=True)
    assert (tmp_path / "documents" / "thesis.txt").exists()
    with pytest.raises(OutputError, match="does not exist"):
        export_model(str(bright), tmp_path / "nowhere" / "a.zip", "zip")
    with pytest.raises(OutputError, match=f"no way to write a model. Choose one of: {', '.join(FORMATS)}"):
        export_model(str(bright), tmp_path / "a", "pickle")
    with pytest.raises(ModelError, match="no model called"):
        export_model("nobody", tmp_path / "a.zip", "zip")
    export_model(str(bright), tmp_path / "there.zip", "zip", overwrite=True)
    for _ in range(2):
        export_model(str(bright), tmp_path / "folder", "folder", overwrite=True)
    assert read_card(tmp_path / "folder").name == "bright"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["documents", "folder", "there.zip"]


def test_damaged_weights_are_not_handed_on(bright, tmp_path):
    folder = damaged(bright, tmp_path, DAMAGES["weights"])
    for form in FORMATS:
        with pytest.raises(ModelError, match="not the file its card names"):
            export_model(str(folder), tmp_path / "out", form)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(bright, home, monkeypatch):
    def fail(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exchange.shutil, "move", fail)
    with pytest.raises(OutputError, match="No space left"):
        add_model(bright)
    assert left(home) == []


def test_what_is_listed_is_what_was_added(bright, home):
    add_model(bright, name="zeta")
    assert "zeta" in [card.name for card in list_cards()]
    assert read_card(home / "zeta").name == "zeta"
