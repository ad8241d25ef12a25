"""Is the process alive; is it ready to answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from serving.dependencies import Promoted
from serving.readiness import Check, check_database, explain_model
from serving.security import PUBLIC, allow

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"


class Readiness(BaseModel):
    """Whether requests can be served, check by check."""

    ready: bool
    checks: list[Check] = Field(description="A model that is missing does not make us unready.")


@router.get("/healthz")
@allow(PUBLIC)
def healthz() -> Alive:
    """Say that the process answers; touches nothing else."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness}})
@allow(PUBLIC)
def readyz(
    response: Response,
    database: Annotated[Check, Depends(check_database)],
    champion: Promoted,
) -> Readiness:
    """Say whether the database is reachable and migrated, and which model answers."""
    response.status_code = 200 if database.passed else 503
    return Readiness(ready=database.passed, checks=[database, explain_model(champion)])
