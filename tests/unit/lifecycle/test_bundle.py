"""Bundles: what was written is read back, and nothing else is; facts take the place of claims."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ci import digests, records
from mlops_ci.entities import (
    Adoption,
    ArtifactRef,
    Author,
    CiRun,
    Column,
    Dataset,
    GitState,
    Metric,
    Model,
    Run,
    RunChange,
    Signature,
    Stage,
)
from mlops_ci.errors import IntegrityError, MlopsCIError, Refused, ServiceError, UsageError
from mlops_ci.lifecycle import identity
from mlops_ci.lifecycle.two_jobs.bundle import Bundle, Facts, Limits, read_bundle, vouch, write_bundle
from mlops_ci.records import Record

from .hostile_zips import Entry, listed, members, zipped

OCTOCAT = Author(name="octocat", via="github")
HUBOT = Author(name="hubot", via="github")
HEAD, MERGE, TREE, BASE = "a" * 40, "b" * 40, "c" * 40, "d" * 40
ODD = "</details>@org/everyone ![x](http://h/x)|`<!-- mlops-ci -->` \u202egnirts\u200b\u2066\ufeff\x00\x1b[31m"
ONE, TWO = b"one", b"PK\x03\x04 is how a zip file begins"


def ref(content: bytes, path: str = "file.txt") -> ArtifactRef:
    return ArtifactRef(path=path, digest=digests.of_bytes(content), size_bytes=len(content))


def claim(**fields: Any) -> Record:
    """The record of a run as a training job makes it."""
    given: dict[str, Any] = {
        "run_id": "0123456789abcdef",
        "run_key": "sha256:" + "0" * 64,
        "project": "churn",
        "experiment": "churn",
        "status": "finished",
        "started": "2025-06-15T15:06:40.000000Z",
        "ended": "2025-06-15T15:07:40.000000Z",
        "duration_s": 60.0,
        "git": GitState(trained_sha=MERGE, head_sha=HEAD, tree=TREE),
        "ci": CiRun(provider="github", run_id="17", job="train", attempt=1),
        "artifacts": [ref(ONE), ref(TWO, "plots/two.bin")],
    }
    return records.new(Run(**(given | fields)), author=OCTOCAT, time="2025-06-15T15:08:00.000000Z")


def put(folder: Path, *contents: bytes) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for content in contents:
        place = files[digests.of_bytes(content)] = folder / digests.of_bytes(content)[7:]
        place.write_bytes(content)
    return files


def read(data: bytes, **options: Any) -> tuple[Bundle, dict[str, bytes]]:
    """Read the bundle whose bytes are *data*; of a refusal, make sure that it left nothing."""
    with tempfile.TemporaryDirectory() as name:
        path, into = Path(name) / "b.zip", Path(name) / "deep" / "into"
        path.write_bytes(data)
        try:
            bundle = read_bundle(path, into, **options)
        except BaseException:
            assert not into.exists()
            assert {each.name for each in Path(name).rglob("*")} <= {"b.zip", "deep"}
            raise
        assert {each.name for each in into.iterdir()} == {digest[7:] for digest in bundle.files}
        assert {each.name for each in Path(name).iterdir()} == {"b.zip", "deep"}
        return bundle, {digest: place.read_bytes() for digest, place in bundle.files.items()}


def refused(data: bytes, saying: str = ".", **options: Any) -> None:
    with pytest.raises(Refused, match=saying) as caught:
        read(data, **options)
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert all(each.isprintable() for each in str(caught.value))


def honest() -> list[Entry]:
    return members([records.encode(claim())], [ONE, TWO])


# What is written is read.


@pytest.fixture
def written(tmp_path: Path) -> bytes:
    path = tmp_path / "mlops-bundle.zip"
    write_bundle(path, [claim()], put(tmp_path / "bytes", ONE, TWO))
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [path.name]
    return path.read_bytes()


def test_what_is_written_is_read(written: bytes) -> None:
    bundle, contents = read(written)
    assert [records.encode(record) for record in bundle.runs] == [records.encode(claim())]
    assert contents == {digests.of_bytes(ONE): ONE, digests.of_bytes(TWO): TWO}


def test_it_is_an_ordinary_zip_file_that_somebody_elses_code_writes_alike(written: bytes, tmp_path: Path) -> None:
    (tmp_path / "again.zip").write_bytes(written)
    with zipfile.ZipFile(tmp_path / "again.zip") as archive:
        assert archive.testzip() is None
    assert written == zipped(honest())


def test_the_same_runs_in_another_order_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [claim(run_id=f"{number:016x}", artifacts=[ref(ONE)]) for number in range(5)]
    files = put(tmp_path / "bytes", ONE)
    write_bundle(tmp_path / "a.zip", runs, files)
    write_bundle(tmp_path / "b.zip", runs[::-1], files)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert len(read((tmp_path / "a.zip").read_bytes())[0].runs) == 5


def everything() -> Record:
    """A run that has one of each, and texts that mean harm."""
    files = [ref(ONE, "model/a"), ref(TWO, "model/b")]
    return claim(
        git=GitState(
            trained_sha=MERGE, head_sha=HEAD, tree=TREE, base_sha=BASE, dirty=True, diff_digest=files[0].digest
        ),
        command=["sh", "-c", '"; curl x | sh #'],
        exit_code=-9,
        params={ODD: ODD, "n": 2**70, "x": float("inf"), "none": None, "yes": True, "مرحبا": "\u200f"},
        metrics={ODD: Metric(last=float("nan"), min=float("nan"), max=float("inf"), count=2**40)},
        tags={ODD: ODD},
        stages=[Stage(name=ODD, duration_s=0.0)],
        data=[
            Dataset(
                name=ODD,
                path="/abs/../" + ODD,
                digest=files[0].digest,
                size_bytes=0,
                columns=[Column(name=ODD, type="x")],
            )
        ],
        artifacts=[ref(ONE, "\u202egnp.exe")],
        model=Model(
            flavor="sklearn",
            digest=digests.of_tree(files),
            size_bytes=sum(file.size_bytes for file in files),
            files=files,
            requirements=[ODD],
            signature=Signature(inputs={"$float": "nan", "x": [[[1]]]}, outputs={"$int": {"$object": 1}}),
            input_example=files[1],
        ),
        environment=ref(ONE, "environment.json"),
        history=ref(TWO, "history.json"),
        warnings=[ODD],
    )


def test_texts_that_mean_harm_stay_data(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b.zip", [everything()], put(tmp_path / "bytes", ONE, TWO))
    [record] = read((tmp_path / "b.zip").read_bytes())[0].runs
    assert records.encode(record) == records.encode(everything())


def test_two_thousand_metrics_are_many_and_fine(tmp_path: Path) -> None:
    many = {f"metric {number}": Metric(last=1.0, min=1.0, max=1.0) for number in range(2_000)}
    write_bundle(tmp_path / "b.zip", [claim(metrics=many, artifacts=[])], {})
    assert len(read((tmp_path / "b.zip").read_bytes())[0].runs[0].read(Run).metrics) == 2_000


def test_a_newer_minor_version_may_say_more() -> None:
    record = claim(artifacts=[])
    newer = Record(kind="run", schema="1.9", time=record.time, author=OCTOCAT, body={**record.body, "fresh": [1]})
    assert read(zipped(members([records.encode(newer)])))[0].runs[0].body["fresh"] == [1]


def test_bytes_may_be_missing_only_where_that_is_allowed(tmp_path: Path) -> None:
    data = zipped(members([records.encode(claim())], [ONE]))
    refused(data, "missing")
    assert list(read(data, complete=False)[1].values()) == [ONE]
    with pytest.raises(UsageError, match="missing"):
        write_bundle(tmp_path / "b.zip", [claim()], put(tmp_path / "bytes", ONE))
    write_bundle(tmp_path / "b.zip", [claim()], put(tmp_path / "bytes", ONE), complete=False)
    assert (tmp_path / "b.zip").read_bytes() == data


# The zip file.


@pytest.mark.parametrize(
    "name",
    [
        b"../evil",
        b"artifacts/../../evil",
        b"/etc/passwd",
        b"artifacts\\" + b"0" * 64,
        b"C:\\evil",
        b"artifacts/",
        b"artifacts/" + b"0" * 63,
        b"artifacts/" + b"0" * 65,
        b"artifacts/" + b"A" * 64,
        b"ARTIFACTS/" + b"0" * 64,
        b"artifacts/" + b"0" * 64 + b"\n",
        b"artifacts/" + b"0" * 64 + b"/x",
        b"./manifest.json",
        b"Manifest.json",
        b"records/" + b"0" * 64 + b".json\0",
        b"records/" + b"0" * 64 + b".JSON",
        b"artifacts/" + "\u0660".encode() * 64,
        "\u202egpj.exe\u200b".encode(),
        b"\xff\xfe",
        b"",
        b"x" * 60_000,
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_no_other_names(name: bytes, first: bool) -> None:  # noqa: FBT001  # pytest passes it
    odd = Entry(name, b"evil")
    refused(zipped([odd, *honest()] if first else [*honest(), odd]), "a name that no bundle has|heads of")
    sizes = {entry.name: entry.content for entry in [*honest(), odd] if entry.name != b"manifest.json"}
    try:
        everything_listed = listed({name.decode(): content for name, content in sizes.items()})
    except UnicodeDecodeError:
        return
    refused(zipped(everything_listed), "a name that no bundle has|heads of")


def changed(number: int, **fields: Any) -> bytes:
    """A bundle with other *fields* of its member *number*: 0 and 1 are artifacts, 2 the manifest, 3 the record."""
    entries = honest()
    for name, value in fields.items():
        setattr(entries[number], name, value)
    return zipped(entries)


FORMS: dict[str, Callable[[], bytes]] = {
    "a link": lambda: changed(0, external=0o120777 << 16),
    "a device": lambda: changed(0, external=0o060644 << 16),
    "a pipe": lambda: changed(0, external=0o010644 << 16),
    "a directory": lambda: changed(0, external=0o040755 << 16 | 0x10),
    "an executable": lambda: changed(0, external=0o100755 << 16),
    "no mode": lambda: changed(0, external=0),
    "encrypted": lambda: changed(0, flags=1),
    "a descriptor behind it": lambda: changed(0, flags=8),
    "UTF-8 flag": lambda: changed(0, flags=0x800),
    "packed": lambda: changed(0, method=8),
    "the record packed": lambda: changed(3, method=8),
    "packed another way": lambda: changed(0, method=14),
    "another size": lambda: changed(0, said={"size": 4}),
    "another packed size": lambda: changed(0, said={"packed": 2}),
    "a huge size": lambda: changed(0, said={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}),
    "another checksum": lambda: changed(0, said={"crc": 1}),
    "the record's checksum": lambda: changed(3, said={"crc": 1}),
    "the manifest's checksum": lambda: changed(2, said={"crc": 1}),
    "another name inside": lambda: changed(0, local={"name": b"../" + b"x" * 71}),
    "another size inside": lambda: changed(0, local={"size": 2}),
    "another method inside": lambda: changed(0, local={"method": 8}),
    "flags inside": lambda: changed(0, local={"flags": 1}),
    "an extra field inside": lambda: changed(0, local={"extra": b"up\4\0abcd"}),
    "an extra field": lambda: changed(0, central={"extra": b"\1\0\4\0abcd"}),
    "an extra field on both": lambda: changed(0, central={"extra": b"x" * 4}, local={"extra": b"x" * 4}),
    "a comment": lambda: changed(0, central={"comment": b"hello"}),
    "a date": lambda: changed(0, central={"date": 34}, local={"date": 34}),
    "made on DOS": lambda: changed(0, central={"made_by": 20}),
    "on another disk": lambda: changed(0, central={"disk": 1}),
    "overlapping": lambda: changed(1, central={"offset": 0}),
    "overlapping a little": lambda: changed(1, central={"offset": 50}),
    "in nowhere": lambda: changed(1, central={"offset": 0xFFFFFFF0}),
    "twice": lambda: zipped([honest()[0], *honest()]),
    "twice, far apart": lambda: zipped([*honest(), honest()[0]]),
    "out of order": lambda: zipped(honest()[::-1]),
    "no manifest": lambda: zipped([entry for entry in honest() if entry.name != b"manifest.json"]),
    "not all of it listed": lambda: zipped([*honest()[:2], members([], [ONE])[1], honest()[3]]),
    "more listed": lambda: zipped([*honest()[:1], *honest()[2:]]),
    "a manifest of another version": lambda: changed(2, content=honest()[2].content.replace(b":1}", b":2}")),
    "a manifest with blanks": lambda: changed(2, content=honest()[2].content + b" "),
    "a manifest that says it twice": lambda: changed(2, content=honest()[2].content.replace(b"{", b'{"version":1,', 1)),
    "no JSON": lambda: changed(2, content=b"\xff" * len(honest()[2].content)),
    "nothing": lambda: b"",
    "an empty zip file": lambda: zipped([]),
    "a manifest alone": lambda: zipped(listed({})),
    "no record": lambda: zipped(members([], [ONE])),
    "text": lambda: b"hello" * 100,
    "a comment at the end": lambda: zipped(honest(), comment=b"hello"),
    "a file within the comment": lambda: zipped(honest(), comment=zipped(honest())),
    "something before it": lambda: zipped(honest(), before=b"#!/bin/sh\n"),
    "two, one behind the other": lambda: zipped(honest()) + zipped(honest()),
    "a gap": lambda: b"".join([zipped(honest())[:-22], b"gap", zipped(honest())[-22:]]),
    "fewer than it says": lambda: zipped(honest(), count=5),
    "more than it says": lambda: zipped(honest(), count=3),
    "a directory elsewhere": lambda: zipped(honest(), start=0),
    "a directory too long": lambda: zipped(honest(), length=10_000),
    "an empty directory": lambda: zipped(honest(), length=0),
    "of a set of disks": lambda: zipped(honest(), disk=1),
    "zip64": lambda: zipped(honest(), count=0xFFFF, start=0xFFFFFFFF, length=0xFFFFFFFF),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_other_form(form: str) -> None:
    refused(FORMS[form]())


def test_a_bomb_is_refused_before_anything_of_it_is_read() -> None:
    """A thousandfold, once and as often as there is room for; many members, and many that share their bytes."""
    packed = Entry(b"artifacts/" + b"0" * 64, bytes(5_000_000), method=8)
    assert len(packed.stored) < 10_000
    refused(zipped([packed, *honest()]), "packed")
    many = [
        Entry(b"artifacts/%064x" % number, method=8, said={"size": 2**31}, central={"offset": 0})
        for number in range(9_000)
    ]
    refused(zipped(many), "packed")
    refused(zipped([Entry(b"artifacts/%064x" % number) for number in range(12_001)]), "members")
    overlapping = [Entry(b"artifacts/%064x" % number, central={"offset": 0}) for number in range(9_000)]
    refused(zipped(overlapping), "follow")


def test_a_zip_file_in_it_is_just_bytes() -> None:
    inner = zipped(honest())
    data = zipped(members([records.encode(claim(artifacts=[ref(inner, "inner.zip")]))], [inner]))
    assert list(read(data)[1].values()) == [inner]


@pytest.mark.parametrize(
    ("limits", "saying"),
    [
        (Limits(artifact_bytes=2), "2 are the most"),
        (Limits(records=0), "1 records, and 0"),
        (Limits(record_bytes=100), "100 are the most"),
        (Limits(record_bytes_in_all=100), "bytes of records, and 100"),
        (Limits(members=3), "4 members"),
        (Limits(bytes_in_all=1_000), "bytes in all|1,000 are the most"),
    ],
)
def test_there_is_a_limit_to_everything_on_both_sides(limits: Limits, saying: str, tmp_path: Path) -> None:
    refused(zipped(honest()), saying, limits=limits)
    (tmp_path / "b.zip").write_bytes(b"as it was")
    with pytest.raises(UsageError, match=saying) as caught:
        write_bundle(tmp_path / "b.zip", [claim()], put(tmp_path / "bytes", ONE, TWO), limits=limits)
    assert caught.value.hint
    assert (tmp_path / "b.zip").read_bytes() == b"as it was"


def test_limits_are_met_exactly(tmp_path: Path) -> None:
    size = len(zipped(honest()))
    exact = Limits(bytes_in_all=size, members=4, records=1, artifact_bytes=len(TWO), record_bytes=2_000)
    assert read(zipped(honest()), limits=exact)
    write_bundle(tmp_path / "b.zip", [claim()], put(tmp_path / "bytes", ONE, TWO), limits=exact)
    refused(zipped(honest()), "in all", limits=Limits(bytes_in_all=size - 1))


def test_a_file_larger_than_the_form_can_hold_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """With any limits: sizes have 32 bits."""
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(5_000_000_000)
    digest = "sha256:" + "0" * 64
    reference = ArtifactRef(path="huge", digest=digest, size_bytes=5_000_000_000)
    with pytest.raises(UsageError, match="5,000,000,000"):
        write_bundle(tmp_path / "b.zip", [claim(artifacts=[reference])], {digest: huge})
    generous = Limits(bytes_in_all=10**12, artifact_bytes=10**12)
    with pytest.raises(UsageError, match="2,147,483,647 are the most"):
        write_bundle(tmp_path / "b.zip", [claim(artifacts=[reference])], {digest: huge}, limits=generous)
    assert not (tmp_path / "b.zip").exists()


@settings(max_examples=150)
@given(data=st.data())
def test_whatever_is_done_to_its_bytes_it_is_refused(data: st.DataObject) -> None:
    """Every byte counts: there is no other file with the same content."""
    good = zipped(honest())
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + data.draw(st.sampled_from([0, 1, 4, 2_000])))))
    middle = data.draw(st.binary(max_size=8) | st.just(good[: end - start]) | st.just(good))
    bad = good[:start] + middle + good[end:]
    if bad != good:
        refused(bad)


def test_no_byte_of_it_can_be_another(tmp_path: Path) -> None:
    good, path, into = zipped(honest()), tmp_path / "b.zip", tmp_path / "into"
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        path.write_bytes(bad)
        with pytest.raises(Refused):
            read_bundle(path, into)
        assert not into.exists()


# The records.


def with_record(data: bytes, *artifacts: bytes) -> bytes:
    return zipped(members([data], artifacts))


def with_body(**fields: Any) -> bytes:
    """A bundle whose run has other *fields*, of any type; `...` takes one away."""
    record = claim(artifacts=[])
    body = {name: value for name, value in {**record.body, **fields}.items() if value is not ...}
    return with_record(records.encode(Record(kind="run", schema="1.0", time=record.time, author=OCTOCAT, body=body)))


def inside(what: str, **fields: Any) -> dict[str, Any]:
    """The run's part *what* with other *fields*."""
    return {what: {**claim().body[what], **fields}}


