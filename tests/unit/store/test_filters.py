"""Filters: what they mean, on every database; and that nothing but a sentence comes of those that mean nothing."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ci.errors import UsageError
from mlops_ci.store import Store, filters
from tests.servers import MariaDB, PostgreSQL

from . import population
from .population import METRICS, NUMBERS, PARAMS, START, TAGS, VALUES, Known

Holds = Callable[[Known], bool]
Pair = tuple[str, Holds]

RECORDS, KNOWN = population.populate()
COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def populated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "sqlite":
        yield from _filled(f"sqlite:///{tmp_path_factory.mktemp('filters')}/mlops.db")
        return
    server = PostgreSQL() if request.param == "postgresql" else MariaDB()
    try:
        yield from _filled(server.fresh())
    finally:
        server.stop()


def _filled(url: str) -> Iterator[Store]:
    with Store.open(url) as store:
        store.append(RECORDS)
        yield store


def _quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace(quote, quote * 2) + quote


def _named(prefix: str, name: str) -> st.SearchStrategy[str]:
    prefixes = st.sampled_from([prefix, prefix.removesuffix("s"), prefix.upper()])
    plain = [name] if re.fullmatch(r"[\w/]+", name) else []
    names = st.sampled_from([*plain, _quoted(name, "`"), _quoted(name, '"')])
    return st.builds("{}.{}".format, prefixes, names)


def _compared(shown: str, sign: str, value: Any, get: Callable[[Known], Any]) -> Pair:
    def holds(known: Known) -> bool:
        found = get(known)
        return found is not None and bool(COMPARE[sign](found, value))

    return f"{shown} {sign} {_quoted(value) if isinstance(value, str) else repr(value)}", holds


@st.composite
def _metric(draw: st.DrawFn) -> Pair:
    name, aggregate = draw(st.sampled_from(METRICS)), draw(st.sampled_from(["", "last", "min", "max", "count"]))
    shown = draw(_named("metrics", name))
    field = f"{aggregate}({shown})" if aggregate else shown

    def get(known: Known) -> float | None:
        return known.metric(name, aggregate or "last")

    return draw(_any_test(field, st.sampled_from(NUMBERS), get))


@st.composite
def _any_test(draw: st.DrawFn, field: str, values: st.SearchStrategy[Any], get: Callable[[Known], Any]) -> Pair:
    kind = draw(st.sampled_from(["compare", "compare", "in", "not in", "null", "not null", "between", "not between"]))
    if kind == "compare":
        return _compared(field, draw(st.sampled_from(list(COMPARE))), draw(values), get)
    if kind.endswith("null"):
        there = kind == "not null"
        return f"{field} is {kind}", lambda known: (get(known) is not None) is there
    if kind.endswith("in"):
        some = draw(st.lists(values, min_size=1, max_size=3))
        shown = ", ".join(_quoted(each) if isinstance(each, str) else repr(each) for each in some)
        return (
            f"{field} {kind} ({shown})",
            lambda known: get(known) is not None and (get(known) in some) is (kind == "in"),
        )
    low, high = draw(values), draw(values)
    shown = " and ".join(_quoted(each) if isinstance(each, str) else repr(each) for each in (low, high))
    return (
        f"{field} {kind} {shown}",
        lambda known: get(known) is not None and (low <= get(known) <= high) is (kind == "between"),
    )


@st.composite
def _param(draw: st.DrawFn) -> Pair:
    name = draw(st.sampled_from(PARAMS))
    field = draw(_named("params", name))
    value = draw(st.sampled_from([each for each in VALUES if each is not None]))
    sign = draw(st.sampled_from(list(COMPARE)))
    if isinstance(value, bool):
        sign = draw(st.sampled_from(["=", "!="]))

        def is_it(known: Known) -> bool:
            found = known.run.params.get(name)
            return found is not None and (found is value) is (sign == "=")

        return f"{field} {sign} {str(value).lower()}", is_it
    if isinstance(value, str):
        return _compared(field, sign, value, lambda known: _text(known.run.params.get(name)))

    def holds(known: Known) -> bool:
        found = known.run.params.get(name)
        number = _number(found)
        if number is None:
            return sign == "!=" and found is not None
        return bool(COMPARE[sign](number, value))

    return f"{field} {sign} {value}", holds


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return None


@st.composite
def _tag(draw: st.DrawFn) -> Pair:
    name = draw(st.sampled_from(list(TAGS)))
    values = st.sampled_from([*TAGS[name], "changed"])
    return draw(_any_test(draw(_named("tags", name)), values, lambda known: known.tags.get(name)))


@st.composite
def _attribute(draw: st.DrawFn) -> Pair:
    name, some = draw(
        st.sampled_from(
            [
                ("author", ("Ada", "Bob")),
                ("branch", ("main", "dev", "other")),
                ("experiment", ("one", "uno", "two")),
                ("note", ("look here", "x")),
                ("project", ("churn", "other")),
                ("run_id", ("r01", "r30")),
            ]
        )
    )
    shown = draw(st.sampled_from([name, f"attributes.{name}", name.upper()]))
    return draw(_any_test(shown, st.sampled_from(some), lambda known: known.attribute(name)))


@st.composite
def _special(draw: st.DrawFn) -> Pair:
    kind = draw(st.sampled_from(["status", "truth", "sha", "time", "day", "epoch", "duration"]))
    sign = draw(st.sampled_from(["=", "!="]))
    if kind == "status":
        value = draw(st.sampled_from(["finished", "failed", "killed"]))
        shown = draw(st.sampled_from([value, value.upper()]))
        return f"attributes.status {sign} '{shown}'", lambda known: COMPARE[sign](known.run.status, value)
    if kind == "truth":
        name = draw(st.sampled_from(["dirty", "improvised"]))
        value = draw(st.booleans())
        text = draw(st.sampled_from([f"{name} = {value}", name if value else f"not {name}"]))
        return text, lambda known: known.attribute(name) is value
    if kind == "sha":
        start = draw(st.sampled_from([*(min(each.shas)[:4] for each in KNOWN), "c0ff", "C0FFEE", "0123"]))
        return (
            f"sha {sign} '{start}'",
            lambda known: any(sha.startswith(start.lower()) for sha in known.shas) is (sign == "="),
        )
    order = draw(st.sampled_from(list(COMPARE)))
    if kind == "duration":
        return draw(_any_test("duration_s", st.sampled_from([1.0, 2.5, 7.0]), _duration))
    hours = draw(st.integers(0, 24)) * 6
    if kind == "day":
        return _day(order, draw(st.sampled_from(["'{}'", "{}"])), hours // 24)
    moment = START.timestamp() + hours * 3600
    shown = f"{moment * 1000:.0f}" if kind == "epoch" else f"'2026-01-{1 + hours // 24:02}T{hours % 24:02}:00:00Z'"
    name = draw(st.sampled_from(["started", "start_time", "attributes.start_time"]))
    return f"{name} {order} {shown}", lambda known: COMPARE[order](known.started.timestamp(), moment)


def _duration(known: Known) -> float | None:
    return known.run.duration_s if known.run.duration_s != float("inf") else None


def _day(sign: str, how: str, days: int) -> Pair:
    """The whole day counts: what started on it is neither before nor after it."""
    text = how.format(f"2026-01-{days + 1:02}")
    return f"started {sign} {text}", lambda known: COMPARE[sign]((known.started - START).days, days)


@st.composite
def _pattern(draw: st.DrawFn) -> Pair:
    kind, negated = draw(st.sampled_from(["like", "ilike", "LIKE"])), draw(st.booleans())
    name = draw(st.sampled_from(["params.model", "params.lr", "tags.team", "note", "experiment", "status"]))
    pattern = draw(st.text(st.sampled_from("%_aArfRFéÉ1[]*?\\.^$|+5\nsS"), max_size=6))

    def holds(known: Known) -> bool:
        prefix, _, rest = name.partition(".")
        found = known.tags.get(rest) if prefix == "tags" else _text(known.run.params.get(rest))
        found = found if rest else known.attribute(name)
        if found is None:
            return False
        wanted = pattern.lower() if name == "status" else pattern
        return _like(found, wanted, any_case=kind == "ilike") is not negated

    return f"{name} {'not ' if negated else ''}{kind} {_quoted(pattern)}", holds


def _like(text: str, pattern: str, *, any_case: bool) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_like(text[skipped:], pattern[1:], any_case=any_case) for skipped in range(len(text) + 1))
    if not text:
        return False
    same = text[0] == pattern[0] or (any_case and text[0].lower() == pattern[0].lower())
    return (pattern[0] == "_" or same) and _like(text[1:], pattern[1:], any_case=any_case)


def _combined(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def joined(word: str, one: Pair, two: Pair) -> Pair:
        together = all if word == "and" else any
        return f"({one[0]}) {word} ({two[0]})", lambda known: together([one[1](known), two[1](known)])

    def negated(word: str, one: Pair) -> Pair:
        return f"{word} ({one[0]})", lambda known: not one[1](known)

    return st.builds(joined, st.sampled_from(["and", "or"]), inner, inner) | st.builds(
        negated, st.sampled_from(["not", "NOT"]), inner
    )


_ONE = st.one_of(_metric(), _param(), _tag(), _attribute(), _special(), _pattern())
FILTERS = st.recursive(_ONE, _combined, max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(FILTERS)
def test_a_filter_finds_what_it_says(populated: Store, pair: Pair) -> None:
    text, holds = pair
    expected = sorted((each for each in KNOWN if holds(each)), key=lambda each: each.record.id)
    expected.sort(key=lambda each: each.started, reverse=True)

    found = populated.search(text, limit=100).runs

    assert [run.entity.run_id for run in found] == [each.run.run_id for each in expected]
    for run, each in zip(found, expected, strict=True):
        assert (run.tags, run.note or None, run.experiment) == (each.tags, each.note, each.experiment)


@pytest.mark.parametrize("pattern", ["rf", "RF", "rF", "é", "É"])
def test_ilike_takes_a_letter_for_its_other_case(populated: Store, pattern: str) -> None:
    expected = {each.run.run_id for each in KNOWN if str(each.run.params.get("model")).lower() == pattern.lower()}

    found = populated.search(f"params.model ilike '{pattern}'", limit=100).runs

    assert {run.entity.run_id for run in found} == expected
    assert expected


def test_and_binds_more_tightly_than_or(populated: Store) -> None:
    assert filters.parse("dirty or improvised and note is null") == filters.parse(
        "(dirty or (improvised and (note is null)))"
    )
    assert filters.parse("not dirty and improvised") == filters.parse("(not dirty) and improvised")
    assert len(populated.search("", limit=100).runs) == len(KNOWN)


def test_a_hundred_conditions_are_not_too_many(populated: Store) -> None:
    """MySQL joins at most 61 tables."""
    text = " or ".join(f"params.model = '{number}' or metrics.acc = {number}" for number in range(50))

    assert populated.search(f"not ({text})", limit=100).runs


_WORDS = "metrics. params.a tags.`xy` status started sha dirty and or not in is null like between ( ) , = != < >= 'rf'"
_ODD = "' \" ` 0.9 1e999 2026-01-01 2026-13-45 min( - '9999-12-31' 9999-12-31T23:59:59-23:59 desc"
PIECES = st.sampled_from([*_WORDS.split(), *_ODD.split(), "9" * 400, "\0", "\udcff", "é"])


@settings(max_examples=1000, deadline=None)
@given(st.text(max_size=30) | st.lists(PIECES, max_size=12).map(" ".join) | st.lists(PIECES, max_size=8).map("".join))
def test_no_text_does_more_than_be_refused_in_a_sentence(text: str) -> None:
    for read in (filters.parse, filters.parse_order):
        said = _complaint(read, text)
        assert not said or re.fullmatch(r"the (filter|order) .+", said)


def _complaint(read: Callable[[str], object], text: str) -> str:
    try:
        read(text)
    except UsageError as error:
        return str(error)
    return ""


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_what_can_be_read_can_be_asked(populated: Store, text: str) -> None:
    try:
        filters.parse(text)
    except UsageError:
        return
    populated.search(text)


def test_many_nots_are_one_or_none() -> None:
    assert filters.parse("not " * 4000 + "dirty") == filters.parse("dirty")


@pytest.mark.parametrize("text", ["(" * 5000, "dirty or " * 2000, "note like '" + "%a" * 500 + "'", "a" * 20_001])
def test_what_is_too_large_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        filters.parse(text)


def test_values_are_always_bound(tmp_path: Path) -> None:
    with Store.open("sqlite:///mlops.db", tmp_path) as store:
        store.append(RECORDS)
        nasty = "'' or 1=1; drop table mlops_runs --"

        assert store.search(f"params.model = '{nasty}' or tags.`{nasty}` = '{nasty}'").runs == []
        assert len(store.search("", limit=100).runs) == len(KNOWN)


@pytest.mark.parametrize(
    ("text", "says", "place"),
    [
        ("metrics.accuracy >", "expected what metrics.accuracy is compared with, but it ends", 19),
        ("metrics.accuracy ~ 0.9", "'~' means nothing here", 18),
        ("metric.acc 0.9", "expected a comparison (=, !=, >, >=, <, <=, like, ilike, in, between, is null), not", 12),
        ("params.model = rf", "a number, true, false, or text in quotes, as in 'rf'", 16),
        ("statsu = 'finished'", "runs have no 'statsu'; did you mean 'status'?", 1),
        ("metrik.acc > 1", "there are no 'metrik'; did you mean 'metrics'?", 1),
        ("status = 'done'", "finished, failed, killed", 10),
        ("branch = 'main' branch = 'x'", "expected `and`, `or`, or the end, not 'branch'", 17),
        ("sha = 'abc'", "at least four hexadecimal digits", 7),
        ("started > 'yesterday'", "expected a date, a time as in", 11),
        ("metrics.acc > 'high'", "metrics.acc is compared with a number", 15),
        ("metrics.acc > 1e999", "metrics.acc is compared with a number", 15),
        ("tags.team = 5", "tags.team is compared with text in quotes", 13),
        ("note = 'open", "the quote ' is not closed", 8),
        ("(dirty", "expected ')', but it ends", 7),
        ("min(params.lr) > 1", "expected min(metrics.<name>)", 5),
        ("dirty > true", "dirty is true or false; use = or !=", 9),
        ("metrics. > 1", "expected a name after metrics.", 10),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, says: str, place: int) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        filters.parse(text)

    assert f"cannot be read at character {place}:" in str(caught.value)
    line, caret = caught.value.hint.splitlines()
    assert line == text
    assert caret.index("^") - 2 == place - 1  # a hint is printed two blanks further to the right
