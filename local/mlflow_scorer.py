"""What runs in the container of a deployment of an MLflow model: loads it with pyfunc and answers POST /score.

Run by a Python that has MLflow, apart from the stand-in: `python mlflow_scorer.py FOLDER`. Prints its port as JSON once
the model is loaded; ends when its standard input does, so that it never outlives whoever started it.
Source: "Deploy MLflow models" (`input_data` with columns, index and data; as rows; or as named tensors; `params`).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Scorer(ThreadingHTTPServer):
    """A server for one model, on a port that the system chooses."""

    daemon_threads = True

    def __init__(self, model: Any) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.model, self.turn = model, threading.Lock()


class Requests(BaseHTTPRequestHandler):
    """POST {"input_data": …} is answered with the predictions, or 424 with the model's own complaint."""

    protocol_version = "HTTP/1.1"
    server: Scorer

    def do_POST(self) -> None:
        """Score what was posted."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = 200, self._predictions(json.loads(body))
        except Exception as error:  # whatever a model raises is its answer
            status, answer = 424, {"error": f"{type(error).__name__}: {error}"}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _predictions(self, body: Any) -> Any:
        given = data_of(body["input_data"])
        with self.server.turn:
            return plain(self.server.model.predict(given, params=body.get("params")))

    def log_message(self, format: str, *args: Any) -> None:
        """Tell nothing: the log is for the model."""


def data_of(given: Any) -> Any:
    """Return what pyfunc takes: a table for columns with data and for rows of names, else arrays."""
    import numpy as np  # type: ignore[import-not-found]
    import pandas as pd  # type: ignore[import-untyped]

    if isinstance(given, dict) and "data" in given:
        return pd.DataFrame(given["data"], columns=given.get("columns"), index=given.get("index"))
    if isinstance(given, dict):
        return {name: np.asarray(values) for name, values in given.items()}
    if given and isinstance(given[0], dict):
        return pd.DataFrame(given)
    return np.asarray(given)


def plain(predictions: Any) -> Any:
    """Return predictions as JSON has them: a list, of objects where the model gave a table."""
    import pandas as pd

    if isinstance(predictions, pd.DataFrame):
        return json.loads(predictions.to_json(orient="records"))
    return predictions.tolist() if hasattr(predictions, "tolist") else predictions


def main() -> None:
    """Load the model, say where it is served, and serve it."""
    import mlflow.pyfunc  # type: ignore[import-not-found]

    server = Scorer(mlflow.pyfunc.load_model(sys.argv[1]))
    threading.Thread(target=_end_with_input, daemon=True).start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