SHA256 = "sha256:" + "0" * 64
FILE = {"path": "x", "digest": SHA256, "size_bytes": 0}
DATA = {"name": "x", "path": "x", "digest": SHA256, "size_bytes": 0}
METRIC = {"last": 1, "min": 1, "max": 1}
MODEL = {"flavor": "x", "digest": digests.of_tree([]), "size_bytes": 0, "files": []}
LONG = "x" * 251
BODIES: dict[str, dict[str, Any]] = {
    "run_id": {"run_id": "../../etc/passwd"},
    "run_id in capitals": {"run_id": "0123456789ABCDEF"},
    "run_id too long": {"run_id": "0" * 17},
    "run_id in other digits": {"run_id": "\u0661" * 16},
    "no run_id": {"run_id": ...},
    "a number for a name": {"run_id": 5},
    "run_key": {"run_key": LONG},
    "project": {"project": LONG},
    "no project": {"project": ""},
    "experiment": {"experiment": LONG},
    "status": {"status": "approved"},
    "started": {"started": "yesterday"},
    "ended after tomorrow": {"ended": "2999-01-01T00:00:00.000000Z"},
    "ended on no day": {"ended": "2025-02-30T00:00:00.000000Z"},
    "in another zone": {"ended": "2025-02-20T00:00:00.000000+01:00"},
    "a negative duration": {"duration_s": -1},
    "no duration": {"duration_s": float("nan")},
    "for ever": {"duration_s": float("inf")},
    "exit code": {"exit_code": 2**60},
    "trained_sha": inside("git", trained_sha="main"),
    "head_sha": inside("git", head_sha="--upload-pack=x"),
    "tree": inside("git", tree="c" * 41),
    "base_sha": inside("git", base_sha="HEAD"),
    "diff_digest": inside("git", dirty=True, diff_digest="x"),
    "dirty without a digest": inside("git", dirty=True),
    "clean with a digest": inside("git", diff_digest=SHA256),
    "branch": inside("git", branch="x" * 1_001),
    "repository": inside("git", repository="x" * 1_001),
    "job": inside("ci", job=LONG),
    "cell": inside("ci", cell="x" * 1_001),
    "cells": inside("ci", cells=257),
    "no cells": inside("ci", cells=0),
    "attempt": inside("ci", attempt=0),
    "run_url": inside("ci", run_url="x" * 1_001),
    "pull request": inside("ci", pull_request=-1),
    "pull request as text": inside("ci", pull_request="1"),
    "a metric's name": {"metrics": {LONG: METRIC}},
    "a metric's count": {"metrics": {"x": {**METRIC, "count": 0}}},
    "a metric that is text": {"metrics": {"x": {**METRIC, "last": "1"}}},
    "a metric that is too large": {"metrics": {"x": {**METRIC, "last": 10**400}}},
    "too many metrics": {"metrics": {str(number): METRIC for number in range(20_001)}},
    "a param's name": {"params": {LONG: 1}},
    "a param that is a list": {"params": {"x": [1]}},
    "a param of 200 kB": {"params": {"x": "x" * 200_000}},
    "a huge int": {"params": {"x": 2**4_000}},
    "too many params": {"params": {str(number): 1 for number in range(20_001)}},
    "a tag's name": {"tags": {LONG: "x"}},
    "too many tags": {"tags": {str(number): "" for number in range(10_001)}},
    "a stage": {"stages": [{"name": LONG, "duration_s": 1}]},
    "a stage that never ends": {"stages": [{"name": "x", "duration_s": float("inf")}]},
    "too many stages": {"stages": [{"name": "x", "duration_s": 1}] * 10_001},
    "data's name": {"data": [{**DATA, "name": LONG}]},
    "data's path": {"data": [{**DATA, "path": "x" * 1_001}]},
    "data's digest": {"data": [{**DATA, "digest": "md5:0"}]},
    "data's size": {"data": [{**DATA, "size_bytes": -1}]},
    "data's rows": {"data": [{**DATA, "rows": -1}]},
    "too many warnings": {"warnings": [""] * 10_001},
    "a long warning": {"warnings": ["x" * 100_001]},
    "a long command": {"command": ["x"] * 10_001},
    "a file's digest": {"artifacts": [{**FILE, "digest": SHA256 + "0"}]},
    "a file's size": {"artifacts": [{**FILE, "size_bytes": -1}]},
    "too many files": {"artifacts": [{**FILE, "path": str(number)} for number in range(10_001)]},
    "the environment": {"environment": {**FILE, "path": "../x"}},
    "the history": {"history": {**FILE, "path": "/x"}},
    "the model's digest": {"model": {**MODEL, "digest": SHA256}},
    "the model's size": {"model": {**MODEL, "size_bytes": 1}},
    "the model's flavor": {"model": {**MODEL, "flavor": LONG}},
    "a model's file": {"model": {**MODEL, "files": [{**FILE, "path": "../../x"}]}},
    "a model's file, twice": {
        "model": {**MODEL, "files": [FILE] * 2, "digest": records.digest([FILE] * 2)},
    },
    "a model's example": {"model": {**MODEL, "input_example": {**FILE, "path": "/etc/passwd"}}},
}


