"""Settings of the service go into mlops.yaml, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_ci.errors import ConfigError, UsageError
from mlops_ci.lifecycle.serving.write_settings import write_settings

BEFORE = "project: churn  # ours\nserving: {runtime: asgi}\n"
AFTER = "project: churn  # ours\nserving: {runtime: asgi, batch_rows: 8}\n"
DIFF = """\
--- mlops.yaml
+++ mlops.yaml
@@ -1,2 +1,2 @@
 project: churn  # ours
-serving: {runtime: asgi}
+serving: {runtime: asgi, batch_rows: 8}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mlops.yaml"
    path.write_text(BEFORE)
    return path


def test_it_is_written_and_shown(file: Path) -> None:
    file.chmod(0o640)
    assert write_settings(file, {"batch_rows": 8}) == DIFF
    assert file.read_text() == AFTER
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["mlops.yaml"]


def test_a_dry_run_only_shows_it(file: Path) -> None:
    assert write_settings(file, {"batch_rows": 8}, dry_run=True) == DIFF
    assert file.read_text() == BEFORE


def test_what_is_so_already_is_not_written(file: Path) -> None:
    write_settings(file, {"batch_rows": 8})
    before = file.stat()
    assert write_settings(file, {"batch_rows": 8, "workers": 1}) == ""
    after = file.stat()
    for fact in ("st_ino", "st_mtime_ns", "st_ctime_ns", "st_size", "st_mode", "st_nlink", "st_uid", "st_gid"):
        assert getattr(after, fact) == getattr(before, fact), fact  # all but the time of access: that is our own look's


def test_a_link_stays_a_link(file: Path) -> None:
    elsewhere = file.with_name("shared.yaml")
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    write_settings(file, {"batch_rows": 8})
    assert file.is_symlink()
    assert elsewhere.read_text() == AFTER


def test_what_another_key_takes_over_is_left_to_a_person(file: Path) -> None:
    text = "project: churn\nserving: &s {workers: &n 4, batch_rows: *n}\n"
    file.write_text(text)
    with pytest.raises(UsageError, match="without changing anything else") as refused:
        write_settings(file, {"workers": 8})
    assert refused.value.hint == "write it by hand: serving: {workers: 8}"
    assert file.read_text() == text


def test_a_file_in_another_encoding_is_left_to_a_person(file: Path) -> None:
    file.write_bytes(BEFORE.encode("utf-16"))
    with pytest.raises(UsageError, match="not in UTF-8"):
        write_settings(file, {"batch_rows": 8})


def test_a_value_that_is_not_allowed_is_not_written(file: Path) -> None:
    with pytest.raises(ConfigError):
        write_settings(file, {"batch_rows": 0})
    assert file.read_text() == BEFORE
