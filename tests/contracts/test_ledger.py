"""What every ledger promises; `mlops_ci.ledger.Ledger` is the text of it."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import pytest

from mlops_ci import records
from mlops_ci.entities import GitState, Metric, Model, ModelVersion, Run
from mlops_ci.errors import Conflict
from mlops_ci.ledger import PROVIDERS, Ledger

from .conftest import database_url
from .ledgers import AUTHOR, MEMBERS, Member, adoption, make_git, make_sql, open_ledger


# One worker starts a server, and has all tests that need it.
@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in MEMBERS])
def member(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Member:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    if request.param == "git":
        return make_git(tmp_path)
    return make_sql(database_url(request.param, request, tmp_path))


@pytest.fixture
def ledger(member: Member) -> Ledger:
    return open_ledger(member.one)


def test_every_ledger_is_held_to_this_suite() -> None:
    assert set(MEMBERS.values()) == PROVIDERS.keys()


def test_an_empty_ledger_has_nothing(ledger: Ledger) -> None:
    assert list(ledger.all()) == []
    assert ledger.find("run/r1") == []
    assert ledger.find() == []
    assert ledger.claims("model/churn") == {}
    assert (ledger.pending(), ledger.sync()) == (0, 0)


def test_appending_nothing_changes_nothing(ledger: Ledger) -> None:
    assert ledger.append([]) is True
    assert list(ledger.all()) == []


def test_a_record_is_found_by_each_of_its_keys(ledger: Ledger) -> None:
    record = adoption("r1", "1" * 40)
    ledger.append([record, adoption("r2", "2" * 40)])

    assert len(record.keys) > 1
    for key in record.keys:
        assert ledger.find(key) == [record]


def test_records_are_found_by_what_their_key_lies_below(ledger: Ledger) -> None:
    """Components count, not characters: `model/x` is not above `model/xy`."""
    inside = [_version("x", "1.0.0"), _version("x", "1.0.1")]
    ledger.append([*inside, *(_version(f"x{more}", "1.0.0") for more in ("y", "0", "-a", ".b"))])

    assert ledger.find("model/x") == inside
    assert ledger.find("model/x/1.0.0") == inside[:1]
    assert ledger.find("model/x/1.0") == []


def test_a_record_that_several_keys_lead_to_is_found_once(ledger: Ledger) -> None:
    record, other = adoption("r1", "1" * 40, time=_time(2)), adoption("r2", "2" * 40, time=_time(1))
    ledger.append([record, other])

    assert ledger.find("run/r1", "sha/" + "1" * 40, "run/r1", "run/r2") == [other, record]


def test_an_unknown_key_finds_nothing(ledger: Ledger) -> None:
    ledger.append([adoption("r1")])

    assert ledger.find("run/r2", "sha/" + "9" * 40, "nothing/such") == []


def test_appending_again_changes_nothing(ledger: Ledger) -> None:
    record = adoption("r1")

    assert ledger.append([record, record]) is True
    assert ledger.append([record]) is True

    assert list(ledger.all()) == [record]
    assert ledger.find("run/r1") == [record]


def test_all_yields_each_record_once_by_time_and_id_whatever_came_first(ledger: Ledger) -> None:
    several = [adoption("r1", time=_time(2)), adoption("r2", time=_time(1)), adoption("r3", time=_time(1))]
    for some in permutations(several, 2):
        ledger.append(some)

    assert list(ledger.all()) == sorted(several, key=lambda record: (record.time, record.id))


def test_a_claim_leads_to_the_record_that_took_it(ledger: Ledger) -> None:
    first, second = _version("x", "1.0.0"), _version("x", "1.0.1")
    ledger.append([first], claims={"model/x/1.0.0": first})
    ledger.append([second], claims={"model/x/1.0.1": second})

    assert ledger.claims("model/x") == {"model/x/1.0.0": first, "model/x/1.0.1": second}
    assert ledger.claims("model/x/1.0.1") == {"model/x/1.0.1": second}


def test_claims_are_listed_by_component(ledger: Ledger) -> None:
    inside, outside = _version("x", "1.0.0"), _version("xy", "1.0.0")
    ledger.append([inside], claims={"model/x/1.0.0": inside})
    ledger.append([outside], claims={"model/xy/1.0.0": outside})

    assert ledger.claims("model/x") == {"model/x/1.0.0": inside}
    assert ledger.claims("model/x/1.0") == {}


def test_a_claim_may_be_made_again_by_the_same_record(ledger: Ledger) -> None:
    record = _version("x", "1.0.0")

    for _ in range(2):
        assert ledger.append([record], claims={"model/x/1.0.0": record}) is True

    assert ledger.claims("model/x") == {"model/x/1.0.0": record}
    assert list(ledger.all()) == [record]


def test_a_record_that_is_there_may_take_a_name_later(ledger: Ledger) -> None:
    record = _version("x", "1.0.0")
    ledger.append([record])

    ledger.append([record], claims={"model/x/1.0.0": record})

    assert ledger.claims("model/x") == {"model/x/1.0.0": record}


def test_a_name_that_is_taken_refuses_everything_that_came_with_it(ledger: Ledger) -> None:
    first, second, free = _version("x", "1.0.0", run_id="r1"), _version("x", "1.0.0", run_id="r2"), adoption("r3")
    ledger.append([first], claims={"model/x/1.0.0": first})

    with pytest.raises(Conflict, match=r"model/x/1\.0\.0 is taken"):
        ledger.append([free, second], claims={"alias/x/best/1": free, "model/x/1.0.0": second})

    assert ledger.claims("model/x") == {"model/x/1.0.0": first}
    assert ledger.claims("alias") == {}
    assert list(ledger.all()) == [first]
    assert ledger.pending() == 0


def test_what_one_writes_the_other_sees(member: Member) -> None:
    one, two = open_ledger(member.one), open_ledger(member.two)
    first, second = _version("x", "1.0.0"), _version("x", "1.0.1")

    one.append([first], claims={"model/x/1.0.0": first})
    assert two.find("model/x") == [first]
    two.append([second], claims={"model/x/1.0.1": second})

    for view in (one, two):
        assert view.find("model/x") == [first, second]
        assert list(view.all()) == [first, second]
        assert view.claims("model/x") == {"model/x/1.0.0": first, "model/x/1.0.1": second}


def test_a_name_that_one_took_is_refused_to_the_other(member: Member) -> None:
    one, two = open_ledger(member.one), open_ledger(member.two)
    first, second = _version("x", "1.0.0", run_id="r1"), _version("x", "1.0.0", run_id="r2")
    one.append([first], claims={"model/x/1.0.0": first})

    with pytest.raises(Conflict):
        two.append([second], claims={"model/x/1.0.0": second})

    assert list(two.all()) == [first]
    assert two.pending() == 0


def test_writers_at_the_same_moment_lose_nothing(member: Member) -> None:
    assert member.race("append") == ["done"] * 8

    expected = {f"{index}-{number}{too}" for index in range(8) for number in range(3) for too in ("", "-too")}
    for address in (member.one, member.two):
        ledger = open_ledger(address)
        assert ledger.pending() == 0
        assert sorted(record.body["run_id"] for record in ledger.all()) == sorted(expected)


def test_of_those_who_claim_a_name_at_the_same_moment_one_gets_it(member: Member) -> None:
    answers = member.race("claim")

    assert sorted(answers)[1:] == ["lost"] * 7
    [winner] = set(answers) - {"lost"}
    for address in (member.one, member.two):
        ledger = open_ledger(address)
        assert [record.id for record in ledger.all()] == [winner]
        assert {name: record.id for name, record in ledger.claims("model").items()} == {"model/churn/1.0.0": winner}


def test_folding_changes_nothing_that_anybody_sees(member: Member) -> None:
    one, two = open_ledger(member.one), open_ledger(member.two)
    first, second = _version("x", "1.0.0"), _version("x", "1.0.1")
    other = adoption("r9")
    one.append([first, other], claims={"model/x/1.0.0": first})
    for _ in range(2):
        one.fold()
        two.append([second], claims={"model/x/1.0.1": second})
        for view in (one, two):
            assert list(view.all()) == sorted([first, second, other], key=_order)
            assert view.find("model/x") == sorted([first, second], key=_order)
            assert view.claims("model/x") == {"model/x/1.0.0": first, "model/x/1.0.1": second}
            with pytest.raises(Conflict):
                view.append([second], claims={"model/x/1.0.0": second})


def test_what_is_new_is_told_from_what_was_seen(member: Member) -> None:
    one, two = open_ledger(member.one), open_ledger(member.two)
    seen: dict[str, records.Record] = {}
    mark = ""
    for round_ in range(4):
        fresh = [adoption(f"{round_}-{number}") for number in range(3)]
        one.append(fresh)
        if round_ % 2:
            one.fold()
        found, mark = two.unseen(mark, set(seen).intersection)
        new = {record.id: record for record in found}
        assert new.keys() >= {record.id for record in fresh}
        seen.update(new)
    assert list(one.all()) == sorted(seen.values(), key=_order)


def test_a_clock_that_is_wrong_changes_the_order_and_nothing_else(member: Member) -> None:
    """What a writer with a clock of its own says is believed by all readers alike."""
    times = ["1970-01-01T00:00:00.000000Z", _time(5), "2199-12-31T23:59:59.999999Z", _time(4)]
    several = [adoption(f"r{number}", time=time) for number, time in enumerate(times)]
    for record, address in zip(several, [member.one, member.two] * 2, strict=True):
        open_ledger(address).append([record])
    open_ledger(member.one).fold()
    for address in (member.one, member.two):
        assert list(open_ledger(address).all()) == sorted(several, key=_order)


def test_a_body_survives_unchanged(member: Member) -> None:
    git = GitState(trained_sha="1" * 40, head_sha="1" * 40, tree="2" * 40, branch="größe/😀")
    params: dict[str, str | int | float | bool | None] = {
        "notes": "x" * 100_000,
        "größe": "日本語\n\t\u0000\u007f",
        "seed": 2**70,
        "lr": 1e20,
        "on": True,
        "no": None,
    }
    metrics = {"loss": Metric(last=math.nan, min=-math.inf, max=math.inf, count=3)}
    run = Run(
        run_id="r1",
        run_key="k1",
        project="p",
        experiment="e",
        status="finished",
        started=_time(1),
        ended=_time(2),
        duration_s=1.5,
        git=git,
        params=params,
        metrics=metrics,
    )
    record = records.new(run, author=AUTHOR)
    open_ledger(member.one).append([record])

    [found] = open_ledger(member.two).find("run/r1")

    assert records.encode(found) == records.encode(record)
    assert found.id == record.id
    read = found.read(Run)
    assert (read.params, read.git) == (params, git)
    assert math.isnan(read.metrics["loss"].last)
    assert read.metrics["loss"].max == math.inf


def _order(record: records.Record) -> tuple[str, str]:
    return record.time, record.id


def _time(second: int) -> str:
    return f"2026-01-02T03:04:{second:02}.000000Z"


def _version(model: str, version: str, run_id: str = "r1") -> records.Record:
    entity = ModelVersion(
        model=model,
        version=version,
        tag=f"v{version}",
        sha="1" * 40,
        tree="2" * 40,
        run_id=run_id,
        run_record="3" * 64,
        artifact=Model(flavor="onnx", digest="sha256:" + "4" * 64, size_bytes=1, files=[]),
    )
    return records.new(entity, author=AUTHOR)
