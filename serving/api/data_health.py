"""Data health for programs: a month's report, and its PDF."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from crm_core.people import queries as people
from serving import data_health, errors
from serving.dependencies import May, Now, Reads, SessionOfRequest
from serving.security import SIGNED_IN, allow

router = APIRouter(prefix="/api/v1/data-health", tags=["data health"], responses=errors.PROBLEMS)
MonthName = Annotated[
    str | None, Query(pattern=r"^\d{4}-\d{2}$", description="2026-11; default: this month.")
]
Lang = Annotated[Literal["en", "zh"] | None, Query(description="Language of the words.")]


class Example(BaseModel):
    """A record that fails a rule, and what is wrong with it."""

    key: str
    detail: str


class Rule(BaseModel):
    """How a rule stood at the month's last run."""

    rule: str
    name: str
    remedy: str
    dimension: str
    status: Literal["ok", "failing", "nothing"]
    severity: Literal["critical", "warning"]
    stops: list[str] = Field(description="What a failing critical rule stops: training, pay.")
    checked: int
    failing: int
    share: Decimal | None = Field(description="Share of records that pass; null with none.")
    first_share: Decimal | None = Field(description="The same at the month's first run.")
    examples: list[Example] = Field(description="Only for those who may see every record.")


class Month(BaseModel):
    """A month of data health. ``ran_at`` is null where the rules were not run."""

    month: str
    runs: int
    ran_at: dt.datetime | None
    rules: list[Rule]


@router.get("")
@allow(SIGNED_IN)
def read_data_health(
    session: SessionOfRequest, may: May, now: Now, language: Reads, month: MonthName = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Month:  # fmt: skip
    """Return how the rules of data health stood over a month."""
    found = data_health.report(session, month=month, as_of=now, examples=may.everyone)
    rules = [
        Rule(
            rule=line.rule, name=line.name.text(language.tag),
            remedy=line.remedy.text(language.tag), dimension=line.dimension.text(language.tag),
            status=line.status, severity=line.severity, stops=list(line.stops),  # type: ignore[arg-type]
            checked=line.checked, failing=line.failing, share=line.share,
            first_share=line.first_share,
            examples=[Example(key=key, detail=detail) for key, detail in line.examples],
        )
        for line in found.lines
    ]  # fmt: skip
    return Month(month=found.month, runs=found.runs, ran_at=found.ran_at, rules=rules)


@router.get("/report.pdf", response_class=Response)
@allow(SIGNED_IN)
def read_data_health_report(
    session: SessionOfRequest, may: May, now: Now, language: Reads, month: MonthName = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Response:  # fmt: skip
    """Return the month's report as a PDF."""
    from serving.health_report import pdf  # noqa: PLC0415 - reportlab only where a PDF is made

    company = people.company(session)
    found = data_health.report(session, month=month, as_of=now, examples=may.everyone)
    content = pdf(
        found, company=company.name, locale=language.tag, time_zone=ZoneInfo(company.time_zone)
    )
    name = f"data-health-{found.month}.pdf"
    return Response(
        content,
        media_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