@pytest.mark.parametrize("name", BODIES)
def test_no_other_runs(name: str) -> None:
    refused(with_body(**BODIES[name]), complete=False)


def test_the_run_that_these_were_made_of_is_fine() -> None:
    assert read(with_body(model=MODEL, artifacts=[FILE], data=[DATA], metrics={"x": METRIC}), complete=False)


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "/",
        "/x",
        "../x",
        "a/../b",
        "a//b",
        "a/./b",
        "./a",
        "a/",
        "a\\b",
        "C:/x",
        "c:x",
        "a\nb",
        "a\0b",
        "\x85",
        "x" * 1_001,
    ],
)
def test_no_path_leads_out(path: str) -> None:
    refused(with_body(artifacts=[{**FILE, "path": path}]), "path", complete=False)


def encoded(text: str) -> bytes:
    """A bundle whose record is this text, after `%` stands for that of an honest one."""
    return with_record(text.replace("%", records.encode(claim(artifacts=[])).decode()).encode("utf-8", "surrogatepass"))


HONEST = records.encode(claim(artifacts=[])).decode()
TEXTS: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "not UTF-8": b'{"kind":"\xff"}',
    "UTF-16": HONEST.encode("utf-16"),
    "with a mark at its start": b"\xef\xbb\xbf" + HONEST.encode(),
    "with a blank": HONEST.encode() + b"\n",
    "a key twice": HONEST.replace('{"author"', '{"kind":"run","author"', 1).encode(),
    "a run_id twice": HONEST.replace('"run_id":"0', '"run_id":"0000000000000000","run_id":"0').encode(),
    "keys out of order": json.dumps(dict(reversed(json.loads(HONEST).items())), separators=(",", ":")).encode(),
    "1.0 for 1": HONEST.replace('"attempt":1,', '"attempt":1.0,').encode() + b" ",
    "1e0 for 1": HONEST.replace('"duration_s":60', '"duration_s":6e1').encode(),
    "an escape": HONEST.replace("churn", "\\u0063hurn").encode(),
    "half a character": HONEST.replace("churn", "\\ud800").encode(),
    "half a character, raw": HONEST.replace("churn", "\ud800").encode("utf-8", "surrogatepass"),
    "a bare NaN": HONEST.replace('"duration_s":60', '"duration_s":NaN').encode(),
    "an infinite number": HONEST.replace('"duration_s":60', '"duration_s":1e999').encode(),
    "a number of 5,000 digits": HONEST.replace('"duration_s":60', '"duration_s":' + "9" * 5_000).encode(),
    "a wrapped number of 5,000 digits": HONEST.replace(":60,", ':{"$int":"' + "9" * 5_000 + '"},').encode(),
    "a wrapped nonsense": HONEST.replace(":60,", ':{"$float":[]},').encode(),
    "a wrapped object that is none": HONEST.replace(":60,", ':{"$object":[[1,2]]},').encode(),
    "a key that is no text": HONEST.replace('"body":{', '"body":{"a":{"$object":[[1,2]]},').encode(),
    "keys that cannot be compared": HONEST.replace('"body":{', '"body":{"a":{"$object":[[1,2],[null,3]]},').encode(),
    "a key that cannot be one": HONEST.replace('"body":{', '"body":{"a":{"$object":[[[],2]]},').encode(),
    "nested 100 deep": HONEST.replace('"body":{', '"body":{"a":' + "[" * 100 + "]" * 100 + ",").encode(),
    "nested 900 deep": HONEST.replace('"body":{', '"body":{"a":' + "[" * 900 + "]" * 900 + ",").encode(),
    "nested 100,000 deep": HONEST.replace('"body":{', '"body":{"a":' + "[" * 100_000 + "]" * 100_000 + ",").encode(),
    "100,000 objects deep": HONEST.replace(
        '"body":{', '"body":{"a":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + ","
    ).encode(),
    "too many things": HONEST.replace('"body":{', '"body":{"a":[' + "0," * 100_000 + "0],").encode(),
    "another major version": HONEST.replace('"schema":"1.0"', '"schema":"2.0"').encode(),
    "a nonsense version": HONEST.replace('"schema":"1.0"', '"schema":"1.0; rm -rf"').encode(),
    "after tomorrow": HONEST.replace('"time":"2025', '"time":"2999').encode(),
    "no time": HONEST.replace('"time":"2025', '"time":"then').encode(),
    "a long author": HONEST.replace("octocat", "o" * 251).encode(),
    "an unknown field": HONEST.replace('"kind":"run"', '"kind":"run","more":1').encode(),
    "a param of 5 MB": HONEST.replace('"project"', '"params":{"x":"' + "x" * 5_000_000 + '"},"project"').encode(),
}


