"""Import every ``models.py`` so that the metadata is whole (migrations, drift test)."""

from __future__ import annotations

from crm_core.accounts import models as accounts
from crm_core.activities import models as activities
from crm_core.advice import models as advice
from crm_core.audit import models as audit
from crm_core.contests import models as contests
from crm_core.database import Base
from crm_core.forecasts import models as forecasts
from crm_core.goals import models as goals
from crm_core.health import models as health
from crm_core.imports import models as imports
from crm_core.kpis import models as kpis
from crm_core.leads import models as leads
from crm_core.opportunities import models as opportunities
from crm_core.orders import models as orders
from crm_core.people import models as people
from crm_core.processes import models as processes
from crm_core.products import models as products
from crm_core.quotas import models as quotas
from crm_core.records import models as records

metadata = Base.metadata

__all__ = [
    "accounts",
    "activities",
    "advice",
    "audit",
    "contests",
    "goals",
    "forecasts",
    "health",
    "imports",
    "kpis",
    "leads",
    "metadata",
    "opportunities",
    "orders",
    "people",
    "processes",
    "products",
    "quotas",
    "records",
]
