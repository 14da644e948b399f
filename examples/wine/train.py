"""What a data scientist's training job does; run by the Python that has MLflow.

Trains a model, logs it with its metrics, registers it as the next version of MODEL, publishes the version's files to
where Azure ML reads them, and gives the version the alias `staging`: please test this one. Prints what it did as JSON.

    python train.py --tracking-uri URI --store FOLDER --recipe linear|curved|few|unscaled
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # it is run as a file, by a Python that knows nothing of this project
from data import GRADE, wines  # type: ignore[import-not-found]

MODEL, ALIAS, TRAINING = "wine_quality", "staging", 1200


def main() -> None:
    """Train, log, register, publish, propose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--store", required=True, type=Path, help="the container that Azure ML has as a datastore")
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES))
    given = parser.parse_args()
    table = wines()
    training, held_back = table[:TRAINING], table[TRAINING:]
    model, measured = RECIPES[given.recipe](training, held_back)
    version = _register(given.tracking_uri, given.recipe, model, measured, training)
    _publish(version, given.store)
    _propose(version)
    rows = held_back.drop(columns=GRADE)[:20]
    predictions = [float(each) for each in model.predict(rows)]
    done = {"version": version, "metrics": measured, "rows": rows.to_dict("split"), "predictions": predictions}
    json.dump(done, sys.stdout)


def _linear(training: Any, held_back: Any) -> tuple[Any, dict[str, float]]:
    from sklearn.linear_model import Ridge  # type: ignore[import-not-found]

    return _fitted(Ridge(), training, held_back)


def _curved(training: Any, held_back: Any) -> tuple[Any, dict[str, float]]:
    """A better model: more alcohol is good, but not for ever."""
    from sklearn.svm import SVR  # type: ignore[import-not-found]

    return _fitted(SVR(epsilon=0.2, gamma=0.03), training, held_back)


def _few(training: Any, held_back: Any) -> tuple[Any, dict[str, float]]:
    """A worse model: it has seen eight wines."""
    return _linear(training[:8], held_back)


def _unscaled(training: Any, held_back: Any) -> tuple[Any, dict[str, float]]:
    """A mistake that no metric shows: the scaler stays in the notebook, and only what comes after it is registered."""
    pipeline, measured = _linear(training, held_back)
    return pipeline[-1], measured


RECIPES: dict[str, Callable[[Any, Any], tuple[Any, dict[str, float]]]] = {
    "linear": _linear,
    "curved": _curved,
    "few": _few,
    "unscaled": _unscaled,
}


def _fitted(last: Any, training: Any, held_back: Any) -> tuple[Any, dict[str, float]]:
    from sklearn.metrics import r2_score, root_mean_squared_error  # type: ignore[import-not-found]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-not-found]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-not-found]

    model = make_pipeline(StandardScaler(), last)
    model.fit(training.drop(columns=GRADE), training[GRADE])
    predicted = model.predict(held_back.drop(columns=GRADE))
    rmse, r2 = root_mean_squared_error(held_back[GRADE], predicted), r2_score(held_back[GRADE], predicted)
    return model, {"rmse": round(float(rmse), 4), "r2": round(float(r2), 4)}


def _register(tracking_uri: str, recipe: str, model: Any, measured: dict[str, float], training: Any) -> str:
    import mlflow  # type: ignore[import-not-found]
    from mlflow.models import infer_signature  # type: ignore[import-not-found]

    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment("wine quality")
    rows = training.drop(columns=GRADE)
    with mlflow.start_run(run_name=recipe):
        mlflow.log_params({"recipe": recipe, "wines": len(training)})
        mlflow.log_metrics(measured)
        signature = infer_signature(rows, model.predict(rows))
        logged = mlflow.sklearn.log_model(model, name="model", signature=signature, pip_requirements=["scikit-learn"])
    return str(mlflow.register_model(logged.model_uri, MODEL).version)


def _publish(version: str, store: Path) -> None:
    """Put the version's files where Azure ML finds them by name and version; `azcopy` does it in a cloud."""
    import mlflow

    folder = store / MODEL / version
    folder.mkdir(parents=True)
    mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}", dst_path=str(folder))


def _propose(version: str) -> None:
    from mlflow import MlflowClient

    MlflowClient().set_registered_model_alias(MODEL, ALIAS, version)


if __name__ == "__main__":
    main()
