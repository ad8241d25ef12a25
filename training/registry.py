"""The only door to MLflow: runs, registered versions and their aliases.

Nothing is pickled: a version is the bundle's text files and a few lines of code that load them,
so that ``mlflow models serve`` works and nothing that is loaded can run foreign code.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from crm_core.errors import NotFound
from crm_core.settings import Settings, keep_tracking_private

keep_tracking_private()  # read by MLflow while it is imported

import mlflow  # noqa: E402 # see the line above
from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.models.signature import ModelSignature  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from mlflow.types.schema import ColSpec, Schema  # noqa: E402

from training.bundle import Bundle  # noqa: E402
from training.reports import card  # noqa: E402
from training.svg import reliability_svg  # noqa: E402
from training.win_rate import TrainedModel  # noqa: E402
from training.windows import LaterWindow  # noqa: E402

logging.getLogger("mlflow").setLevel(logging.WARNING)

MODEL = "win_rate"
CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
FINDINGS = "findings"
_MOST_VERSIONS = 10_000
_PACKAGES = ("winward", "lightgbm", "numpy", "mlflow")
_SERVED_CODE = '''"""A win-rate bundle behind MLflow: loaded from text, scored with its reasons."""

from pathlib import Path

import mlflow
import pandas as pd

from training.bundle import load


class WinRate(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.bundle = load(Path(context.artifacts["bundle"]))

    def predict(self, context, model_input: pd.DataFrame, params=None):
        rows = model_input[list(self.bundle.features)].to_numpy("float64")
        scores = self.bundle.score(rows)
        found = pd.DataFrame(scores.contributions, columns=list(scores.groups))
        found.insert(0, "p", scores.p)
        found.insert(1, "margin", scores.margin)
        found.insert(2, "base_value", scores.base_value)
        return found


mlflow.models.set_model(WinRate())
'''


class UnknownVersion(NotFound):
    """The registry has no such version of the model."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A version in the registry with what is needed to judge and to export it."""

    version: str
    run_id: str
    bundle: Bundle
    report: dict[str, Any]
    window: LaterWindow | None


def _client(url: str) -> MlflowClient:
    return MlflowClient(tracking_uri=url, registry_uri=url)


def prepare(url: str, *, settings: Settings) -> str:
    """Create or migrate MLflow's tables, the experiment and the registered model; return its id.

    The first call on a new database takes seconds; set-up does it, never a request.
    """
    client = _client(url)
    experiment = client.get_experiment_by_name(MODEL)
    if experiment is None:
        settings.artifacts_folder.mkdir(parents=True, exist_ok=True)
        location = settings.artifacts_folder.resolve().as_uri()
        found = str(client.create_experiment(MODEL, artifact_location=location))
    else:
        found = str(experiment.experiment_id)
    try:
        client.get_registered_model(MODEL)
    except MlflowException:
        client.create_registered_model(
            MODEL, description="Probability that an open deal is won in the end."
        )
    return found


def register(trained: TrainedModel, *, url: str, settings: Settings) -> str:
    """Log a training as a run, register it as a new version with the alias challenger.

    Returns the version's number. The run holds parameters, metrics with intervals, the data
    fingerprint, the feature list, the model card, the reliability table and the later window.
    """
    experiment = prepare(url, settings=settings)
    client = _client(url)
    commit = _commit()
    tags = {
        "mlflow.runName": f"{MODEL} {trained.report.as_of}",
        "data_fingerprint": trained.report.fingerprint,
        "verdict": trained.report.verdict,
        "kind": trained.report.kind,
        "as_of": trained.report.as_of,
        **({"git_commit": commit} if commit else {}),
    }
    run = client.create_run(experiment, tags=tags)
    run_id = str(run.info.run_id)
    try:
        with _tracking(url), tempfile.TemporaryDirectory(prefix="winward-") as scratch:
            source, model_id = _log_model(trained, run_id, Path(scratch))
            # after the model: MLflow would copy a run's earlier metrics to it, and stumble over
            # every one of them with a line of PostgreSQL's on the user's screen
            _log(client, run_id, trained, model_id)
            # inside the block: MLflow asks its global store for the logged model
            created = client.create_model_version(
                MODEL,
                source=source,
                run_id=run_id,
                model_id=model_id,
                description=f"{trained.report.verdict}; as of {trained.report.as_of}",
            )
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    client.set_registered_model_alias(MODEL, CHALLENGER, created.version)
    return str(created.version)


def _commit() -> str | None:
    """Return the commit of the code that trained, None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 # whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _log(client: MlflowClient, run_id: str, trained: TrainedModel, model_id: str) -> None:
    report = trained.report
    params = {
        "as_of": report.as_of,
        "family": report.family,
        "seed": report.seed,
        "features": len(report.features),
        "window_start": report.window_start,
        **{f"choice.{name}": value for name, value in _flat(report.choice).items()},
    }
    client.log_batch(
        run_id,
        metrics=[
            Metric(name, value, 0, 0, model_id=model_id) for name, value in report.metrics().items()
        ],
        params=[Param(name, str(value)) for name, value in params.items()],
        tags=[RunTag("suspected_leakage", str(bool(report.leaks)).lower())],
    )
    with tempfile.TemporaryDirectory(prefix="winward-") as scratch:
        folder = Path(scratch)
        written = json.dumps(report.as_json(), ensure_ascii=False, allow_nan=False, indent=1)
        (folder / "report.json").write_text(written, encoding="utf-8")
        (folder / "card.md").write_text(card(report), encoding="utf-8")
        (folder / "features.json").write_text(json.dumps(list(report.features)), encoding="utf-8")
        if report.served is not None:
            picture = reliability_svg(report.served.reliability)
            (folder / "reliability.svg").write_text(picture, encoding="utf-8")
        if trained.window is not None:
            trained.window.save(folder / "window.npz")
        client.log_artifacts(run_id, str(folder), FINDINGS)


def _flat(choice: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in choice.items():
        if isinstance(value, dict):
            found.update({f"{name}.{inner}": each for inner, each in value.items()})
        else:
            found[name] = value
    return found


@contextmanager
def _tracking(url: str) -> Iterator[None]:
    """Point MLflow's global state at our server while the block lasts; silence its advice."""
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])


