"""The HTTP status of each kind of anticipated error."""

from __future__ import annotations

from collections.abc import Mapping

from crm_core.errors import CrmError
from crm_core.people.operations import TooManyAttempts, WrongCredentials
from crm_core.records.operations import VersionMissing
from serving import security

OF_KIND = {"not_found": 404, "conflict": 409, "not_allowed": 403, "invalid": 422}
OF_ERROR: Mapping[type[CrmError], int] = {
    security.NotSignedIn: 401,
    WrongCredentials: 401,
    TooManyAttempts: 429,
    VersionMissing: 428,
}


def status_of(error: CrmError) -> int:
    """Return the HTTP status of an anticipated error."""
    return OF_ERROR.get(type(error), OF_KIND[error.kind])
