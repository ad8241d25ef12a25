"""The one door to templates: environments by language, the frame of every page, the filters."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from crm_core.people import queries as people
from crm_core.people.queries import Viewer
from crm_core.processes import alerts
from serving import addresses, formats, languages
from serving.dependencies import MaybeSignedIn, Now, Reads, SessionOfRequest
from serving.languages import Language
from serving.web import menu, vocabulary

HERE = Path(__file__).parent
STATIC = HERE / "static"


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page shows around its content, and what its filters need."""

    path: str
    """Percent-encoded, as it was sent."""

    query: tuple[tuple[str, str], ...]
    language: Language
    zone: ZoneInfo
    company: str | None
    is_simulated: bool
    viewer: Viewer | None
    now: dt.datetime
    unread: int = 0

    @property
    def today(self) -> dt.date:
        """The company's calendar day."""
        return self.now.astimezone(self.zone).date()

    def link(self, **changed: str | None) -> str:
        """Return a link to this page with some query values changed, None taken out."""
        kept = [(key, value) for key, value in self.query if key not in changed]
        added = [(key, value) for key, value in changed.items() if value is not None]
        pairs = urlencode([*kept, *added])
        return f"{self.path}?{pairs}" if pairs else self.path


def frame(
    request: Request, session: SessionOfRequest, viewer: MaybeSignedIn, language: Reads, now: Now
) -> Frame:
    """Return the frame of the requested page."""
    row = people.company_or_none(session)
    return Frame(
        path=addresses.path_of(request),
        query=tuple(request.query_params.multi_items()),
        language=language,
        zone=ZoneInfo(row.time_zone if row else "UTC"),
        company=row.name if row else None,
        is_simulated=bool(row and row.is_simulated),
        viewer=viewer,
        now=now,
        unread=alerts.count_unread(session, viewer.id, now=now) if viewer else 0,
    )


def bare_frame(path: str, language: Language) -> Frame:
    """Return the frame of an error page, which must not need the database."""
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    return Frame(path, (), language, ZoneInfo("UTC"), None, False, None, epoch)


Framed = Annotated[Frame, Depends(frame)]


def render(template: str, frame: Frame, *, status: int = 200, **values: object) -> HTMLResponse:
    """Return a page; a language asked for in the link is remembered."""
    environment = _environment(frame.language.code)
    html = environment.get_template(template).render(frame=frame, **values)
    response = HTMLResponse(html, status_code=status)
    if any(key == "lang" for key, _ in frame.query):
        response.set_cookie(
            languages.COOKIE, frame.language.code, max_age=31_536_000, httponly=True,
            samesite="lax",
        )  # fmt: skip
    return response


@cache
def asset(name: str) -> str:
    """Return the link of a static file; its content is in the link, so it is cached for good."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


@cache
def _environment(code: str) -> Environment:
    language = languages.languages()[code]
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(money=_money, number=_number, when=_when, segment=addresses.segment)
    environment.globals.update(
        asset=asset,
        menu=menu.entries,
        languages=tuple(languages.languages().values()),
        word=partial(vocabulary.word, language),
        said=lambda words: words.text(language.tag),
    )
    return environment


@pass_context
def _money(context: Context, value: Any, style: formats.MoneyStyle = "whole") -> str:  # noqa: ANN401
    return formats.money(value, locale=_frame(context).language.locale, style=style)


@pass_context
def _number(context: Context, value: Any, style: formats.NumberStyle = "plain") -> str:  # noqa: ANN401
    return formats.number(value, locale=_frame(context).language.locale, style=style)


@pass_context
def _when(context: Context, value: Any, style: formats.TimeStyle = "day") -> str:  # noqa: ANN401
    of_page = _frame(context)
    return formats.when(value, locale=of_page.language.locale, zone=of_page.zone, style=style)


def _frame(context: Context) -> Frame:
    found: Frame = context["frame"]
    return found
