"""Who acts by this request, as the operations of processes are given it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from crm_core.processes.acting import Acting
from serving.dependencies import May, Now, SignedIn


def find_acting(request: Request, viewer: SignedIn, may: May, now: Now) -> Acting:
    """Return who is signed in, what they may see, and from where they act."""
    return Acting(
        viewer=viewer, visibility=may, now=now,
        channel="api" if request.url.path.startswith("/api/") else "page",
        address=request.client.host if request.client else None,
    )  # fmt: skip


Acts = Annotated[Acting, Depends(find_acting)]
