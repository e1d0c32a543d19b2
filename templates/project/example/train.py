"""Train a classifier of breast tumours (Wisconsin Diagnostic Breast Cancer) and log what came of it."""

import csv
from pathlib import Path

import numpy as np
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlops_ci as mlops

DATA = Path("data/breast_cancer.csv")
LABELS = ["malignant", "benign"]


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    with DATA.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "target"]
    X = np.array([[float(row[name]) for name in names] for row in rows])
    y = np.array([int(row["target"]) for row in rows])
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=params["test_size"], random_state=params["seed"], stratify=y
    )

    with mlops.start_run() as run:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=params["C"], max_iter=params["max_iter"]))
        with run.stage("fit"):
            model.fit(X_train, y_train)
        with run.stage("evaluate"):
            predicted = model.predict(X_test)
            probability = model.predict_proba(X_test)[:, 1]

        run.log_metrics(
            {
                "accuracy": accuracy_score(y_test, predicted),
                "f1": f1_score(y_test, predicted),
                "roc_auc": roc_auc_score(y_test, probability),
                "log_loss": log_loss(y_test, probability),
            }
        )
        run.log_confusion_matrix(LABELS, confusion_matrix(y_test, predicted))
        run.log_model(model, input_example=[dict(zip(names, map(float, row))) for row in X_train])


if __name__ == "__main__":
    main()
