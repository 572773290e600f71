"""Tables come back as they were written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.errors import ImageError, OutputError
from napari_unet.io import tables
from napari_unet.io.tables import read_table, write_table


@given(
    values=st.lists(
        st.tuples(st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans()),
        min_size=1,
        max_size=9,
    )
)
def test_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("tables") / "a.csv"
    floats, ints, bools = zip(*values, strict=True)
    table = {"index": np.array(ints, np.int64), "area": np.array(floats), "edge": np.array(bools)}
    write_table(path, table)
    found = read_table(path)
    assert list(found) == list(table)
    for name, column in table.items():
        assert found[name].dtype == column.dtype
        np.testing.assert_array_equal(found[name], column)


def test_nan_text_and_quotes(tmp_path):
    path = tmp_path / "a.csv"
    write_table(path, {"x": np.array([np.nan, 1.5], np.float32), "n": np.array(['a,"b"', "1_0\nµ"])})
    assert path.read_text(encoding="utf-8").startswith('x,n\n,"a,""b"""\n1.5,')
    found = read_table(path)
    np.testing.assert_array_equal(found["x"], [np.nan, 1.5])
    assert found["n"].tolist() == ['a,"b"', "1_0\nµ"]


def test_words_that_python_takes_for_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("n,m\n1_0, 2\n2_0,3\n")
    found = read_table(tmp_path / "a.csv")
    assert found["n"].tolist() == ["1_0", "2_0"]
    assert found["m"].tolist() == [2, 3]


def test_long_tables_are_written_in_parts_and_read_back_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_ROWS", 3)
    for count in (2, 3, 7):
        table = {"a": np.arange(count), "b": np.linspace(0, 1, count), "c": np.array([f"n{i}" for i in range(count)])}
        write_table(tmp_path / "t.csv", table)
        back = read_table(tmp_path / "t.csv")
        assert all(np.array_equal(back[name], table[name]) for name in table)


def test_empty_tables(tmp_path):
    path = tmp_path / "a.csv"
    write_table(path, {"index": np.empty(0, np.int64), "area": np.empty(0)})
    assert {k: v.shape for k, v in read_table(path).items()} == {"index": (0,), "area": (0,)}
    write_table(path, {"area": np.array([np.nan, np.nan])})
    np.testing.assert_array_equal(read_table(path)["area"], [np.nan, np.nan])


def test_bad_output(tmp_path):
    with pytest.raises(OutputError, match="one length"):
        write_table(tmp_path / "a.csv", {"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(OutputError, match="one length"):
        write_table(tmp_path / "a.csv", {"a": np.ones((2, 2))})
    with pytest.raises(OutputError, match=r"\.csv"):
        write_table(tmp_path / "a.xlsx", {"a": np.ones(2)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no table"),
        (b"", "first row"),
        (b"a,a\n1,2\n", "first row"),
        (b"a,b\n1\n", "row 2"),
        (b"\xff\xfe\x00a", "UTF"),
    ],
)
def test_bad_input(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_table(tmp_path / "a.csv")
