"""Who acts, what they may see, when and from where: what every operation of a process is given."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.people import permissions
from crm_core.people.queries import HasRole, Visibility

OPERATES = frozenset({"sales_ops", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """A person at work; ``viewer`` is None for the program itself, which may see everything."""

    viewer: HasRole | None
    visibility: Visibility
    now: dt.datetime
    channel: audit.Channel
    address: str | None = None

    @property
    def user_id(self) -> str | None:
        """The person's id, None for the program."""
        return None if self.viewer is None else self.viewer.id

    def requires_operations(self) -> None:
        """Raise MayNot unless the person runs the processes (sales ops, admin)."""
        if self.viewer is not None and self.viewer.role not in OPERATES:
            raise permissions.MayNot(
                f"Your role ({self.viewer.role}) may not change processes; ask sales operations."
            )

    def log(
        self,
        session: Session,
        action: str,
        table: str,
        record_id: object,
        changes: Mapping[str, tuple[object, object]],
    ) -> None:
        """Write the action into the audit log."""
        audit.record(
            session, actor=self.user_id, action=action, table=table, record_id=str(record_id),
            changes=changes, occurred_at=self.now, channel=self.channel, address=self.address,
        )  # fmt: skip


def program(now: dt.datetime) -> Acting:
    """Return the program itself at work, as its jobs are."""
    return Acting(viewer=None, visibility=Visibility(everyone=True), now=now, channel="job")
