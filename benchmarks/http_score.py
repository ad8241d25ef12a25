"""One explained score over HTTP: ours against ``mlflow models serve`` of the same version.

Ours is ``GET /api/v1/opportunities/{id}/score`` of ``winward web`` with a login: it checks who may
see the deal, makes the feature row from the facts, scores, explains in words and writes down what
was said. The reference gets the finished feature row in a POST and returns probability and
contributions. One client, one request at a time.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine, text

from benchmarks import company
from benchmarks.compare import Comparison, by_turns, say
from crm_core.database import transaction
from crm_core.people.operations import set_password
from crm_core.settings import Settings
from features import labels, snapshots
from training import pipeline
from training.bundle import load

REQUESTS = 60
OURS, THEIRS = 8971, 8972
EMAIL, PASSWORD = "admin@demo.winward", "correct horse battery"
READY_SECONDS = 180.0


def compare() -> Comparison:
    """Train on the small company, start both servers, ask them by turns."""
    with company.place() as here, contextlib.ExitStack() as stack:
        folder, _ = company.files(here.folder, size="small")
        engine = here.database("winward")
        stack.callback(engine.dispose)
        for name in ("winward_mlflow", "winward_feast"):
            here.database(name, migrated=False).dispose()
        company.bring_in(engine, folder)
        settings = Settings(
            home=here.folder / "home",
            database_url=here.server.url("winward").replace("+psycopg", ""),
            trials=0,
            threads=1,
        )
        mlflow_url = here.server.url("winward_mlflow")
        train(engine, settings, mlflow_url, here.server.url("winward_feast"))
        with transaction(engine) as session:
            set_password(session, email=EMAIL, password=PASSWORD)
        deal, row = example(engine, settings)
        say("starting both servers …")
        stack.enter_context(server(ours(settings), settings.environment(), OURS, "/healthz"))
        theirs = {
            **os.environ,
            "MLFLOW_TRACKING_URI": mlflow_url,
            "MLFLOW_REGISTRY_URI": mlflow_url,
        }
        stack.enter_context(server(reference(), theirs, THEIRS, "/ping"))
        score, invoke = our_request(deal), their_request(row)
        for warm in range(5):
            del warm
            score(), invoke()
        seconds = by_turns(score, invoke, turns=REQUESTS)
    return Comparison("http", *seconds, 1, "scores", "median of one request at a time")


def train(engine: Engine, settings: Settings, mlflow_url: str, feast_url: str) -> None:
    """Bring the store to a promoted model."""
    say("building features and training …")
    with contextlib.redirect_stdout(sys.stderr):
        snapshots.build(
            engine,
            as_of=company.AS_OF,
            recorded_at=company.RECORDED_AT,
            settings=settings,
            feast_url=feast_url,
        )
        pipeline.train_win_rate(
            settings=settings,
            mlflow_url=mlflow_url,
            feast_url=feast_url,
            outcomes=labels.outcomes(engine, known_at=company.AS_OF),
            as_of=company.AS_OF,
        )
        pipeline.promote_win_rate(settings=settings, mlflow_url=mlflow_url, force=True)


def example(engine: Engine, settings: Settings) -> tuple[str, dict[str, float | None]]:
    """Return an open deal and its feature row."""
    with engine.connect() as connection:
        statement = "select id from opportunities where outcome is null order by id limit 1"
        deal = str(connection.execute(text(statement)).scalar_one())
    bundle = load(settings.models_folder / "win_rate" / "1")
    pairs = pd.DataFrame({"entity_id": [deal], "as_of": [pd.Timestamp(company.AS_OF)]})
    rows = snapshots.rows(engine, pairs, settings=settings, columns=bundle.features)
    values = rows[list(bundle.features)].iloc[0]
    return deal, {name: None if pd.isna(value) else float(value) for name, value in values.items()}


def ours(settings: Settings) -> list[str]:
    """Return the command of our server."""
    del settings
    return [sys.executable, "-m", "serving.commandline", "web", "--port", str(OURS)]


def reference() -> list[str]:
    """Return the command of MLflow's server, in this very environment."""
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    serve = [mlflow, "models", "serve", "-m", "models:/win_rate/1", "-h", "127.0.0.1"]
    return [*serve, "-p", str(THEIRS), "--env-manager", "local", "--workers", "1"]


@contextlib.contextmanager
def server(command: list[str], environment: dict[str, str], port: int, path: str) -> Iterator[None]:
    """Run a server until the block ends; enter when it answers."""
    tools = str(Path(sys.executable).parent)
    environment = {**environment, "PATH": f"{tools}{os.pathsep}{environment.get('PATH', '')}"}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, env=environment, process_group=0, stdout=log, stderr=log
        ) as process,
    ):
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not answers(port, path):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    told = log.read().decode(errors="replace")[-2000:]
                    raise RuntimeError(f"{' '.join(command)} did not become ready: {told}")
                time.sleep(0.5)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait()


def answers(port: int, path: str) -> bool:
    """Return whether something answers 200 there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def our_request(deal: str) -> Callable[[], object]:
    """Return a function that asks for the score as somebody who is signed in."""
    connection = http.client.HTTPConnection("127.0.0.1", OURS, timeout=60)
    login = json.dumps({"email": EMAIL, "password": PASSWORD})
    connection.request("POST", "/api/v1/session", login, {"content-type": "application/json"})
    answer = connection.getresponse()
    cookie = (answer.getheader("set-cookie") or "").split(";")[0]
    answer.read()

    def ask() -> object:
        connection.request("GET", f"/api/v1/opportunities/{deal}/score", headers={"cookie": cookie})
        said = json.loads(read(connection))
        assert said["p_win"] is not None, said
        return said

    return ask


def their_request(row: dict[str, float | None]) -> Callable[[], object]:
    """Return a function that has the same model score the finished row."""
    connection = http.client.HTTPConnection("127.0.0.1", THEIRS, timeout=60)
    given = json.dumps({"dataframe_split": {"columns": list(row), "data": [list(row.values())]}})

    def ask() -> object:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/invocations", given, headers)
        return json.loads(read(connection))["predictions"]

    return ask


def read(connection: http.client.HTTPConnection) -> bytes:
    """Return the body of an answer that must be 200."""
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {body[:500]!r}")
    return body
