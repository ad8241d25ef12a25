"""Where every deal stood at a time: in which stage, since when, open or closed.

A file of its own beside ``queries.py``: the batch question over all deals, answered in SQL.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage
from crm_core.opportunities.states import known_events


@dataclass(frozen=True, slots=True)
class Standing:
    """The stage a deal stood in and since when; ``kind`` is open, on_hold, won or lost."""

    opportunity_id: str
    stage: str
    kind: str
    since: dt.datetime

    @property
    def is_closed(self) -> bool:
        """Whether the deal was won or lost."""
        return self.kind in ("won", "lost")


def standings(
    session: Session, *, opportunity_ids: Collection[str] | None, as_of: dt.datetime
) -> dict[str, Standing]:
    """Return, by deal, where each stood as known at ``as_of``; None asks for every deal.

    A deal that did not exist then, or was not known, is absent.
    """
    events = known_events(happened_by=as_of, known_at=as_of, fields=("stage",))
    if opportunity_ids is not None:
        events = events.where(OpportunityEvent.opportunity_id.in_(opportunity_ids))
    latest = (
        events.ext(distinct_on(OpportunityEvent.opportunity_id))
        .order_by(
            OpportunityEvent.opportunity_id,
            OpportunityEvent.occurred_at.desc(),
            OpportunityEvent.recorded_at.desc(),
            OpportunityEvent.sequence.desc(),
        )
        .subquery()
    )
    rows = session.execute(
        select(latest.c.opportunity_id, Stage.stage, Stage.kind, latest.c.occurred_at)
        .join(Opportunity, Opportunity.id == latest.c.opportunity_id)
        .join(
            Stage,
            and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == latest.c.new_value),
        )
        .order_by(latest.c.opportunity_id)
    )
    return {row[0]: Standing(*row) for row in rows}
