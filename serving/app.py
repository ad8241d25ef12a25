"""The web application: assembled here, and nothing else."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import Depends, FastAPI
from sqlalchemy import Engine
from starlette.staticfiles import StaticFiles

from crm_core import settings as configuration
from crm_core.database import web_engine
from crm_core.errors import Invalid
from crm_core.settings import Settings
from serving import errors, security
from serving.api import (
    advice,
    contests,
    data_health,
    exports,
    forecasts,
    goals,
    health,
    imports,
    jobs,
    kpis,
    me,
    metrics,
    numbers,
    opportunities,
    oversight,
    processes,
    quota_terms,
    records,
    records_upkeep,
    reference,
    teamwork,
)
from serving.api import session as api_session
from serving.champions import Champions
from serving.dependencies import enforce
from serving.web import accounts as account_pages
from serving.web import contests as contest_pages
from serving.web import data_health as health_pages
from serving.web import deals, entrance, pages
from serving.web import forecasts as forecast_pages
from serving.web import goals as goal_pages
from serving.web import imports as import_pages
from serving.web import jobs as job_pages
from serving.web import kpis as kpi_pages
from serving.web import leadership as leadership_pages
from serving.web import metrics as metric_pages
from serving.web import numbers as number_pages
from serving.web import oversight as oversight_pages
from serving.web import policies as policy_pages
from serving.web import processes as process_pages
from serving.web import rules as rule_pages
from serving.web import webhooks as webhook_pages

ROUTERS = (
    health.router,
    reference.router,
    api_session.router,
    me.router,
    opportunities.router,
    advice.router,
    records.router,
    oversight.router,
    records_upkeep.router,
    processes.router,
    teamwork.router,
    imports.router,
    kpis.router,
    metrics.router,
    goals.router,
    quota_terms.router,
    contests.router,
    numbers.router,
    forecasts.router,
    exports.router,
    data_health.router,
    jobs.router,
    entrance.router,
    deals.router,
    account_pages.router,
    kpi_pages.router,
    forecast_pages.router,
    goal_pages.router,
    contest_pages.router,
    number_pages.router,
    metric_pages.router,
    leadership_pages.router,
    health_pages.router,
    job_pages.router,
    import_pages.router,
    oversight_pages.router,
    process_pages.router,
    rule_pages.router,
    policy_pages.router,
    webhook_pages.router,
)


class NoDatabase(Invalid):
    """A web process was started without the address of its database."""


def create_app(settings: Settings, engine: Engine) -> FastAPI:
    """Return the application on this store. Raises UndeclaredRoute."""
    app = FastAPI(
        title="Winward",
        version=version("winward"),
        summary="Deals, their win probability and the reasons for it.",
        docs_url=None,  # their pages load scripts from a CDN; reference.py serves our own
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(enforce)],
    )
    app.state.settings = settings
    app.state.engine = engine
    app.state.champions = Champions(settings.models_folder, engine=engine)
    app.state.fixed_time = None
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    app.add_middleware(security.RequestSize)
    app.add_middleware(security.SecurityHeaders)
    errors.install(app)
    security.require_policies(app.routes)
    return app


def from_environment() -> FastAPI:
    """Return the application as the ``WINWARD_…`` variables say (for uvicorn's ``--factory``).

    Raises NoDatabase, and UnboundRole when row-level security would not bind it.
    """
    settings = configuration.load()
    if settings.database_url is None:
        raise NoDatabase(
            "WINWARD_DATABASE_URL is not set; start with winward up, which starts a database."
        )
    return create_app(settings, web_engine(settings.app_database_url or settings.database_url))
