"""Which way a metric is better, for the names that the field uses. A name that is not known is not guessed."""

from __future__ import annotations

import re
from typing import Literal

Direction = Literal["higher", "lower"]

# A word of the name, whole; or its beginning, as in `f1score`, `rougeL`, `latency_ms`.
_HIGHER = re.compile(
    r"(acc|ap|auc|aupr|auprc|auroc|dice|fbeta|iou|jaccard|kappa|map|mcc|miou|mrr|ndcg|psnr|r2|sensitivity|specificity"
    r"|ssim|tnr|tpr)|(accuracy|bleu|f1|precision|recall|rouge).*"
)
_LOWER = re.compile(
    r"(brier|cer|crossentropy|fid|fnr|fpr|logloss|loss|losses|mae|mape|mase|mdape|mse|msle|nll|perplexity|ppl|rmse|rmsle"
    r"|smape|wer)|(duration|error|latency).*"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[a-z]+[0-9]*")
_NEGATED = re.compile(r"(?<![A-Za-z])neg_")


def direction_of(metric: str) -> Direction | None:
    """
    Return which way *metric* is better, or None if its name does not say or says both.

    `test.accuracy`, `val_loss`, `macro avg.f1-score` and `rocAuc` are read; `neg_mean_squared_error`, as
    scikit-learn's scorers name it, is better when higher.
    """
    spellings = {_HUMP.sub(" ", metric).lower(), metric.lower()}
    words = {word for spelling in spellings for word in _WORD.findall(spelling)}
    higher, lower = any(map(_HIGHER.fullmatch, words)), any(map(_LOWER.fullmatch, words))
    if higher == lower:
        return None
    return "higher" if higher or _NEGATED.search(metric) else "lower"