@pytest.mark.parametrize("name", TEXTS)
def test_no_other_bytes_of_a_record(name: str) -> None:
    refused(with_record(TEXTS[name]))


def test_a_record_has_the_name_of_its_bytes() -> None:
    data = records.encode(claim(artifacts=[]))
    refused(zipped(listed({f"records/{'0' * 64}.json": data})), "digest")


@pytest.mark.parametrize(
    "kind", ["approval", "deployment", "version", "verdict", "adoption", "request", "run-change", "x\u202e"]
)
def test_no_other_kind_of_record_is_smuggled_in(kind: str) -> None:
    """Neither with a body of its kind nor with a run's."""
    body = claim(artifacts=[]).body
    of_kind = Record(kind=kind, schema="1.0", time=records.now(), author=OCTOCAT, body=body)
    refused(with_record(records.encode(of_kind)), "kind")
    refused(zipped(members([records.encode(claim(artifacts=[])), records.encode(of_kind)])), "kind")


@pytest.mark.parametrize(
    "entity", [Adoption(sha=BASE, tree=TREE, run_id="0" * 16), RunChange(run_id="0" * 16, shas=[BASE], tree=TREE)]
)
def test_what_changes_other_runs_is_neither_written_nor_read(entity: Any, tmp_path: Path) -> None:
    record = records.new(entity, author=OCTOCAT)
    refused(with_record(records.encode(record)), "kind")
    with pytest.raises(UsageError, match="kind"):
        write_bundle(tmp_path / "b.zip", [record], {})


