"""The fingerprint of a file or folder."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest

from mlops_ci import digests
from mlops_ci.data import fingerprint
from mlops_ci.errors import InputError


def columns(dataset):
    return {column.name: column.type for column in dataset.columns}


def test_a_file_is_named_by_the_digest_of_its_bytes(tmp_path):
    """Also where it is a table, which is read in the same pass."""
    text = "a,b\n" + "".join(f"{number},x\n" for number in range(100_000))
    for name in ("plain.bin", "table.csv", "lines.jsonl"):
        path = tmp_path / name
        path.write_text(text)
        found = fingerprint("train", path, tmp_path)
        assert found.digest == digests.of_file(path)
        assert found.size_bytes == path.stat().st_size
        assert found.path == name


def test_a_file_that_is_no_table_inside_still_has_its_digest(tmp_path):
    """The note says why there is no more."""
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\n1,2\n" + b"\xff\xfe" * 500_000)
    found = fingerprint("train", path, tmp_path)
    assert found.digest == digests.of_file(path)
    assert found.rows is None
    assert "not UTF-8" in found.note


def test_a_folder_is_the_digest_of_its_files(tmp_path):
    """All of them, by path."""
    (tmp_path / "images/deep").mkdir(parents=True)
    (tmp_path / "images/a.png").write_bytes(b"1")
    (tmp_path / "images/deep/b.png").write_bytes(b"22")
    found = fingerprint("images", tmp_path / "images", tmp_path)
    assert found.digest == digests.of_tree(digests.of_files(tmp_path / "images"))
    assert found.size_bytes == 3


def test_json_lines_have_rows(tmp_path):
    """Blank lines are none."""
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": 2}')
    assert fingerprint("a", tmp_path / "a.jsonl", tmp_path).rows == 2


def test_parquet_has_rows_and_columns(tmp_path):
    """With our words for its types."""
    path = tmp_path / "a.parquet"
    duckdb.sql(
        "SELECT 1::BIGINT AS i, 2::UTINYINT AS u, 1.5::DECIMAL(9,2) AS d, 'x' AS s, true AS b, "
        "DATE '2026-01-01' AS day, now() AS t, [1] AS l FROM range(3)"
    ).write_parquet(str(path))
    found = fingerprint("a", path, tmp_path)
    assert found.rows == 3
    assert columns(found) == {
        "i": "integer",
        "u": "integer",
        "d": "number",
        "s": "string",
        "b": "boolean",
        "day": "timestamp",
        "t": "timestamp",
        "l": "integer[]",
    }
    assert found.digest == digests.of_file(path)


def test_parquet_without_the_extra_has_a_note(tmp_path):
    """And no failure."""
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    code = (
        "import sys; sys.modules['duckdb'] = None\nfrom pathlib import Path\nfrom mlops_ci.data import fingerprint\n"
        f"print(fingerprint('a', Path({str(tmp_path / 'a.parquet')!r}), Path('/')).note)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "rows and columns are read with: pip install 'mlops-ci[data]'\n"


def test_a_broken_parquet_file_has_a_note(tmp_path):
    """On one line."""
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    found = fingerprint("a", tmp_path / "a.parquet", tmp_path)
    assert found.note.startswith("rows and columns are not known: ")
    assert "\n" not in found.note


def test_a_missing_file_names_the_key_of_the_configuration(tmp_path):
    """So that one knows where to look."""
    with pytest.raises(InputError, match=r"^data/train\.csv does not exist$") as caught:
        fingerprint("train", tmp_path / "data/train.csv", tmp_path)
    assert caught.value.hint == "`run: data: train:` in mlops.yaml names it"


def test_data_outside_the_checkout_keeps_its_path(tmp_path):
    """It is told as it is."""
    (tmp_path / "a.csv").write_text("a\n")
    found = fingerprint("a", tmp_path / "a.csv", tmp_path / "checkout")
    assert found.path == (tmp_path / "a.csv").as_posix()
