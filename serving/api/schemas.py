"""The JSON of deals and scores. Amounts are decimal text in major units, times are UTC."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from crm_core import money
from crm_core.opportunities import views as opportunities
from serving.deals import DealLine, DealsView, DealView
from serving.scores import ScoreView


class _Plain(BaseModel):
    """Read from the attributes of a frozen value."""

    model_config = ConfigDict(from_attributes=True)


class Money(_Plain):
    """An amount in major units, as exact decimal text, with its ISO 4217 currency."""

    amount: Decimal = Field(validation_alias="major")
    currency: str


class GivenScore(_Plain):
    """The latest probability given for the deal."""

    p_win: float | None
    low: float | None
    high: float | None
    kind: str = Field(description="model, base_rate or none (abstained).")
    as_of: dt.datetime
    model_version: str
    abstained: str | None


class DealSummary(_Plain):
    """A deal in the list."""

    id: str
    name: str | None
    account_id: str | None
    account_name: str | None
    owner_id: str | None
    owner_name: str | None
    pipeline: str
    stage: str
    stage_kind: str | None
    amount: Money | None
    expected_close_on: dt.date | None
    is_overdue: bool
    created_at: dt.datetime
    closed_at: dt.datetime | None
    outcome: str | None
    last_contact_at: dt.datetime | None
    days_silent: int | None = Field(
        description="Company days since the last contact; null when there was none, or when closed."
    )
    score: GivenScore | None

    @classmethod
    def of(cls, line: DealLine) -> DealSummary:
        """Return the JSON of a line."""
        deal = line.deal
        given = None
        if deal.p_kind is not None and deal.p_as_of is not None:
            given = GivenScore(
                p_win=deal.p_win, low=deal.low, high=deal.high, kind=deal.p_kind,
                as_of=deal.p_as_of, model_version=deal.model_version or "",
                abstained=deal.abstained,
            )  # fmt: skip
        own = {name: getattr(deal, name, None) for name in cls.model_fields}
        return cls.model_validate(
            own
            | {
                "is_overdue": line.is_overdue,
                "days_silent": line.days_silent,
                "last_contact_at": deal.touched_at,
                "score": given,
            }
        )


class DealPage(BaseModel):
    """A page of the list, with the count and the sums of the whole list, by currency."""

    items: list[DealSummary]
    next_cursor: str | None
    total: int
    amounts: list[Money]

    @classmethod
    def of(cls, view: DealsView) -> DealPage:
        """Return the JSON of a page."""
        return cls(
            items=[DealSummary.of(line) for line in view.lines],
            next_cursor=view.next_cursor,
            total=view.total,
            amounts=[Money.model_validate(amount) for amount in view.amounts],
        )


class Change(_Plain):
    """One change of one field. An amount is money, a date ISO 8601, anything else text."""

    field: str
    old: Money | dt.date | str | None
    new: Money | dt.date | str | None
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    by: str | None


class Participant(_Plain):
    """A contact who takes part in the deal."""

    name: str
    title: str | None
    seniority: str | None
    role: str | None
    email: str | None
    phone: str | None
    added_at: dt.datetime


class Activity(_Plain):
    """Something done with or for the customer."""

    kind: str
    occurred_at: dt.datetime
    by: str | None
    contact: str | None
    direction: str | None
    minutes: int | None
    outcome: str | None


class PastScore(_Plain):
    """The last probability given on a company day, or worked out in hindsight for it."""

    day: dt.date
    as_of: dt.datetime
    p_win: float
    low: float | None
    high: float | None
    kind: str
    model_version: str
    is_hindsight: bool = Field(
        description="Whether the model had learnt from what came after; nobody was told it then."
    )


class Deal(DealSummary):
    """One deal with everything its page shows."""

    industry: str | None
    forecast_category: str | None
    product_name: str | None
    source: str | None
    campaign_name: str | None
    lost_reason: str | None
    history: str = Field(description="full, or none when only the deal's last state is known.")
    custom: dict[str, str]
    changes: list[Change]
    contacts: list[Participant]
    activities: list[Activity]
    activities_total: int
    past_scores: list[PastScore] = Field(description="What was said then.")
    hindsight_scores: list[PastScore] = Field(
        description="What today's model would have said before; only with hindsight=true."
    )

    @classmethod
    def of(cls, view: DealView) -> Deal:  # type: ignore[override]
        """Return the JSON of one deal."""
        summary = DealSummary.of(view.line).model_dump(by_alias=True)
        facts = {name: getattr(view.facts, name, None) for name in _FACTS}
        return cls.model_validate(
            {
                **summary,
                **facts,
                "amount": view.facts.amount,
                "custom": dict(view.facts.custom),
                "changes": [_change(each) for each in view.changes],
                "contacts": view.participants,
                "activities": view.timeline.rows,
                "activities_total": view.timeline.total,
                "past_scores": view.past_scores,
                "hindsight_scores": view.hindsight_scores,
            }
        )


_FACTS = (
    "industry", "forecast_category", "product_name", "source", "campaign_name", "lost_reason",
    "history",
)  # fmt: skip


def _change(change: opportunities.Change) -> dict[str, Any]:
    def plain(value: opportunities.Value) -> Any:  # noqa: ANN401 - money, a date or text
        return Money.model_validate(value) if isinstance(value, money.Money) else value

    return {
        "field": change.field,
        "old": plain(change.old),
        "new": plain(change.new),
        "occurred_at": change.occurred_at,
        "recorded_at": change.recorded_at,
        "by": change.by,
    }


class Reason(BaseModel):
    """One reason in words; ``supports`` is true when it goes with a higher probability."""

    group: str
    supports: bool
    contribution: float = Field(description="In log-odds.")
    text: str


class Effect(BaseModel):
    """One group's share of the probability; all points sum to it less the base's."""

    group: str
    name: str
    contribution: float = Field(description="In log-odds.")
    points: float = Field(description="In probability: 0.11 is eleven percentage points.")


class Score(BaseModel):
    """What is said of a deal as of a time. Without a number, ``abstained`` says what is missing."""

    opportunity_id: str
    as_of: dt.datetime
    kind: str = Field(description="model, base_rate or none (abstained).")
    p_win: float | None
    p_win_in_period: float | None = Field(
        description="Chance of a win by the end of the fiscal quarter of as_of."
    )
    low: float | None
    high: float | None
    n_similar: int | None = Field(
        description="Deals that the bounds rest on: for a model later ones with such scores, for a "
        "base rate all closed ones."
    )
    median_days_to_close: float | None = Field(
        description="Days within which half of such deals have ended, won or lost."
    )
    horizon: str
    model_version: str | None
    margin: float | None = Field(description="Log-odds of p_win; base_value + contributions.")
    base_value: float | None
    effects: list[Effect]
    reasons: list[Reason]
    note: str | None
    hindsight: str | None = Field(
        description="Said where the model had learnt from what came after as_of."
    )
    abstained: str | None

    @classmethod
    def of(cls, view: ScoreView, *, language: str) -> Score:
        """Return the JSON of a score, its words in a language."""
        plain = {
            name: getattr(view, name)
            for name in (
                "opportunity_id", "as_of", "kind", "p_win", "p_win_in_period", "low", "high",
                "n_similar", "median_days_to_close", "model_version", "margin", "base_value",
            )
        }  # fmt: skip
        return cls(
            **plain,
            horizon=view.horizon.text(language),
            effects=[
                Effect(
                    group=each.group, name=each.name.text(language),
                    contribution=each.contribution, points=each.points,
                )
                for each in view.effects
            ],
            reasons=[
                Reason(
                    group=each.group, supports=each.supports, contribution=each.contribution,
                    text=each.sentence.text(language),
                )
                for each in view.reasons
            ],
            note=view.note.text(language) if view.note else None,
            hindsight=view.hindsight.text(language) if view.hindsight else None,
            abstained=view.abstained.text(language) if view.abstained else None,
        )  # fmt: skip
