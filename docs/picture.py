"""
Makes images/comment.png, the README's picture of a failing comment; `.venv/bin/python docs/picture.py` runs it.

Only whoever changes what a comment looks like needs it, and with it Debian's chromium, fonts-inter, fonts-noto-mono,
fonts-noto-color-emoji and imagemagick. The numbers are made up; the page is the one that `mlops-ci report` writes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mlops_ci import reports
from mlops_ci.entities import GateReport, GateResult, MetricChange, Policy, RunPointer, ValueChange, Verdict

PICTURE = Path(__file__).resolve().parent / "images" / "comment.png"
WIDTH, HEIGHT, SCALE = 900, 1400, 2
MARGIN = 8 * SCALE
LOSS = "rose by 13.7 %, from 0.2120 to 0.2410; at most 5 % is allowed"
# The fonts of a reader's machine are not here, and GitHub draws folds without boxes and a comment with one.
STYLE = """<style>
body { padding: 0.5rem; font-family: Inter, sans-serif; font-size: 15px; }
main { width: fit-content; padding: 1.25rem; border: 1px solid var(--line); border-radius: 0.5rem; }
code { font-family: "Noto Sans Mono", monospace; }
th, td { white-space: nowrap; }
details { margin: 0; border: 0; }
details:last-child { margin-bottom: -0.5rem; }
summary { padding: 0.2rem 0; color: var(--text); }
</style></head>"""


def report() -> GateReport:
    """One failed gate of four."""
    sha, base = "3f2a91c07d11" + "0" * 28, "b81c77e4a9f2" + "0" * 28
    return GateReport(
        project="churn",
        experiment="churn",
        verdict="fail",
        candidate=RunPointer(
            run_id="8c41d7e09b52f3a6",
            sha=sha,
            branch="deeper-trees",
            run_url="https://github.com/acme/churn/actions/runs/4711",
        ),
        baseline=RunPointer(
            run_id="1f6b02c95ad87e34", sha=base, branch="main", distance=0, age_s=183_600, found_by="commit"
        ),
        policy=Policy(origin="base", sha=base),
        results=[
            judged("accuracy", "min", 0.9, "is 0.9304; at least 0.9 is required"),
            judged("accuracy", "max_drop", 0.01, "rose by 0.0181, from 0.9123 to 0.9304; at most 0.0100 is allowed"),
            judged("roc_auc", "max_drop", 0.01, "fell by 0.0017, from 0.9648 to 0.9631; at most 0.0100 is allowed"),
            judged("log_loss", "max_increase", "5%", LOSS, verdict="fail"),
            judged("latency_ms", "max", 20, "is 14.20; at most 20 is allowed"),
        ],
        metrics=[
            moved("accuracy", 0.9123, 0.9304, better=True, before=[0.884, 0.891, 0.889, 0.902, 0.908]),
            moved("roc_auc", 0.9648, 0.9631, better=False, before=[0.951, 0.958, 0.961, 0.96, 0.963]),
            moved("log_loss", 0.212, 0.241, better=False, before=[0.262, 0.251, 0.247, 0.228, 0.219]),
            moved("latency_ms", 11.9, 14.2, better=False, before=[12.4, 12.1, 12.6, 11.8, 12.0]),
            moved("f1", 0.8812, 0.8997, better=True),
            moved("recall", 0.8534, 0.8711, better=True),
        ],
        params=[
            ValueChange(name="max_depth", baseline=6, candidate=12),
            ValueChange(name="n_estimators", baseline=200, candidate=400),
        ],
        unchanged_params=9,
        data=[ValueChange(name="train.rows", baseline=120_000, candidate=121_204)],
        confusion={"labels": ["stays", "leaves"], "matrix": [[1204, 31], [17, 348]]},
    )


def judged(metric: str, rule: str, limit: float | str, reason: str, *, verdict: Verdict = "pass") -> GateResult:
    """The result of a rule."""
    return GateResult(metric=metric, rule=rule, limit=limit, verdict=verdict, reason=f"{metric} {reason}")


def moved(
    metric: str, baseline: float, candidate: float, *, better: bool, before: Sequence[float] = ()
) -> MetricChange:
    """A row of the comparison; *before* is what the metric was until the baseline."""
    change = candidate - baseline
    return MetricChange(
        metric=metric,
        baseline=baseline,
        candidate=candidate,
        change=change,
        relative=change / baseline,
        trend="better" if better else "worse",
        trail=[*before, baseline] if before else [],
    )


def photograph(page: Path, picture: Path) -> None:
    """Have chromium draw *page*, and cut the picture to what is on it."""
    look = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = [f"--window-size={WIDTH},{HEIGHT}", f"--force-device-scale-factor={SCALE}"]
    run("chromium", *look, *size, f"--screenshot={picture}", page.as_uri())
    cut = ["-trim", "+repage", "-bordercolor", "white", "-border", str(MARGIN)]
    run(
        "convert",
        str(picture),
        *cut,
        "-strip",
        "+dither",
        "-colors",
        "256",
        "-define",
        "png:compression-level=9",
        str(picture),
    )


def run(*command: str) -> None:
    """Run a program; what it says is shown only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stderr}")


def main() -> None:
    """Write the page, photograph it."""
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "comment.html"
        page.write_text(reports.html(report()).replace("</head>", STYLE), "utf-8")
        photograph(page, PICTURE)
    print(f"wrote {PICTURE.name}, {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
