"""``winward features|train|promote|rollback|score|models``: from facts to explained scores."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from crm_core import clock, settings
from crm_core.errors import Conflict, Invalid
from serving.commandline import wording
from serving.commandline.languages import parse_locale
from serving.commandline.times import parse_as_of

if TYPE_CHECKING:
    import datetime as dt

    from sqlalchemy import Engine

    from crm_core.periods import FiscalCalendar
    from crm_core.settings import Settings
    from serving.commandline.progress import Steps
    from training.pipeline import Promotion, Trained

AS_OF = typer.Option(
    None,
    "--as-of",
    metavar="T",
    help="Time to stand at: a day (00:00 at the company) or an ISO time; default: now.",
)
AS_JSON = typer.Option(False, "--json", help="Print the result as JSON for a script.")


class NotPromoted(Conflict):
    """A gate refused the version; what it said is printed before."""


class NoReason(Invalid):
    """A rule of data health was to be overruled without saying why."""


def register(app: typer.Typer) -> None:
    """Add the commands; a model is named after its verb, so that churn and revenue can follow."""
    for verb, what, command, name in (
        ("features", "Point-in-time features.", build, "build"),
        ("train", "Train a model.", train, "win-rate"),
        ("promote", "Make a trained version the one that serves.", promote, "win-rate"),
        ("rollback", "Serve the version before again.", rollback, "win-rate"),
        ("score", "Score deals with the serving model.", score, "win-rate"),
    ):
        group = typer.Typer(help=what, no_args_is_help=True)
        group.callback()(_group)
        group.command(name)(command)
        app.add_typer(group, name=verb)
    app.command()(models)


def _group() -> None:
    """Keep ``winward train`` a group although it has one command so far."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command works with: the store, its URLs, the company's calendar and the present."""

    settings: Settings
    engine: Engine
    urls: dict[str, str]
    calendar: FiscalCalendar
    now: dt.datetime
    steps: Steps

    def moment(self, as_of: str | None) -> dt.datetime:
        """Return the time that ``--as-of`` names. Raises NotATime."""
        return parse_as_of(as_of, calendar=self.calendar, now=self.now)


@contextmanager
def _opened(*, trials: int | None = None) -> Iterator[Opened]:
    """Open the store and read the clock; progress goes to stderr, results to stdout."""
    from rich.console import Console
    from sqlalchemy.orm import Session

    from crm_core.people.queries import calendar
    from serving.commandline.progress import Steps
    from serving.commandline.store import database_urls, facts

    chosen = settings.read(trials=trials)
    console = Console(stderr=True, highlight=False)
    with database_urls(chosen) as urls, facts(urls["winward"]) as engine:
        with Session(engine) as session:
            company_calendar = calendar(session)
        # libraries print their own progress; a script that reads our result must not meet it
        with contextlib.redirect_stdout(sys.stderr):
            yield Opened(chosen, engine, urls, company_calendar, clock.now(), Steps(console))


def _tell(result: dict[str, Any], *, as_json: bool, lines: list[str]) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        print("\n".join(lines))


def build(as_of: str | None = AS_OF, as_json: bool = AS_JSON) -> None:
    """Make a feature row of every open deal at each of its past landmarks, as known then.

    Facts known at T become rows (creation, stage entries, Mondays), are checked, stored as
    Parquet and registered; the newest row of each open deal goes to the online store.
    """
    from features import snapshots

    with _opened() as opened:
        moment = opened.moment(as_of)
        with opened.steps.step("Build features") as advance:
            report = snapshots.build(
                opened.engine,
                as_of=moment,
                recorded_at=opened.now,
                settings=opened.settings,
                progress=advance,
                feast_url=opened.urls["feast"],
            )
        gone = _pruned(opened)
    result = {**report.as_json(), "builds_removed": gone}
    lines = wording.build(report, opened.calendar.time_zone)
    if gone:
        lines.append(f"Removed older builds that no model rests on: {gone}.")
    _tell(result, as_json=as_json, lines=lines)


def _pruned(opened: Opened) -> int:
    """Remove old builds and return how many; models are asked only when there are too many."""
    from features import builds, pruning

    if len(builds.builds(opened.settings)) <= pruning.KEPT:
        return 0
    from training import pipeline

    trained = pipeline.trained_cuts(mlflow_url=opened.urls["mlflow"])
    return len(pruning.prune(opened.settings, trained_at=trained))