def test_no_run_comes_twice() -> None:
    twice = [records.encode(claim(artifacts=[], duration_s=float(number))) for number in range(2)]
    refused(zipped(members(twice)), "twice")


def test_there_are_no_more_than_so_many_runs() -> None:
    def many(number: int) -> bytes:
        return zipped(members([records.encode(claim(artifacts=[], run_id=f"{each:016x}")) for each in range(number)]))

    assert len(read(many(64))[0].runs) == 64
    refused(many(65), "65 records")


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150)
@given(field=st.sampled_from(sorted(Run.__struct_fields__)), value=any_json, part=st.text(max_size=8) | st.none())
def test_whatever_a_run_says_it_is_read_or_refused(field: str, value: Any, part: str | None) -> None:
    record = claim(artifacts=[])
    body = dict(record.body)
    body[field] = {**body[field], part: value} if part and isinstance(body.get(field), dict) else value
    data = records.encode(Record(kind="run", schema="1.0", time=record.time, author=OCTOCAT, body=body))
    try:
        bundle, _ = read(with_record(data), complete=False)
    except MlopsCIError as error:
        assert type(error) is Refused  # noqa: PT017  # what is not refused is looked at below
    else:
        assert records.encode(bundle.runs[0]) == data
        assert isinstance(bundle.runs[0].read(Run), Run)


