"""Archives from strangers: what an attacker would try is refused, and nothing of it stays."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib

import pytest

from napari_unet.core.errors import ModelError, OutputError
from napari_unet.models.archive import KINDS, Limits, check_hashes, list_members, unpack

HASH = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of b"hello"


@pytest.fixture
def pack(tmp_path):
    """Return a function that packs (name or ZipInfo, bytes) pairs."""

    def make(*members, method=zipfile.ZIP_DEFLATED):
        file = tmp_path / "in" / "stranger.zip"
        file.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(file, "w", method) as out:
            for name, data in members:
                out.writestr(name, data)
        return file

    return make


def info(name, *, mode=0, system=3):
    """Return a member with attributes as Unix writes them."""
    member = zipfile.ZipInfo("placeholder")
    member.filename = member.orig_filename = name
    member.external_attr, member.create_system = mode << 16, system
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def raw(name, data=b"hello"):
    """Return a member whose name is written as it is, backslashes and all."""
    return info(name), data


def refused(archive, tmp_path, match, **more):
    """Check that an archive is refused and that nothing of it is on the disk, here or above."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=match):
        unpack(archive, tmp_path / "out", **more)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_honest_is_unpacked(pack, tmp_path):
    archive = pack(("card.json", b"hello"), ("sub/", b""), ("sub/weights.safetensors", b"\0" * 10**6))
    found = unpack(archive, tmp_path / "out", {"card.json": HASH.upper()})
    assert list(found) == ["card.json", "sub/weights.safetensors"]
    assert found["card.json"] == HASH
    assert (tmp_path / "out" / "card.json").read_bytes() == b"hello"
    assert (tmp_path / "out" / "sub" / "weights.safetensors").stat().st_size == 10**6
    assert list_members(archive) == list(found)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_only_known_kinds_of_files_leave_the_archive(pack, tmp_path):
    archive = pack(
        ("card.json", b"hello"), ("run.exe", b"MZ"), ("run.sh", b"rm"), ("__MACOSX/._card", b""), ("no", b"")
    )
    assert list(unpack(archive, tmp_path / "out")) == ["card.json"]
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["card.json"]
    assert not KINDS & {".exe", ".sh", ".bat", ".so", ".dll", ".pkl", ".pickle", ".npz", ".zip", ""}


ESCAPES = [
    "../evil.json",
    "a/../../evil.json",
    "a/..",
    "/etc/evil.json",
    "//host/share/evil.json",
    "C:/evil.json",
    "C:evil.json",
    "C:\\evil.json",
    "..\\evil.json",
    "a\\evil.json",
    "\\\\host\\share\\evil.json",
    "./evil.json",
    "a//evil.json",
    "evil.json:stream.json",
    "evil.json\0.txt",
    "evil\n.json",
    "con.json",
    "a/NUL",
    "com1.json",
    "evil.json.",
    "evil.json ",
    "a /evil.json",
]


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_lead_elsewhere_on_any_system(pack, tmp_path, name):
    archive = pack(("card.json", b"{}"), raw(name))
    with zipfile.ZipFile(archive) as opened:
        assert name in [member.orig_filename for member in opened.infolist()]
    refused(archive, tmp_path, "Nothing was unpacked")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
@pytest.mark.parametrize("system", [0, 3])
def test_links_and_devices(pack, tmp_path, kind, system):
    archive = pack((info("card.json", mode=kind | 0o777, system=system), b"/etc/passwd"))
    refused(archive, tmp_path, "a link or a device")


def test_plain_unix_files_and_folders_are_no_links(pack, tmp_path):
    archive = pack((info("a/", mode=stat.S_IFDIR | 0o755), b""), (info("a/b.txt", mode=stat.S_IFREG | 0o777), b"hello"))
    assert unpack(archive, tmp_path / "out") == {"a/b.txt": HASH}
    assert not (tmp_path / "out" / "a" / "b.txt").stat().st_mode & stat.S_IXUSR


def test_a_bomb(pack, tmp_path):
    archive = pack(("weights.safetensors", b"\0" * 2**24))
    assert archive.stat().st_size < 2**15
    refused(archive, tmp_path, "far more than an honest file", limits=Limits(free=2**20))
    assert unpack(archive, tmp_path / "out")


def test_a_bomb_in_many_small_parts(pack, tmp_path):
    archive = pack(*((f"{i}.txt", b"\0" * 2**18) for i in range(64)))
    refused(archive, tmp_path, "far more than an honest file", limits=Limits(free=2**20))


