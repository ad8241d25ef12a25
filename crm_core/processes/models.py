"""Tables of processes: stage criteria, rules and their outbox, approvals, alerts, tasks, notes.

``info["scope"]`` of each table says how its rows are scoped, for the database's row-level
security: ``all`` may be read by everybody signed in, ``operations`` by sales ops and admins,
``person:column`` by whom the column names, ``parent`` by who may see the record that
``subject_kind`` and ``subject_id`` name (``subjects.py`` is the one place that decides it),
``program`` by no person.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Instant
from crm_core.opportunities.models import Opportunity
from crm_core.people.models import User

SUBJECT_KINDS = ("opportunity", "account", "contact", "lead", "activity", "order", "ticket")
_KIND = "subject_kind in ('opportunity','account','contact','lead','activity','order','ticket')"


class StageCriterion(Base):
    """What a deal must fulfil to leave (``exit``) or to enter (``entry``) a stage.

    ``kind``: ``field`` (must be filled), ``contact_role``, ``activity`` (one of a kind, done in
    the stage), ``min_days`` (in the stage), ``condition`` (see ``conditions.py``) or ``task``
    (made when the deal enters the stage, must be done). Never changed: retired and made anew.
    """

    __tablename__ = "stage_criteria"
    __table_args__ = (
        CheckConstraint("moment in ('exit','entry')", name="moment"),
        CheckConstraint(
            "kind in ('field','contact_role','activity','min_days','condition','task')",
            name="kind",
        ),
        {"info": {"scope": "all"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    pipeline: Mapped[str] = mapped_column(Text)
    stage: Mapped[str] = mapped_column(Text)
    moment: Mapped[str] = mapped_column(String(8))
    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[Any] = mapped_column(JSONB)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    retired_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    retired_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))


class StageOverride(Base):
    """A stage change made although criteria were missing: which, by whom and why."""

    __tablename__ = "stage_overrides"
    __table_args__ = (
        CheckConstraint("reason <> ''", name="reason"),
        {"info": {"scope": "parent:opportunity_id"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    opportunity_id: Mapped[str] = mapped_column(ForeignKey(Opportunity.id), index=True)
    from_stage: Mapped[str] = mapped_column(Text)
    to_stage: Mapped[str] = mapped_column(Text)
    missing: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    reason: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    approval_id: Mapped[int | None] = mapped_column(BigInteger)
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)


class Rule(Base):
    """A named automation; what it does stands in its versions."""

    __tablename__ = "rules"
    __table_args__ = ({"info": {"scope": "operations"}},)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)


class RuleVersion(Base):
    """What a rule says from ``valid_from`` on, until its next version. Never changed.

    For an event the newest version with ``valid_from`` ≤ the event's ``recorded_at`` counts.
    """

    __tablename__ = "rule_versions"
    __table_args__ = ({"info": {"scope": "operations"}},)

    rule_id: Mapped[int] = mapped_column(ForeignKey(Rule.id), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    event_kind: Mapped[str] = mapped_column(String(48), index=True)
    condition: Mapped[Any] = mapped_column(JSONB)
    actions: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")
    valid_from: Mapped[dt.datetime] = mapped_column(Instant)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    comment: Mapped[str | None] = mapped_column(Text)


class ProcessEvent(Base):
    """The outbox: something that happened, written in the transaction in which it happened.

    ``facts`` is the subject as it stood then, ``changed`` field → [old, new]. An event that a
    rule's action caused names its cause, the first of the chain, and the rules on the way.
    """

    __tablename__ = "process_events"
    __table_args__ = (
        UniqueConstraint("source_key"),
        Index(
            "ix_process_events_waiting", "subject_kind", "subject_id", "id",
            postgresql_where=text("processed_at is null"),
        ),
        Index("ix_process_events_kind", "kind", "recorded_at"),
        CheckConstraint("(depth = 0) = (cause_id is null)", name="cause"),
        {"info": {"scope": "program"}},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(String(48))
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    actor_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)
    source_key: Mapped[str | None] = mapped_column(Text)
    cause_id: Mapped[int | None] = mapped_column(BigInteger)
    root_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    depth: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    chain: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), default=list, server_default="{}")
    processed_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    retry_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    error: Mapped[str | None] = mapped_column(Text)


class RuleRun(Base):
    """What one version of a rule did about one event: at most one row, so at most one effect.

    ``outcome``: ``done``, ``blocked`` (it would go round in a circle), ``stale`` (a later event
    of the record was handled before) or ``failed``.
    """

    __tablename__ = "rule_runs"
    __table_args__ = (
        CheckConstraint("outcome in ('done','blocked','stale','failed')", name="outcome"),
        {"info": {"scope": "operations"}},
    )

    rule_id: Mapped[int] = mapped_column(ForeignKey(Rule.id), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey(ProcessEvent.id), primary_key=True, index=True)
    outcome: Mapped[str] = mapped_column(String(8))
    effects: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)


class WebhookEndpoint(Base):
    """Where webhooks go."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = ({"info": {"scope": "operations"}},)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    url: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))


