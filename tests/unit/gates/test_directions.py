"""Which way is better, as the usual names say it."""

from __future__ import annotations

import pytest

from mlops_ci.gates import direction_of

HIGHER = (
    "accuracy test.accuracy f1 f1_macro f1score F1Score rocAuc roc_auc R2 r2_score mAP NDCG@10 precision@5 rougeL bleu"
)
LOWER = "loss val_loss log_loss Val/Loss logLoss RMSE mean_absolute_error brier_score WER MAPE latency_p99_ms"
UNKNOWN = "support widgets accuracy_loss maple closs epoch"


@pytest.mark.parametrize("name", [*HIGHER.split(), "macro avg.f1-score", "neg_mean_squared_error", "test.neg_log_loss"])
def test_higher(name):
    assert direction_of(name) == "higher"


@pytest.mark.parametrize("name", LOWER.split())
def test_lower(name):
    assert direction_of(name) == "lower"


@pytest.mark.parametrize("name", UNKNOWN.split())
def test_a_name_that_does_not_say_or_says_both_is_not_guessed(name):
    assert direction_of(name) is None