@settings(max_examples=100)
@given(text=st.binary(max_size=60), place=st.integers(0, len(HONEST)))
def test_whatever_bytes_a_record_is_it_is_read_or_refused(text: bytes, place: int) -> None:
    data = HONEST.encode()[:place] + text + HONEST.encode()[place:]
    try:
        bundle, _ = read(with_record(data))
    except MlopsCIError as error:
        assert type(error) is Refused  # noqa: PT017  # what is not refused is looked at below
    else:
        assert records.encode(bundle.runs[0]) == data


# The artifacts.


def test_nothing_comes_that_no_run_names(tmp_path: Path) -> None:
    refused(zipped(members([records.encode(claim(artifacts=[ref(ONE)]))], [ONE, TWO])), "no run names")
    with pytest.raises(UsageError, match="no run names"):
        write_bundle(tmp_path / "b.zip", [claim(artifacts=[ref(ONE)])], put(tmp_path / "bytes", ONE, TWO))


def test_bytes_have_the_digest_that_names_them() -> None:
    """Whatever was written before is taken away."""
    names = sorted(hashlib.sha256(content).hexdigest() for content in (ONE, TWO))
    entries = honest()
    assert [entry.name.decode() for entry in entries[:2]] == [f"artifacts/{name}" for name in names]
    entries[1].content = bytes(len(entries[1].content))
    refused(zipped(entries), "digest")