class WebhookSecret(Base):
    """A key that signs messages to an endpoint, until ``ends_at``. The web writes it, unread."""

    __tablename__ = "webhook_secrets"
    __table_args__ = ({"info": {"scope": "operations"}},)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey(WebhookEndpoint.id), index=True)
    secret: Mapped[str] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    ends_at: Mapped[dt.datetime | None] = mapped_column(Instant)


class WebhookDelivery(Base):
    """One message to one endpoint; its id is in the message, so that receivers know repeats."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("state in ('waiting','delivered','failed')", name="state"),
        UniqueConstraint("endpoint_id", "event_id", "rule_id", "rule_version"),
        Index(
            "ix_webhook_deliveries_waiting", "next_attempt_at",
            postgresql_where=text("state = 'waiting'"),
        ),
        {"info": {"scope": "operations"}},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey(WebhookEndpoint.id))
    event_id: Mapped[int] = mapped_column(ForeignKey(ProcessEvent.id), index=True)
    rule_id: Mapped[int] = mapped_column(BigInteger)
    rule_version: Mapped[int] = mapped_column(Integer)
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(12), default="waiting", server_default="waiting")
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    next_attempt_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    delivered_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    last_status: Mapped[int | None] = mapped_column(SmallInteger)
    last_error: Mapped[str | None] = mapped_column(Text)


class ApprovalPolicy(Base):
    """Who approves what: the steps for a kind of subject. Never changed: the newest counts."""

    __tablename__ = "approval_policies"
    __table_args__ = (
        UniqueConstraint("purpose", "version"),
        {"info": {"scope": "all"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(32))
    version: Mapped[int] = mapped_column(Integer)
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    allows_self: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))


class Approval(Base):
    """A request to approve ``content``, whose SHA-256 is what every decision names.

    ``approvers`` are the user ids who may decide the present step. A database trigger refuses
    any change of what was asked.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        CheckConstraint("state in ('pending','approved','rejected','withdrawn')", name="state"),
        CheckConstraint("(state = 'pending') = (ended_at is null)", name="ended"),
        Index(
            "uq_approvals_pending", "purpose", "subject_kind", "subject_id", unique=True,
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_approvals_approvers", "approvers", postgresql_using="gin"),
        {"info": {"scope": "person:requested_by,approvers"}},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(32))
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    content_hash: Mapped[str] = mapped_column(String(64))
    policy_id: Mapped[int] = mapped_column(ForeignKey(ApprovalPolicy.id))
    requested_by: Mapped[str] = mapped_column(ForeignKey(User.id), index=True)
    requested_at: Mapped[dt.datetime] = mapped_column(Instant)
    state: Mapped[str] = mapped_column(String(12))
    step: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    approvers: Mapped[list[str]] = mapped_column(ARRAY(Text))
    escalates_at: Mapped[dt.datetime | None] = mapped_column(Instant, index=True)
    ended_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    result: Mapped[str | None] = mapped_column(Text)


