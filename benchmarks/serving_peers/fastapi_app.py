"""A scikit-learn model under FastAPI, as its documentation writes it: models of pydantic, and a path operation."""

from pathlib import Path

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(Path(__file__).with_name("model.joblib"))


class Question(BaseModel):
    """The records, a row of numbers each."""

    records: list[list[float]]


class Answer(BaseModel):
    """A class for each of them."""

    predictions: list[int]


@app.post("/predict")
def predict(question: Question) -> Answer:
    """Predict."""
    return Answer(predictions=model.predict(question.records).tolist())
