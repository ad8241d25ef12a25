"""What must hold before this process can answer, each told in a sentence."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from crm_core import migrations
from serving.champions import Champion
from serving.dependencies import get_engine


class Check(BaseModel):
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str


def check_database(engine: Annotated[Engine, Depends(get_engine)]) -> Check:
    """Return whether the database answers and has the tables that this program knows."""
    try:
        applied = migrations.applied(engine)
    except SQLAlchemyError:
        return Check(name="database", passed=False, detail="The database cannot be reached.")
    newest = migrations.newest()
    if applied != newest:
        return Check(
            name="database", passed=False,
            detail=f"The database is at migration {applied}, this program needs {newest}.",
        )  # fmt: skip
    return Check(name="database", passed=True, detail=f"Reachable, at migration {newest}.")


def explain_model(champion: Champion | None) -> Check:
    """Return which model answers; without one deals are served, but no probability."""
    if champion is None:
        detail = "No model is promoted yet: deals are served without a probability."
    else:
        detail = f"Win-rate model {champion.version} answers."
    return Check(name="model", passed=champion is not None, detail=detail)