class ApprovalDecision(Base):
    """What somebody did about a request. Append-only; a trigger refuses change and removal."""

    __tablename__ = "approval_decisions"
    __table_args__ = (
        CheckConstraint(
            "decision in ('approve','reject','delegate','escalate','withdraw')", name="decision"
        ),
        {"info": {"scope": "person:approval"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    approval_id: Mapped[int] = mapped_column(ForeignKey(Approval.id), index=True)
    step: Mapped[int] = mapped_column(SmallInteger)
    decision: Mapped[str] = mapped_column(String(12))
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    to_users: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    comment: Mapped[str | None] = mapped_column(Text)
    content_hash: Mapped[str] = mapped_column(String(64))
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)


class Alert(Base):
    """Something one person should know. One open alert per person and ``dedupe_key``.

    ``kind`` and ``words`` give the sentence in any language; ``visible_at`` lies ahead when the
    person wants this kind in a daily digest.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint("severity in ('info','warning','urgent')", name="severity"),
        Index(
            "uq_alerts_open", "user_id", "dedupe_key", unique=True,
            postgresql_where=text("resolved_at is null"),
        ),
        {"info": {"scope": "person:user_id"}},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id))
    kind: Mapped[str] = mapped_column(String(32))
    severity: Mapped[str] = mapped_column(String(8))
    dedupe_key: Mapped[str] = mapped_column(Text)
    subject_kind: Mapped[str | None] = mapped_column(String(16))
    subject_id: Mapped[str | None] = mapped_column(Text)
    words: Mapped[dict[str, Any]] = mapped_column(JSONB)
    times: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    first_at: Mapped[dt.datetime] = mapped_column(Instant)
    last_at: Mapped[dt.datetime] = mapped_column(Instant)
    visible_at: Mapped[dt.datetime] = mapped_column(Instant)
    read_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    snoozed_until: Mapped[dt.datetime | None] = mapped_column(Instant)
    resolved_at: Mapped[dt.datetime | None] = mapped_column(Instant)


class AlertPreference(Base):
    """How a person wants a kind of alert: at once, in the day's digest, or not at all."""

    __tablename__ = "alert_preferences"
    __table_args__ = (
        CheckConstraint("mode in ('now','digest','off')", name="mode"),
        {"info": {"scope": "person:user_id"}},
    )

    user_id: Mapped[str] = mapped_column(ForeignKey(User.id), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    mode: Mapped[str] = mapped_column(String(8))


class AssignmentPolicy(Base):
    """How leads find their owner: ordered rules, each a condition and a pool. Never changed."""

    __tablename__ = "assignment_policies"
    __table_args__ = ({"info": {"scope": "operations"}},)

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    rules: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    default_capacity: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))


class AssignmentCapacity(Base):
    """How many open leads one person takes at most, where it differs from the policy's."""

    __tablename__ = "assignment_capacities"
    __table_args__ = (
        CheckConstraint("most_open >= 0", name="most_open"),
        {"info": {"scope": "operations"}},
    )

    user_id: Mapped[str] = mapped_column(ForeignKey(User.id), primary_key=True)
    most_open: Mapped[int] = mapped_column(Integer)
    changed_at: Mapped[dt.datetime] = mapped_column(Instant)
    changed_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))


class LeadAssignment(Base):
    """The log of each decision: who could have got the lead, with which chance, and who did."""

    __tablename__ = "lead_assignments"
    __table_args__ = (
        CheckConstraint("outcome in ('assigned','no_rule','no_capacity')", name="outcome"),
        CheckConstraint("(outcome = 'assigned') = (user_id is not null)", name="assigned"),
        {"info": {"scope": "operations"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    lead_id: Mapped[str] = mapped_column(Text, index=True)
    policy_version: Mapped[int | None] = mapped_column(Integer)
    rule: Mapped[int | None] = mapped_column(SmallInteger)
    former_owner_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id), index=True)
    outcome: Mapped[str] = mapped_column(String(12))
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    propensity: Mapped[float | None] = mapped_column(Double)
    seed: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[dt.datetime] = mapped_column(Instant)


class Task(Base):
    """Something to do about a record. Seen by its assignee and by who may see the record."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(_KIND, name="subject_kind"),
        CheckConstraint("title <> ''", name="title"),
        CheckConstraint("done_at is null or cancelled_at is null", name="ended_once"),
        UniqueConstraint("source_key"),
        Index("ix_tasks_subject", "subject_kind", "subject_id"),
        Index(
            "ix_tasks_open", "assignee_id", "due_on",
            postgresql_where=text("done_at is null and cancelled_at is null"),
        ),
        {"info": {"scope": "parent, person:assignee_id"}},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    assignee_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    due_on: Mapped[dt.date | None] = mapped_column(Date)
    remind_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    reminded_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    done_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    done_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    cancelled_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    criterion_id: Mapped[int | None] = mapped_column(ForeignKey(StageCriterion.id), index=True)
    source_key: Mapped[str | None] = mapped_column(Text)


class Note(Base):
    """What somebody wrote about a record; plain text, escaped wherever it is shown."""

    __tablename__ = "notes"
    __table_args__ = (
        CheckConstraint(_KIND, name="subject_kind"),
        CheckConstraint("body <> ''", name="body"),
        Index("ix_notes_subject", "subject_kind", "subject_id", "created_at"),
        {"info": {"scope": "parent"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(Text)
    author_id: Mapped[str] = mapped_column(ForeignKey(User.id), index=True)
    body: Mapped[str] = mapped_column(Text)
    mentions: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    withdrawn_at: Mapped[dt.datetime | None] = mapped_column(Instant)