def test_more_than_may_be(pack, tmp_path):
    archive = pack(*((f"{i}.txt", bytes([i])) for i in range(5)))
    refused(archive, tmp_path, "5 members, more than the 4", limits=Limits(files=4))
    refused(archive, tmp_path, "would unpack to more than", limits=Limits(size=4))
    with pytest.raises(ModelError, match="more than the 4"):
        list_members(archive, Limits(files=4))
    assert len(unpack(archive, tmp_path / "out", limits=Limits(files=5, size=5))) == 5


def lying(archive, name, size):
    """Write another unpacked size into both headers of a member."""
    data = bytearray(archive.read_bytes())
    local = data.index(b"PK\3\4")
    central = data.index(b"PK\1\2")
    assert data[local + 30 : local + 30 + len(name)] == name.encode()
    data[local + 22 : local + 26] = data[central + 24 : central + 28] = struct.pack("<L", size)
    archive.write_bytes(data)
    return archive


@pytest.mark.parametrize("size", [1, 10, 2**20])
def test_sizes_in_the_headers_that_are_lies(pack, tmp_path, size):
    archive = lying(pack(("card.json", b"\0" * 2**21)), "card.json", size)
    refused(archive, tmp_path, "damaged")


def test_a_size_that_is_too_large(pack, tmp_path):
    archive = lying(pack(("card.json", b"hello")), "card.json", 6)
    refused(archive, tmp_path, "not as long as its archive says|damaged")


def test_a_lie_that_hides_a_bomb_is_counted_as_it_comes_out(tmp_path):
    """A member that claims to be small and whose checksum fits what zipfile reads of it."""
    packed = zlib.compress(b"\0" * 2**24)[2:-4]
    plain = b"\0" * 100
    out = io.BytesIO()
    head = struct.pack("<HHHHHLLLH", 20, 0, 8, 0, 0, zlib.crc32(plain), len(packed), len(plain), 9)
    out.write(b"PK\3\4" + head + b"\0\0card.json" + packed)
    start = out.tell()
    out.write(b"PK\1\2\x14\0" + head + b"\0" * 16 + b"card.json")
    size = out.tell() - start
    out.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, start, 0))
    file = tmp_path / "lie.zip"
    file.write_bytes(out.getvalue())
    assert unpack(file, tmp_path / "out")
    assert (tmp_path / "out" / "card.json").stat().st_size == 100


@pytest.mark.parametrize("second", ["card.json", "Card.JSON", "card.json/"])
def test_two_members_of_one_name(tmp_path, second):
    file = tmp_path / "twice.zip"
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("card.json", b"good")
        if second == "card.json":
            with pytest.warns(UserWarning, match="Duplicate"):
                out.writestr(second, b"evil")
        else:
            out.writestr(second, b"")
    refused(file, tmp_path, "twice")


def test_a_file_that_is_a_folder_too(pack, tmp_path):
    refused(pack(("a.txt", b""), ("A.txt/b.txt", b"")), tmp_path, "as a file and as a folder")


def test_encrypted(pack, tmp_path):
    archive = pack(("card.json", b"hello"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\3\4") + 6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    refused(archive, tmp_path, "encrypted: unpack it with its password")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_ways_to_compress_that_cannot_be_bounded(pack, tmp_path, method):
    refused(pack(("card.json", b"hello"), method=method), tmp_path, "ordinary zip")


def test_damage(pack, tmp_path):
    archive = pack(("card.json", b"hello world" * 100))
    data = archive.read_bytes()
    flipped = bytearray(data)
    flipped[45] ^= 255
    for damaged in (bytes(flipped), data[:-30], data[:50], b"", b"text"):
        archive.write_bytes(damaged)
        refused(archive, tmp_path, "damaged|no zip archive|table of contents")
    archive.unlink()
    refused(archive, tmp_path, "no zip archive")


def test_a_table_of_contents_that_would_fill_the_memory(pack, tmp_path):
    archive = pack(("card.json", b"hello"))
    data = bytearray(archive.read_bytes())
    data[-10:-6] = struct.pack("<L", 2**30)
    archive.write_bytes(data)
    refused(archive, tmp_path, "table of contents|damaged|no zip")


def test_hashes(pack, tmp_path):
    archive = pack(("card.json", b"hello"), ("other.json", b"other"))
    refused(archive, tmp_path, r"'other.json' in 'stranger.zip' is not the file", sha256={"other.json": HASH})
    refused(archive, tmp_path, "'third.json' .* is missing", sha256={"card.json": HASH, "third.json": HASH})
    check_hashes({"card.json": HASH}, {}, "it")


def test_what_is_there_is_left_alone(pack, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        unpack(pack(("card.json", b"hello")), tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]
