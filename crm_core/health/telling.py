"""Telling who runs the processes what a run of data health found; told once while it stays so."""

from __future__ import annotations

import hashlib

from sqlalchemy.orm import Session

from crm_core.health.queries import Checkup
from crm_core.processes import alerts

NAMED = 5


def tell(session: Session, found: Checkup) -> None:
    """Raise one alert for the rules that fail; resolve those of other sets of rules.

    The same rules failing again count up and are no news; another set is.
    """
    failing = sorted(found.failing, key=lambda each: each.rule.severity != "critical")
    critical = sum(each.rule.severity == "critical" for each in failing)
    which = "\n".join(sorted(each.rule.id for each in failing))
    key = f"health:{hashlib.sha256(which.encode()).hexdigest()[:16]}"
    alerts.keep_only(
        session, kind="data_health", dedupe_keys=[key] if failing else [], now=found.ran_at
    )
    if not failing:
        return
    people = alerts.people_in(session, ["sales_ops"]) or alerts.people_in(session, ["admin"])
    for user_id in people:
        alerts.raise_alert(
            session, user_id=user_id, kind="data_health", dedupe_key=key, now=found.ran_at,
            severity="warning" if critical else "info",
            words={"count": len(failing), "critical": critical,
                   "rules": [list(each.rule.names) for each in failing[:NAMED]]},
        )  # fmt: skip
