"""What all tests share: the example images, and the marks that skip."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side: were each to take all cores, threads would wait for each other. Read when torch is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import pytest

from . import forked as processes

# Half of the time of many tests went into waiting for the disk. Tests kill processes, never the computer: what they
# wrote is there for the next one whether it is on the disk or not. A full disk says so where a test wants it to.
os.fsync = lambda handle: None
processes.load()

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of example images; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("NAPARI_UNET_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no example images in {folder}; NAPARI_UNET_DATA names their folder")
    return folder


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have modules of the program start processes as forks of one that has loaded everything: ``forked(module)``."""

    def replace(*modules: Any) -> None:
        if processes.THERE:
            for module in modules:
                monkeypatch.setattr(module, "subprocess", processes)

    return replace


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a graphics card where torch finds none; count lines where a room's own test runs first."""
    if config.pluginmanager.hasplugin("_cov"):
        # What goes through all rooms, and the same test with other values, says little of a line that one did not
        # say, and counting lines takes half as long as the test.
        seen: set[str] = set()
        for item in items:
            name = item.nodeid.partition("[")[0]
            many = name in seen or getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
            if many or item.path.relative_to(ROOT).parts[1] in ("e2e", "properties", "widgets"):
                item.add_marker(pytest.mark.no_cover)
            seen.add(name)
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no graphics card"))


@pytest.fixture(scope="session")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small model made by hand: what is bright and smooth is an object, about 12 pixels wide."""
    import torch

    from napari_unet.core.model_card import ModelCard
    from napari_unet.core.sizes import SIZE_RANGE
    from napari_unet.core.specs import NetSpec, TargetSpec
    from napari_unet.models.store import write_model
    from napari_unet.nets import build

    net = NetSpec(inputs=3, outputs=4, widths=(4, 8))
    torch.manual_seed(0)
    network = build(net).eval()
    with torch.no_grad():
        first, second = network.down[0][0].weight, network.down[0][3].weight
        third, fourth = network.merge[0][0].weight, network.merge[0][3].weight
        for weight in (first, second, third, fourth):
            weight[0] = 0
        first[0, :, 1, 1], second[0, 0], third[0, 0, 1, 1], fourth[0, 0] = 1 / 3, 1 / 9, 1, 1 / 9
        # A little of the coarse level, so that a tile off the grid would be noticed.
        third[0, 4:] = 0.02 * torch.randn(4, 3, 3)
        network.head.weight.zero_()
        network.head.weight[:2, 0] = torch.tensor([[[14.0]], [[5.0]]])
        share = (torch.tensor(12.0 / SIZE_RANGE[0]).log2() / torch.tensor(SIZE_RANGE[1] / SIZE_RANGE[0]).log2()).item()
        network.head.bias.copy_(torch.tensor([-5.0, -3.0, -9.0, torch.logit(torch.tensor(share)).item()]))
    folder = tmp_path_factory.mktemp("models") / "bright"
    target = TargetSpec(name="distance", persistence=0.1)
    write_model(folder, ModelCard(name="bright", net=net, target=target, channels=(1, 3), diameter=12.0), network)
    return folder


@pytest.fixture(scope="session")
def disks() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32]]:
    """A noisy picture of 42 disks, 9 to 14 pixels wide, and their labels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :112]
    truth = np.zeros(y.shape, np.int32)
    for i, (row, column) in enumerate(np.ndindex(6, 7)):
        place = np.array([16 * row + 8, 16 * column + 8]) + rng.uniform(-1, 1, 2)
        truth[np.hypot(y - place[0], x - place[1]) < rng.uniform(4.5, 7)] = i + 1
    return (rng.normal(1000, 60, y.shape) + 3000 * (truth > 0)).astype(np.uint16), truth


IDENTITY = {
    "PatientName": "Doe^Jane", "PatientID": "MRN-4711", "PatientBirthDate": "19610203",
    "ReferringPhysicianName": "House^Gregory", "InstitutionName": "Princeton-Plainsboro", "AccessionNumber": "ACC-0815",
    "SeriesDescription": "Jane's thorax", "StudyDescription": "Doe follow-up", "OtherPatientIDs": "SSN-123",
}  # fmt: skip


@pytest.fixture
def dicom_series() -> Callable[..., list[Path]]:
    """Return a function that writes a DICOM series, its files named in another order than its planes lie in."""

    def write(folder: Path, values: npt.NDArray[Any], affine: Any = None, **fields: Any) -> list[Path]:
        """Write ``values[column, row, plane]``; `affine` takes such an index to x, y, z in mm, LPS.

        A field may be a function of the plane's number; None leaves it out.
        """
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

        affine = np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else np.asarray(affine, float)
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        uids = {name: generate_uid() for name in ("Series", "Study")}
        shared = {
            **IDENTITY, "Modality": "CT", "SeriesNumber": 1, "SeriesInstanceUID": uids["Series"], "PatientSex": "O",
            "StudyInstanceUID": uids["Study"], "FrameOfReferenceUID": generate_uid(), "StudyDate": "20200101",
            "StudyTime": "120000", "StudyID": "1", "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0, "RescaleSlope": 1,
            "RescaleIntercept": 0, "PixelSpacing": [float(sizes[1]), float(sizes[0])],
            "SliceThickness": float(sizes[2]),
            "ImageOrientationPatient": [float(n) for n in (*(affine[:3, 0] / sizes[0]), *(affine[:3, 1] / sizes[1]))],
            "SOPClassUID": CTImageStorage, "PositionReferenceIndicator": "",
        }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for number in range(values.shape[2]):
            data = FileDataset(None, {}, preamble=b"\0" * 128)
            plane = np.ascontiguousarray(values[:, :, number].T)
            place = [float(n) for n in affine[:3, 3] + affine[:3, 2] * number]
            own = {"ImagePositionPatient": place, "InstanceNumber": number + 1, "SOPInstanceUID": generate_uid()}
            own |= {"Rows": plane.shape[0], "Columns": plane.shape[1], "PixelData": plane.tobytes()}
            for name, value in (shared | own | fields).items():
                found = value(number) if callable(value) else value
                if found is not None:
                    setattr(data, name, found)
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            files.append(folder / f"IM{(number * 41 + 3) % 97:03}.dcm")
            data.save_as(files[-1], enforce_file_format=True)
        return files

    return write


@pytest.fixture
def identity() -> list[str]:
    """Words that the files of `dicom_series` hold and nobody may repeat."""
    return sorted({word for text in IDENTITY.values() for word in (text, text.partition("^")[0])})
