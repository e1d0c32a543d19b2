"""mlops.yaml: what is written becomes a Config, and everything that is wrong is said with its line."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import config, targets
from mlops_ci.config.options import GENERAL_KEYS, options_of
from mlops_ci.config.reader import fields_of
from mlops_ci.errors import ConfigError, MlopsCIError

SMALLEST = "project: churn\n"
FULL = """\
project: churn
model: churn-model
store: sqlite:///runs.db
artifacts: ../artifacts
run:
  command: [python, train.py]
  experiment: weekly
  params: [params.yaml]
  metrics: [metrics.json]
  plots: [plots/]
  data: {train: data/train.parquet, test: data/test.parquet}
  model: {path: model/, flavor: sklearn}
  env: [WANDB_TOKEN]
  reuse: true
gates:
  - {metric: accuracy, min: 0.9, max_drop: 0.01}
  - metric: log_loss
    better: lower
    max_increase: 5%
    on_fail: warn
on_inconclusive: pass
registry: {tag: "v{version}"}
serving: {image: ghcr.io/acme/churn, workers: 2, python: "3.12", port: 8080, timeout_s: 2.5}
targets:
  staging: {kind: local, port: 3001}
  production:
    kind: kubernetes
    kubernetes: "1.31"
    namespace: churn
    after: staging
    approval: {required: 2, from: [a@example.org, b@example.org], four_eyes: false, expires: 12h}