def _log_model(trained: TrainedModel, run_id: str, scratch: Path) -> tuple[str, str]:
    """Log the bundle as a model from code; return its source and id."""
    code = scratch / "winward_win_rate.py"
    code.write_text(_SERVED_CODE, encoding="utf-8")
    folder = scratch / "bundle"
    folder.mkdir()
    trained.bundle.save(folder)
    numbers = ["p", "margin", "base_value", *trained.bundle.group_names]
    signature = ModelSignature(
        inputs=Schema(
            [ColSpec("double", name, required=False) for name in trained.bundle.features]
        ),
        outputs=Schema([ColSpec("double", name) for name in numbers]),
    )
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name=MODEL,
            python_model=str(code),
            artifacts={"bundle": str(folder)},
            signature=signature,
            # given, so that MLflow does not spawn a process to guess them
            pip_requirements=[f"{name}=={installed(name)}" for name in _PACKAGES],
        )
    return f"models:/{logged.model_id}", str(logged.model_id)


def version_of(url: str, alias: str) -> str | None:
    """Return the version that an alias names, None if it names none."""
    try:
        return str(_client(url).get_model_version_by_alias(MODEL, alias).version)
    except MlflowException:
        return None


def registered(url: str, version: str) -> Registered:
    """Return a version with its bundle, report and later window. Raises UnknownVersion."""
    client = _client(url)
    try:
        found = client.get_model_version(MODEL, version)
    except MlflowException:
        raise UnknownVersion(
            f"There is no version {version} of {MODEL}; 'winward models' lists them."
        ) from None
    with _tracking(url), tempfile.TemporaryDirectory(prefix="winward-") as scratch:
        findings = Path(client.download_artifacts(found.run_id, FINDINGS, dst_path=scratch))
        report = json.loads((findings / "report.json").read_text(encoding="utf-8"))
        kept = findings / "window.npz"
        window = LaterWindow.load(kept) if kept.exists() else None
        model = Path(mlflow.artifacts.download_artifacts(found.source, dst_path=scratch))
        bundle = Bundle.load(model / "artifacts" / "bundle")
    return Registered(
        version=str(found.version),
        run_id=str(found.run_id),
        bundle=bundle.with_version(str(found.version)),
        report=report,
        window=window,
    )


def newest(url: str) -> str:
    """Return the newest version's number. Raises UnknownVersion when nothing was trained."""
    numbers = [int(each.version) for each in _client(url).search_model_versions(f"name='{MODEL}'")]
    if not numbers:
        raise UnknownVersion(f"No {MODEL} model was trained yet; run 'winward train win-rate'.")
    return str(max(numbers))


def point_aliases(url: str, *, champion: str, previous: str | None) -> None:
    """Let the aliases say what the pointer of the models' folder says."""
    client = _client(url)
    client.set_registered_model_alias(MODEL, CHAMPION, champion)
    if version_of(url, CHALLENGER) == champion:  # it has won: nothing challenges it
        client.delete_registered_model_alias(MODEL, CHALLENGER)
    if previous is not None:
        client.set_registered_model_alias(MODEL, PREVIOUS, previous)
    else:
        client.delete_registered_model_alias(MODEL, PREVIOUS)


def note(url: str, *, version: str, tags: dict[str, str]) -> None:
    """Write down beside a version what was decided about it."""
    client = _client(url)
    for name, value in tags.items():
        client.set_model_version_tag(MODEL, version, name, value)


def cuts(url: str) -> list[dt.datetime]:
    """Return the cut that each registered version was trained at.

    Raises what MLflow raises when it cannot be asked: an empty answer must mean no version.
    """
    client = _client(url)
    found = client.search_model_versions(f"name='{MODEL}'", max_results=_MOST_VERSIONS)
    runs = [client.get_run(each.run_id) for each in found]
    return [dt.datetime.fromisoformat(run.data.tags["as_of"]) for run in runs]


def versions(url: str) -> list[dict[str, Any]]:
    """Return every version, newest first, with its verdict, scores, decision and aliases."""
    client = _client(url)
    try:
        found = client.search_model_versions(f"name='{MODEL}'")
        aliases = client.get_registered_model(MODEL).aliases
    except MlflowException:
        return []
    rows = []
    for each in sorted(found, key=lambda one: int(one.version), reverse=True):
        run = client.get_run(each.run_id)
        metrics = run.data.metrics
        named = [alias for alias, number in aliases.items() if str(number) == str(each.version)]
        rows.append(
            {
                "model": MODEL,
                "version": str(each.version),
                "as_of": run.data.tags.get("as_of"),
                "verdict": run.data.tags.get("verdict"),
                "kind": run.data.tags.get("kind"),
                "log_loss": metrics.get("served.log_loss"),
                "base_rate_log_loss": metrics.get("base_rate.log_loss"),
                "ece": metrics.get("served.ece"),
                "ece_by_chance": metrics.get("served.ece_by_chance"),
                "auc": metrics.get("served.auc"),
                "decision": each.tags.get("decision"),
                "aliases": sorted(named),
            }
        )
    return rows
