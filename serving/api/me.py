"""Who am I, and whose records may I see."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serving import errors
from serving.dependencies import May, SignedIn
from serving.security import SIGNED_IN, allow

router = APIRouter(prefix="/api/v1/me", tags=["me"], responses=errors.PROBLEMS)


class Me(BaseModel):
    """The person who is signed in."""

    id: str
    name: str
    email: str
    role: str
    locale: str | None
    csrf_token: str = Field(description="Send it as X-CSRF-Token with every unsafe request.")
    sees_everyone: bool
    sees_users: int | None = Field(description="Number of people seen, null for everyone.")


@router.get("")
@allow(SIGNED_IN)
def read_me(viewer: SignedIn, may: May) -> Me:
    """Return who is signed in, and whose deals they may see."""
    return Me(
        id=viewer.id, name=viewer.name, email=viewer.email, role=viewer.role,
        locale=viewer.locale, csrf_token=viewer.csrf_token, sees_everyone=may.everyone,
        sees_users=None if may.everyone else len(may.user_ids),
    )  # fmt: skip