def test_bytes_have_the_size_that_the_run_says() -> None:
    wrong = records.replace(ref(ONE), size_bytes=4)
    refused(zipped(members([records.encode(claim(artifacts=[wrong]))], [ONE])), "3 bytes, and a run says 4")
    two = [ref(ONE), records.replace(ref(ONE), size_bytes=4)]
    refused(zipped(members([records.encode(claim(artifacts=two))], [ONE])), "two sizes")


def test_files_that_changed_meanwhile_are_not_written(tmp_path: Path) -> None:
    files = put(tmp_path / "bytes", ONE, TWO)
    files[digests.of_bytes(ONE)].write_bytes(b"ONE")
    with pytest.raises(IntegrityError, match="another digest"):
        write_bundle(tmp_path / "b.zip", [claim()], files)
    files[digests.of_bytes(ONE)].unlink()
    with pytest.raises(ServiceError):
        write_bundle(tmp_path / "b.zip", [claim()], files)
    assert [each.name for each in tmp_path.iterdir()] == ["bytes"]


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "absent" / "b.zip", tmp_path / "file" / "b.zip"):
        with pytest.raises(ServiceError, match="cannot write"):
            write_bundle(place, [claim(artifacts=[])], {})
    (tmp_path / "b.zip").write_bytes(zipped(honest()))
    with pytest.raises(ServiceError, match="cannot make"):
        read_bundle(tmp_path / "b.zip", tmp_path / "file" / "into")


def test_a_folder_that_holds_something_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(zipped(honest()))
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "mine").write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds something"):
        read_bundle(tmp_path / "b.zip", tmp_path / "into")
    assert [each.name for each in (tmp_path / "into").iterdir()] == ["mine"]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent", Path(os.devnull)):
        with pytest.raises(UsageError):
            read_bundle(path, tmp_path / "into")


def test_a_hostile_file_name_is_shown_and_has_no_effect(tmp_path: Path) -> None:
    path = tmp_path / "\u202epiz.\x1b[31m\n"
    path.write_bytes(b"")
    with pytest.raises(Refused) as caught:
        read_bundle(path, tmp_path / "into")
    assert all(each.isprintable() for each in str(caught.value))


# Facts in the place of claims.


KNOWN_RUN = CiRun(
    provider="github",
    run_url="https://github.com/octo-org/churn/actions/runs/17",
    run_id="17",
    attempt=2,
    job="record",
    event="pull_request",
    pull_request=7,
)
FACTS = Facts(
    repository="octo-org/churn",
    head_sha=HEAD,
    ci=KNOWN_RUN,
    project="churn",
    experiment="churn",
    trained_sha=MERGE,
    tree=TREE,
    base_sha=BASE,
    branch="topic",
)
STRANGER = Facts(
    repository="octo-org/churn",
    head_sha=HEAD,
    ci=KNOWN_RUN,
    project="churn",
    experiment="churn",
    base_sha=BASE,
    branch="topic",
    self_reported=True,
)
FORGED = claim(
    experiment="another",
    self_reported=True,
    git=GitState(
        trained_sha=MERGE,
        head_sha=HEAD,
        tree=TREE,
        base_sha=HEAD,
        branch="main",
        repository="octo-lead/other",
        dirty=True,
        diff_digest=SHA256,
    ),
    ci=CiRun(
        provider="another",
        run_url="http://h/x",
        run_id="17",
        attempt=1,
        job="train",
        cell='{"seed": 1}',
        cells=3,
        event="push",
        pull_request=1,
    ),
)


