"""``winward publish-kpis|replay-kpis``: write the day's numbers down, and compute them again."""

from __future__ import annotations

import json

import typer

from crm_core import clock, settings
from serving.commandline.languages import parse_locale
from serving.commandline.times import parse_as_of

DIFFERS = 1
"""The exit code when a published number does not come out the same."""
SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("publish-kpis")(publish_kpis)
    app.command("replay-kpis")(replay_kpis)


def publish_kpis(
    period: list[str] = typer.Option(
        [], "--period", help="2026-Q4, 2026-11, …; may be repeated. Default: this month, quarter."
    ),
    as_of: str | None = typer.Option(
        None, "--as-of", metavar="T", help="Time to stand at, as of which each value stays known."
    ),
    cause: str = typer.Option("by_hand", hidden=True, help="What made it run (set by jobs)."),
    as_json: bool = typer.Option(False, "--json", help="Print the counts as JSON for a script."),
) -> None:
    """Write down every metric of the company, each org unit and each person, for good.

    Each value keeps the version of its definition; winward replay-kpis computes it again.
    """
    from crm_core.database import transaction
    from crm_core.kpis.publishing import publish
    from crm_core.people.queries import calendar
    from serving.commandline.store import store

    with store(settings.load()) as engine, transaction(engine) as session:
        own, now = calendar(session), clock.now()
        moment = parse_as_of(as_of, calendar=own, now=now)
        done = publish(
            session,
            as_of=moment,
            published_at=now,
            cause="nightly" if cause == "nightly" else "by_hand",
            periods=[own.parse(each) for each in period] or None,
        )
        told = {
            "publication": done.publication.id,
            "as_of": moment.isoformat(),
            "values": done.values,
            "left_out": list(done.left_out),
        }
    if as_json:
        print(json.dumps(told, indent=1))
        return
    print(f"{done.values} values published as number {told['publication']}.")
    if done.left_out:
        print(f"Left out, because they can no longer be computed: {', '.join(done.left_out)}.")


def replay_kpis(
    publication: int | None = typer.Argument(None, help="Its number; default: the newest."),
    locale: str = typer.Option(
        "en", callback=parse_locale, help="Language: en or zh-CN (zh for short)."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print every difference as JSON."),
) -> None:
    """Compute a publication's numbers again at their own time; exits with 1 if any differs.

    What was corrected since was not known then and changes nothing. What differs rests on facts
    stored without a history, or on a definition of another version; it is named.
    """
    from dataclasses import asdict

    from sqlalchemy.orm import Session

    from crm_core.kpis import published
    from serving.commandline.store import store

    with store(settings.load()) as engine, Session(engine) as session:
        if publication is None:
            newest = published.publications(session, as_of=clock.now(), limit=1)
            if not newest:
                raise published.NoPublication("Nothing was published yet.")
            publication = newest[0].id
        found = published.replay(session, publication)
    if as_json:
        print(json.dumps(asdict(found), default=str, ensure_ascii=False, indent=1))
    else:
        print(f"{found.compared} values of publication {found.publication_id} computed again.")
        for each in found.mismatches[:SHOWN]:
            print(
                f"{each.metric} v{each.version} {each.subject_kind} {each.subject_id} "
                f"{each.period} {each.slice} {each.slice_key or ''}: {each.published} → "
                f"{each.recomputed}. {each.sentence(locale)}"
            )
        if len(found.mismatches) > SHOWN:
            print(f"… and {len(found.mismatches) - SHOWN} more; --json lists all.")
    if found.mismatches:
        raise typer.Exit(DIFFERS)