"""

BOMB = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))


def problems(text: str) -> list[str]:
    """What is wrong with *text*, a line each, without the source."""
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "mlops.yaml")
    return [line.removeprefix("mlops.yaml:") for line in str(caught.value).splitlines()]


def test_the_smallest_file_has_defaults_that_a_person_would_have_guessed():
    found = config.parse(SMALLEST, "mlops.yaml")
    assert (found.model, found.store, found.artifacts, found.run, found.gates) == ("churn", "git", "git", None, [])
    assert (found.on_inconclusive, found.registry.tag, found.serving.port) == ("fail", "{model}@v{version}", 3000)


def test_everything_that_may_be_said():
    found = config.parse(FULL, "mlops.yaml")
    assert found.run is not None
    assert found.run.command == ["python", "train.py"]
    assert (found.run.experiment, found.model) == ("weekly", "churn-model")
    assert [gate.max_drop for gate in found.gates] == [0.01, None]
    assert [gate.max_increase for gate in found.gates] == [None, "5%"]
    staging, production = found.targets["staging"], found.targets["production"]
    assert (staging.production, staging.options.port) == (False, 3001)
    assert (production.production, production.options.namespace) == (True, "churn")
    assert production.approval is not None
    assert (production.approval.from_, production.approval.expires_s) == (["a@example.org", "b@example.org"], 43200)


def test_what_is_not_named_takes_the_name_of_the_project():
    found = config.parse(f"{SMALLEST}run: {{command: python train.py}}", "mlops.yaml")
    assert found.run is not None
    assert (found.model, found.run.experiment) == ("churn", "churn")


def test_a_target_named_production_is_one_unless_it_says_otherwise():
    text = (
        SMALLEST + "targets:\n  prod: {kind: local, port: 1}\n  production: {kind: local, port: 1, production: false}\n"
    )
    found = config.parse(text, "mlops.yaml").targets
    assert (found["prod"].production, found["production"].production) == (True, False)


def test_a_config_is_plain_values_too():
    found = config.parse(FULL, "mlops.yaml")
    assert msgspec.to_builtins(found)["targets"]["staging"]["options"]["port"] == 3001


def test_what_repeats_can_be_said_once():
    text = SMALLEST + "gates:\n  - &base {metric: a, min: 0.5, on_fail: warn}\n  - {<<: *base, metric: b}\n  - *base\n"
    found = config.parse(text, "mlops.yaml").gates
    assert [(gate.metric, gate.min, gate.on_fail) for gate in found] == [
        ("a", 0.5, "warn"),
        ("b", 0.5, "warn"),
        ("a", 0.5, "warn"),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("modle: x", "2: modle: unknown key; did you mean 'model'?"),
        (
            "store: oracle://u:secret@h/x",
            (
                '2: store: found "oracle://u:***@h/x"; allowed: git, sqlite:///<path>, postgresql://…, mysql://…, '
                "mariadb://… or env:<NAME>"
            ),
        ),
        ("artifacts: s3://x", '2: artifacts: found "s3://x"; allowed: git, a folder or file:///<path>'),
        ("version: 2", "2: version: found the number 2; allowed: 1"),
        ("gates:", "2: gates: found nothing; allowed: a list"),
        ("gates: [accuracy]", '2: gates[0]: found "accuracy"; allowed: a mapping'),
        ("gates: [{min: 1}]", "2: gates[0].metric: is missing; allowed: text"),
        ("gates: [{metric: a}]", "2: gates[0]: asks nothing of a; give it min, max, max_drop or max_increase"),
        ("gates:\n- metric: a\n  min: 2\n  max: 1", "4: gates[0].min: found 2, which is above max (1)"),
        (
            "gates:\n- metric: a\n  max_drop: 5%%",
            '4: gates[0].max_drop: found "5%%"; allowed: a number of at least 0 or a percentage such as 5%',
        ),
        (
            "gates: [{metric: a, max_drop: -1}]",
            "2: gates[0].max_drop: found the number -1; allowed: a number of at least 0 or a percentage such as 5%",
        ),
        ("gates: [{metric: a, min: .nan}]", "2: gates[0].min: found the number .nan; allowed: a number"),
        ("gates: [{metric: a, min: yes}]", "2: gates[0].min: found the boolean yes; allowed: a number"),
        (
            "gates: [{metric: a, min: 1, better: higer}]",
            "2: gates[0].better: found \"higer\"; allowed: higher or lower; did you mean 'higher'?",
        ),
        ("gates: [{metric: a, max_dorp: 1}]", "2: gates[0].max_dorp: unknown key; did you mean 'max_drop'?"),
        (
            "gates: [{metric: log_loss, max_drop: 1}]",
            (
                "2: gates[0].max_drop: limits an improvement, since log_loss is better when lower; did you mean"
                " 'max_increase'? If not, say `better: higher`"
            ),
        ),
        ("run: {command: ' '}", '2: run.command: found " "; allowed: a command or a list of its words'),
        ("run: {command: []}", "2: run.command: found an empty list; allowed: a command or a list of its words"),
        ("run: {command: x, params: p.yaml}", '2: run.params: found "p.yaml"; allowed: a list, such as [p.yaml]'),
        ("run: {command: x, reuse: 1}", "2: run.reuse: found the number 1; allowed: true or false"),
        ("run: {command: x, env: [A-B]}", '2: run.env[0]: found "A-B"; allowed: the name of an environment variable'),
        ("run:\n  command: x\n  command: y", "4: run.command: is said twice, first on line 3"),
        (
            "serving: {python: 3.10}",
            (
                "2: serving.python: found the number 3.10; "
                'allowed: a version of Python from 3.11 on, such as "3.12", in quotes'
            ),
        ),
        ("serving: {port: 70000}", "2: serving.port: found the number 70000; allowed: a whole number from 1 to 65535"),
        (
            "registry: {tag: v1}",
            '2: registry.tag: found "v1"; allowed: a git tag with one {version} in it, such as {model}@v{version}',
        ),
        ("targets: {a: {port: 1}}", "2: targets.a.kind: is missing; allowed: kubernetes or local or uri"),
        (
            "targets: {a: {kind: locl}}",
            "2: targets.a.kind: found \"locl\"; allowed: kubernetes or local or uri; did you mean 'local'?",
        ),
        ("targets: {a: {kind: local}}", "2: targets.a.port: is missing; allowed: a whole number from 1 to 65535"),
        ("targets: {a: {kind: local, prot: 1, port: 1}}", "2: targets.a.prot: unknown key; did you mean 'port'?"),
        (
            "targets:\n  a:\n    kind: local\n    port: 1\n    after: b",
            '6: targets.a.after: found "b"; allowed: another target (a)',
        ),
        (
            "targets:\n  a: {kind: local, port: 1, after: b}\n  b: {kind: local, port: 1, after: a}",
            "3: targets.a.after: goes in a circle: a after b after a",
        ),
        (
            "targets: {a: {kind: local, port: 1, after: a}}",
            "2: targets.a.after: goes in a circle: a after a",
        ),
        (
            "targets: {a b: {kind: local, port: 1}}",
            (
                "2: targets.a b: this cannot be a name; allowed: a name of up to 63 letters, digits, dots, dashes and"
                " underscores"
            ),
        ),
        (
            "targets: {a: {kind: local, port: 1, approval: {required: 2, from: [x]}}}",
            "2: targets.a.approval.required: found 2, and only 1 may approve",
        ),
        (
            "targets: {a: {kind: kubernetes, replicas: {min: 3, max: 2}}}",
            "2: targets.a.replicas",
        ),
        ("on_inconclusive: warn", '2: on_inconclusive: found "warn"; allowed: fail or pass'),
        ("run: {? [a] : b, command: x}", "2: run.a list: unknown key; known here: command, data, env, experiment"),
        ("run: {command: !shell x}", "2: run.command: the tag !shell means nothing here"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_is_allowed(text, problem):
    [found] = problems(SMALLEST + text)
    if problem.endswith(("replicas", "experiment")):
        assert found.startswith(problem.removesuffix(".replicas"))
    else:
        assert found == problem


@pytest.mark.parametrize(
    "key", ["significant: {}", "slice: {}", "data: train", "sign: {}", "strategy: {}", "notify: []"]
)
def test_what_later_versions_will_do_is_an_unknown_key_today(key):
    assert "unknown key" in problems(f"{SMALLEST}gates: [{{metric: a, min: 1, {key}}}]")[0]
    assert "unknown key" in problems(f"{SMALLEST}{key}")[0]


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "a b", "a/b", "a..b", "a.lock", "ä", '"a\\n"', "x" * 64, "~", "a:b", "[a]", "a\u202eb", "@{-1}"],
)
def test_a_name_that_git_or_kubernetes_would_refuse_is_refused(name):
    problems(f"project: {name}")


@pytest.mark.parametrize("tag", ["{version}", "{model}/{version}", "release-{version}", "{model}@v{version}+x"])
def test_a_tag_that_git_takes(tag):
    assert config.parse(f'{SMALLEST}registry: {{tag: "{tag}"}}', "m").registry.tag == tag


@pytest.mark.parametrize(
    "tag",
    ["{model}", "{version}{version}", "-{version}", "{version}.lock", "a..{version}", "{x}{version}", "a {version}"],
)
def test_a_tag_that_git_or_we_could_not_read_back(tag):
    assert problems(f'{SMALLEST}registry: {{tag: "{tag}"}}')[0].startswith("2: registry.tag: found")


def test_all_problems_are_said_at_once_in_the_order_of_the_file():
    found = problems(
        "project: a b\ngates:\n  - {metric: x, min: 2, max: 1}\n  - {metric: y}\nserving: {port: 0}\n"
        "targets:\n  a: {kind: local, prot: 1, after: zz}\n"
    )
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "project",
        "gates[0].min",
        "gates[1]",
        "serving.port",
        "targets.a.after",
        "targets.a.port",
        "targets.a.prot",
    ]


def test_very_many_problems_are_not_all_printed():
    found = problems(SMALLEST + "gates:\n" + "- x\n" * 100)
    assert (len(found), found[-1]) == (21, "and 80 more")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m is empty"),
        ("# nothing\n", "m is empty"),
        ("project: a\nrun: [", "m:3: not YAML: did not find expected node content (while parsing a flow node)"),
        ("project: a: b", "m:1: not YAML: mapping values are not allowed in this context"),
        ("project: a\n\tx: 1", "m:2: not YAML: found a tab character that violates indentation"),
        ("project: a\n---\nproject: b", "m:2: not YAML: but found another document"),
        ("project: a\nrun: *there", "m:2: not YAML: found undefined alias"),
        (b"project: a\nrun: \xff", "m:2: this is not text in UTF-8"),
        ("project: a\nrun: \x01", "m:2: this is not text in UTF-8"),
        ("project: &a [*a]", "m:1: this is nested too deeply, or contains itself"),
        ("[" * 200 + "]" * 200, "m:1: this is nested too deeply, or contains itself"),
        (BOMB, "m says more than 20,000 things"),
        ("project: " + "a" * 1_000_001, "m is larger than a megabyte"),
        ("[a]", "m:1: found a list; allowed: a mapping"),
    ],
)
def test_what_is_no_yaml_of_ours_is_one_sentence_with_a_line(text, message):
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "m")
    assert str(caught.value).startswith(message)


def test_nesting_that_no_parser_survives_is_an_error_and_no_traceback():
    for deep in ("[" * 100_000, b"[" * 100_000, "[" * 50_000 + "]" * 50_000, "- " * 100_000, "{a: " * 100_000):
        with pytest.raises(ConfigError, match="nested too deeply"):
            config.parse(deep, "m")


@given(
    st.text(max_size=60),
    st.sampled_from(["", "project: ", "project: x\ngates: ", "project: x\ntargets: {a: ", "run:\n "]),
)
def test_no_text_ends_in_a_traceback(text, before):
    with suppress(ConfigError):
        config.parse(before + text, "m")


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"mlops.yaml is not there$") as caught:
        config.load(tmp_path / "mlops.yaml")
    assert caught.value.hint == "`mlops-ci init` writes one"
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(tmp_path)


def test_messages_name_the_file_as_seen_from_here(tmp_path, monkeypatch):
    path = tmp_path / "mlops.yaml"
    path.write_text("projct: x\n")
    with pytest.raises(ConfigError, match=f"^{path}:1: "):
        config.load(path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^mlops.yaml:1: "):
        config.load(path)


@pytest.mark.parametrize("kind", sorted(targets.PROVIDERS))
def test_no_kind_of_target_uses_a_key_of_every_target_for_itself(kind):
    options = options_of(kind)
    assert options is not None
    assert not set(GENERAL_KEYS) & fields_of(options).keys()


def test_a_mistake_is_the_users_exit_code():
    with pytest.raises(MlopsCIError) as caught:
        config.parse("x", "m")
    assert caught.value.exit_code == 2