def test_facts_take_the_place_of_claims() -> None:
    record = vouch(FORGED, facts=FACTS, author=HUBOT)
    run = record.read(Run)
    assert record.author == HUBOT
    assert record.time > FORGED.time
    assert run.ci == records.replace(KNOWN_RUN, attempt=1, job="train", cell='{"seed": 1}', cells=3)
    assert run.git == GitState(
        trained_sha=MERGE,
        head_sha=HEAD,
        tree=TREE,
        base_sha=BASE,
        branch="topic",
        repository="octo-org/churn",
        dirty=True,
        diff_digest=SHA256,
    )
    assert (run.experiment, run.self_reported) == ("another", False)
    assert run.run_key == identity.run_key("churn", "another", run.git, run.ci, run.run_id)
    claimed = FORGED.read(Run)
    ours = {"run_id", "run_key", "git", "ci", "self_reported"}
    assert all(getattr(run, name) == getattr(claimed, name) for name in Run.__struct_fields__ if name not in ours)


def test_of_a_stranger_nothing_is_kept_that_could_stand_for_something_else() -> None:
    run = vouch(FORGED, facts=STRANGER, author=HUBOT).read(Run)
    assert (run.self_reported, run.experiment) == (True, "churn")
    assert (run.git.trained_sha, run.git.tree, run.git.head_sha) == ("", "", HEAD)
    assert set(vouch(FORGED, facts=STRANGER, author=HUBOT).keys) == {f"sha/{HEAD}", f"run/{run.run_id}"}


@pytest.mark.parametrize(
    ("fields", "saying"),
    [
        ({"git": GitState(trained_sha=MERGE, head_sha=BASE, tree=TREE)}, "of another commit: dddddddddddd"),
        ({"git": GitState(trained_sha=HEAD, head_sha=HEAD, tree=TREE)}, "of another trained commit"),
        ({"git": GitState(trained_sha=MERGE, head_sha=HEAD, tree=BASE)}, "of another tree"),
        ({"ci": CiRun(provider="github", run_id="18")}, "of another CI run: 18"),
        ({"ci": CiRun(provider="github", run_id="\u202e18")}, "of another CI run"),
        ({"ci": CiRun(provider="github", run_id="17", attempt=3)}, "of another attempt: 3"),
        ({"ci": None}, "of another CI run: none"),
        ({"project": "payments\u202e"}, "of project"),
    ],
)
def test_a_claim_that_facts_deny_is_refused(fields: dict[str, Any], saying: str) -> None:
    with pytest.raises(Refused, match=saying) as caught:
        vouch(claim(**fields), facts=FACTS, author=HUBOT)
    assert caught.value.hint
    assert str(caught.value).isprintable()


def test_nobody_vouches_for_what_nobody_knows() -> None:
    known = {
        "repository": "octo-org/churn",
        "head_sha": HEAD,
        "ci": KNOWN_RUN,
        "project": "churn",
        "experiment": "churn",
    }
    for more in ({}, {"tree": TREE}, {"trained_sha": MERGE}):
        with pytest.raises(Refused, match="nobody knows"):
            vouch(claim(), facts=Facts(**known, **more), author=HUBOT)


def id_of(record: Record, facts: Facts = FACTS) -> str:
    return vouch(record, facts=facts, author=HUBOT).read(Run).run_id


def test_the_id_is_the_same_when_it_is_recorded_again() -> None:
    assert id_of(claim()) == id_of(claim(metrics={"x": Metric(last=1.0, min=1.0, max=1.0)}))
    key = vouch(claim(), facts=FACTS, author=HUBOT).body["run_key"]
    assert vouch(claim(), facts=FACTS, author=OCTOCAT).body["run_key"] == key


def test_an_id_cannot_be_that_of_another_run() -> None:
    """Ids that a job chose for itself have 16 digits, and these have twice as many; all that makes a run counts."""
    ci = claim().read(Run).ci
    others = [
        claim(),
        claim(run_id="0" * 16),
        *(claim(ci=records.replace(ci, **field)) for field in ({"job": "x"}, {"cell": "x"}, {"attempt": 2})),
    ]
    elsewhere = [
        Facts(**{**vars(FACTS), "repository": "octo-org/other"}),
        Facts(**{**vars(FACTS), "ci": records.replace(KNOWN_RUN, provider="another")}),
    ]
    ids = [*map(id_of, others), *(id_of(claim(), facts) for facts in elsewhere)]
    assert len(set(ids)) == len(ids) == 7
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_what_is_not_understood_is_not_recorded() -> None:
    record = claim()
    newer = Record(kind="run", schema="1.9", time=record.time, author=OCTOCAT, body={**record.body, "fresh": [1]})
    assert "fresh" not in vouch(newer, facts=FACTS, author=HUBOT).body


def test_vouching_changes_nothing_of_what_was_claimed() -> None:
    before = records.encode(FORGED)
    vouch(FORGED, facts=FACTS, author=HUBOT)
    assert records.encode(FORGED) == before