def train(
    as_of: str | None = AS_OF,
    trials: int | None = typer.Option(None, min=0, max=1000, help="Optuna trials; 0: defaults."),
    seed: int = typer.Option(7, help="The same seed gives the same model."),
    promoting: bool = typer.Option(
        True, "--promote/--no-promote", help="Let it serve if it passes the gates."
    ),
    despite_health: str | None = typer.Option(
        None,
        "--despite-health",
        metavar="REASON",
        help="Train although the data fail a rule that stops training; the reason is kept.",
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Train the win-rate model on what was known at T, judge it on later time, register it.

    The rules of data health run first; a critical one that fails stops the training. A model
    that is no better than the base rate is reported as that, and the calibrated base rate is
    what will be served. Run 'winward features build' for the same T first: the newest build up
    to T is learnt from, and an older one is named.
    """
    from features.builds import latest_build

    with _opened(trials=trials) as opened:
        failing = _stopping(opened)
        overruled = None if despite_health is None else _reason(despite_health, failing)
        moment = opened.moment(as_of)
        trained = _trained(opened, moment, seed=seed, blocking=() if overruled else failing)
        built = latest_build(opened.settings, as_of=moment).as_of
        result = {
            "version": trained.version,
            "report": trained.report.as_json(),
            "features_built_as_of": built.isoformat(),
        }
        lines = wording.training(trained.version, trained.report, opened.calendar.time_zone)
        lines += wording.older_build(built, moment, opened.calendar.time_zone)
        if overruled:
            _note(opened, trained.version, overruled)
            result["despite_health"] = overruled
            lines += [f"Trained despite data health: {overruled['despite_health']}"]
        if promoting:
            promotion = _promoted(opened, trained.version, force=False)
            result["promotion"] = asdict(promotion)
            lines += wording.promotion(promotion)
    _tell(result, as_json=as_json, lines=lines)


def _trained(
    opened: Opened, moment: dt.datetime, *, seed: int, blocking: tuple[str, ...]
) -> Trained:
    from features import labels
    from training import pipeline

    with opened.steps.step("Train win-rate"):
        return pipeline.train_win_rate(
            settings=opened.settings,
            mlflow_url=opened.urls["mlflow"],
            feast_url=opened.urls["feast"],
            outcomes=labels.outcomes(opened.engine, known_at=moment),
            as_of=moment,
            seed=seed,
            blocking=blocking,
        )


def _stopping(opened: Opened) -> tuple[str, ...]:
    """Run the rules of data health; return, in sentences, what stops a training."""
    from serving import data_health

    with opened.steps.step("Check the data"):
        return data_health.stopping_training(opened.engine, now=opened.now)


def _reason(given: str, failing: tuple[str, ...]) -> dict[str, str] | None:
    """Return what is kept of training despite failing rules, None where none fails.

    Raises NoReason.
    """
    if not given.strip():
        raise NoReason("Say why to train despite data health: --despite-health REASON.")
    if not failing:
        return None
    return {"despite_health": given.strip()[:1000], "health_findings": "; ".join(failing)[:4000]}


def _note(opened: Opened, version: str, tags: dict[str, str]) -> None:
    from training import pipeline

    pipeline.note(mlflow_url=opened.urls["mlflow"], version=version, tags=tags)


def _promoted(opened: Opened, version: str | None, *, force: bool) -> Promotion:
    from training import pipeline

    with opened.steps.step("Ask the gates"):
        return pipeline.promote_win_rate(
            settings=opened.settings,
            mlflow_url=opened.urls["mlflow"],
            version=version,
            force=force,
        )


def promote(
    version: str | None = typer.Argument(None, help="Version to serve; default: the newest."),
    force: bool = typer.Option(
        False, "--force", help="Promote although a gate refuses; that is written down."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Let a version of the win-rate model serve if it passes the gates; servers follow at once."""
    with _opened() as opened:
        found = _promoted(opened, version, force=force)
    _tell(asdict(found), as_json=as_json, lines=wording.promotion(found))
    if not found.promoted:
        raise NotPromoted(f"Version {found.version} does not serve; --force overrules the gates.")


def rollback(as_json: bool = AS_JSON) -> None:
    """Serve the win-rate model that served before the present one; running servers follow."""
    from training import pipeline

    with _opened() as opened:
        version = pipeline.rollback_win_rate(
            settings=opened.settings, mlflow_url=opened.urls["mlflow"]
        )
    lines = [f"Version {version} of win-rate serves again."]
    _tell({"model": "win_rate", "version": version}, as_json=as_json, lines=lines)


def score(
    as_of: str | None = AS_OF,
    out: Path | None = typer.Option(
        None, metavar="F", help="CSV or Parquet file for the scores, by its ending."
    ),
    pairs: Path | None = typer.Option(
        None, help="File with opportunity_id and as_of: score these instead of all open deals."
    ),
    locale: str = typer.Option(
        "en", callback=parse_locale, help="Language of the reasons: en or zh-CN (zh for short)."
    ),
    with_current_model: bool = typer.Option(
        False,
        "--with-current-model",
        help="Use today's model although it learnt from what came after T; each row then says so, "
        "and none of those is written down.",
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Score every deal open as of T with its reasons; write them down, and to F if given.

    The newest served version that had been trained by T answers; before the first there is none.
    A row that cannot be scored has empty numbers, abstained is true and reason_1 says what is
    missing. p_win_in_period is by the end of T's fiscal quarter; it and median_days_to_close are
    empty where later time did not bear them out.
    """
    from serving import score_file, scoring, table_file
    from serving.champions import lineage
    from serving.commandline.pairs import NotPairs, read_pairs

    if pairs is not None and as_of is not None:
        raise NotPairs("--pairs brings a time for each deal; leave --as-of out.")
    if out is not None:
        table_file.check_target(out)
    with _opened() as opened:
        common: dict[str, Any] = {
            "models": lineage(opened.settings.models_folder),
            "settings": opened.settings,
            "scored_at": opened.now,
            "in_hindsight": with_current_model,
        }
        with opened.steps.step("Score deals"):
            if pairs is not None:
                asked = read_pairs(pairs, calendar=opened.calendar, now=opened.now)
                views = scoring.score_pairs(opened.engine, asked, **common)
            else:
                moment = opened.moment(as_of)
                views = scoring.score_many(
                    opened.engine, opportunity_ids=None, as_of=moment, **common
                )
        if out is not None:
            zone = opened.calendar.time_zone
            table_file.write(score_file.as_frame(views, time_zone=zone, locale=locale), out)
    summary = score_file.summary(views)
    _tell(summary, as_json=as_json, lines=score_file.lines(summary, out=out))


def models(as_json: bool = AS_JSON) -> None:
    """List the trained versions of each model: when, how good, which serves."""
    from training import pipeline

    with _opened() as opened:
        found = pipeline.versions(mlflow_url=opened.urls["mlflow"])
    _tell(
        {"models": found}, as_json=as_json, lines=wording.versions(found, opened.calendar.time_zone)
    )
