"""A scikit-learn model under BentoML, as its documentation writes it: a sync API that takes and returns arrays."""

from pathlib import Path

import bentoml
import joblib
import numpy as np


@bentoml.service
class Classifier:
    """Answers with a class for each row."""

    def __init__(self) -> None:
        self.model = joblib.load(Path(__file__).with_name("model.joblib"))

    @bentoml.api
    def classify(self, rows: np.ndarray) -> np.ndarray:
        """Predict."""
        return self.model.predict(rows)
