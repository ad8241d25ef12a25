"""The condition of a store and its service, as ``winward status`` tells it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from crm_core import migrations
from crm_core.activities.models import Activity
from crm_core.advice.models import Prediction
from crm_core.opportunities.models import Opportunity
from crm_core.people.models import Company, User
from crm_core.settings import Settings
from serving.commandline import home, milestones


def gathered(engine: Engine, settings: Settings) -> dict[str, Any]:
    """Return what ``winward status`` says, by name."""
    with Session(engine) as session:
        company = session.scalar(select(Company))
        tables = {"users": User, "opportunities": Opportunity, "activities": Activity}
        return {
            "home": str(settings.home),
            "database": session.scalar(text("select current_setting('server_version')")),
            "migration": migrations.applied(engine),
            "company": company.name if company else None,
            "simulated": company.is_simulated if company else None,
            "rows": {
                name: session.scalar(select(func.count()).select_from(table))
                for name, table in tables.items()
            },
            "models": _models(settings),
            "last_scored": session.scalar(select(func.max(Prediction.scored_at))),
            "first_start": milestones.reached(engine),
            "jobs": _jobs(session),
            "process": home.holder(settings.home),
        }


def _models(settings: Settings) -> dict[str, Any]:
    """Return the version each model serves, as its pointer says."""
    pointers = sorted(settings.models_folder.glob("*/current.json"))
    return {path.parent.name: json.loads(path.read_text()).get("version") for path in pointers}


def _jobs(session: Session) -> dict[str, int]:
    """Return the number of jobs by state, nothing where the queue is not installed."""
    if session.scalar(text("select to_regclass('procrastinate.procrastinate_jobs')")) is None:
        return {}
    counted = text(
        "select status::text as state, count(*) as n from procrastinate.procrastinate_jobs"
        " group by status order by status"
    )
    return {row.state: row.n for row in session.execute(counted)}
