"""How fast the numbers are where people read them: over HTTP, on a simulated company.

``winward web`` runs with as many processes as ``winward up`` starts. One person asks for every
metric and page, one after the other; then 50 at once ask for a rep's page of deals. The pipeline by
stage, month and team is compared with the same grouping in DuckDB on a finished table, whose cells
must be the same before anything is timed.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import parquet
from sqlalchemy import Engine, text

from benchmarks import company
from benchmarks.compare import Comparison, by_turns, say
from crm_core import clock
from crm_core.database import transaction
from crm_core.kpis.catalogue import CATALOGUE
from crm_core.people.operations import set_password
from crm_core.settings import Settings

TURNS = 7
SLICED = "/api/v1/kpis/pipeline/slices?by=stage&by=month&by=team"
PASSWORD = "correct horse battery"
PEOPLE = {"rep": "rep@demo.winward", "admin": "admin@demo.winward"}
PAGES = ("/numbers", "/deals", "/company", "/forecast", "/goals", "/metrics", "/health")
READY_SECONDS = 120.0
LOAD_SECONDS = 8.0
TABLE = """
select o.stage, to_char(o.expected_close_on, 'YYYY-MM') as month,
  (select a.org_unit_id from assignments a where a.user_id = o.owner_id
     and a.valid_from <= current_date and (a.valid_to is null or a.valid_to > current_date)
   order by a.valid_from desc, a.org_unit_id limit 1) as team,
  round(o.amount_minor / case o.currency when 'JPY' then 1 else 100 end::numeric * 100 *
    case when o.currency = c.currency then 1 else
      (select case when f.base = o.currency then f.rate else 1 / f.rate end from fx_rates f
       where (f.base, f.quote) in ((o.currency, c.currency), (c.currency, o.currency))
         and f.valid_from <= current_date
       order by f.base = o.currency desc, f.valid_from desc, f.recorded_at desc limit 1) end
  )::bigint as value
from company c, opportunities o join stages g on g.pipeline = o.pipeline and g.stage = o.stage
where g.kind = 'open'
"""
"""Every open deal with its amount in the company's currency, which has cents: what ours finds out
by folding events, told by hand from the current columns."""

GROUPED = "select stage, month, team, sum(value) from t group by all order by all"


@dataclass(frozen=True, slots=True)
class Report:
    """Lines to print: not one ratio but how long each thing takes."""

    lines_told: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return what is printed."""
        return list(self.lines_told)


def medium() -> list[Comparison | Report]:
    """Measure on the company of 20,000 deals."""
    return measure("medium")


def small() -> list[Comparison | Report]:
    """Measure on the company of 1,000 deals: to see that it works."""
    return measure("small")


def measure(size: company.Size) -> list[Comparison | Report]:
    """Simulate, import, serve, ask."""
    today = clock.now().date()
    with company.place() as here, contextlib.ExitStack() as stack:
        folder, rows = company.files(here.folder, size=size, until=today)
        engine = here.database("winward")
        stack.callback(engine.dispose)
        for name in ("winward_mlflow", "winward_feast"):
            here.database(name, migrated=False).dispose()
        say("importing …")
        company.bring_in(engine, folder, recorded_at=clock.now())
        with transaction(engine) as session:
            for email in PEOPLE.values():
                set_password(session, email=email, password=PASSWORD)
        settings = Settings(
            home=here.folder / "home",
            database_url=here.server.url("winward").replace("+psycopg", ""),
        )
        port = stack.enter_context(serving(settings))
        deals = rows["opportunities"]
        return [
            pipeline(port, engine, here.folder, deals),
            one_by_one(port, f"{size}, {deals:,} deals, {settings.web_processes} processes"),
            at_once(port, clients=50),
        ]


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[int]:
    """Run the web's processes on one socket, as ``winward up`` does; yield its port."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        port = int(listener.getsockname()[1])
        log = stack.enter_context(tempfile.TemporaryFile())
        command = [sys.executable, "-m", "serving.commandline", "web", "--fd"]
        for _ in range(settings.web_processes):
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, str(listener.fileno())],
                    pass_fds=(listener.fileno(),),
                    env={**os.environ, **settings.environment()},
                    stdout=log,
                    stderr=log,
                )
            )
            stack.callback(process.terminate)
        end = time.monotonic() + READY_SECONDS
        while status(port, "/healthz") != 200:
            if time.monotonic() > end or process.poll() is not None:
                log.seek(0)
                raise RuntimeError(log.read().decode(errors="replace")[-2000:])
            time.sleep(0.3)
        yield port


def status(port: int, path: str) -> int | None:
    """Return what a path answers, None if nobody does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def cookie_of(port: int, email: str) -> str:
    """Sign somebody in; return their cookie."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    login = json.dumps({"email": email, "password": PASSWORD})
    connection.request("POST", "/api/v1/session", login, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return (answer.getheader("set-cookie") or "").split(";")[0]


def asking(port: int, cookie: str) -> Callable[[str], bytes]:
    """Return a function that gets a path with somebody's login, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def ask(path: str) -> bytes:
        connection.request("GET", path, headers={"cookie": cookie})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}: {body[:300]!r}")
        return body

    return ask


def pipeline(port: int, engine: Engine, folder: Path, deals: int) -> Comparison:
    """Time the pipeline by stage, month and team against DuckDB on a table of open deals."""
    ask = asking(port, cookie_of(port, PEOPLE["admin"]))
    path = folder / "open_deals.parquet"
    _write(engine, path)
    connection = duckdb.connect()
    connection.execute("set threads = 1")
    connection.execute(f"create table t as select * from '{path}'")
    theirs = {tuple(row[:3]): row[3] for row in connection.execute(GROUPED).fetchall()}
    cells = json.loads(ask(SLICED))["cells"]
    ours = {tuple(cell["key"]): cell["value"]["value"] for cell in cells}
    wrong = [
        key
        for key in theirs.keys() | ours.keys()
        if abs(Decimal(ours.get(key) or 0) * 100 - Decimal(theirs.get(key) or 0)) > 1
    ]
    if wrong:
        raise AssertionError(f"{len(wrong)} of {len(theirs)} cells differ, such as {wrong[:3]}")
    seconds = by_turns(
        lambda: ask(SLICED), lambda: connection.execute(GROUPED).fetchall(), turns=TURNS
    )
    return Comparison("dashboards", *seconds, deals, "deals", f"{len(cells)} cells over HTTP")


def _write(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        rows = connection.execute(text(TABLE)).all()
    columns = ("stage", "month", "team", "value")
    given = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    parquet.write_table(pa.table(given), path)


def one_by_one(port: int, of: str) -> Report:
    """Time every metric and page for one person who asks alone."""
    lines = [f"one person at a time ({of}); milliseconds, p50 and p95 of {TURNS}:"]
    for role, email in PEOPLE.items():
        ask = asking(port, cookie_of(port, email))
        numbers = [f"/api/v1/kpis/{item.id}/rows?limit=1" for item in CATALOGUE]
        slow: list[float] = []
        for path in (*PAGES, SLICED, *numbers):
            try:
                seconds = timed(partial(ask, path), TURNS if path in PAGES else 2)
            except RuntimeError as error:
                lines.append(f"  {role:<6} {path}: {error}")
                continue
            slow.append(seconds[1])
            say(f"{role} {path} {seconds[0] * 1e3:.0f} ms")
            lines.append(f"  {role:<6} {seconds[0] * 1e3:8.1f} {seconds[1] * 1e3:8.1f}  {path}")
        lines.append(f"  {role:<6} slowest p95 {max(slow) * 1e3:.1f} ms")
    return Report(tuple(lines))


def timed(work: Callable[[], object], turns: int) -> tuple[float, float]:
    """Return the median and the 95th percentile of the seconds that work takes."""
    work()
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), sorted(seconds)[int(0.95 * (len(seconds) - 1) + 0.5)]


def at_once(port: int, *, clients: int) -> Report:
    """Have many clients ask for a rep's deals at once; count answers and errors."""
    cookie = cookie_of(port, PEOPLE["rep"])
    seconds, errors = asyncio.run(_flood(port, cookie, "/deals", clients))
    middle = statistics.median(seconds) * 1e3
    return Report(
        (
            f"{clients} clients ask for a rep's /deals: {len(seconds) / LOAD_SECONDS:,.1f} "
            f"answers/s, p50 {middle:,.0f} ms, {errors} errors",
        )
    )


async def _flood(port: int, cookie: str, path: str, clients: int) -> tuple[list[float], int]:
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncookie: {cookie}\r\n\r\n".encode()
    end = time.monotonic() + LOAD_SECONDS
    seconds: list[float] = []
    errors = 0

    async def one() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            began = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            if b" 200 " in head[:16]:
                seconds.append(time.monotonic() - began)
            else:
                errors += 1
        writer.close()

    for answer in await asyncio.gather(*(one() for _ in range(clients)), return_exceptions=True):
        errors += isinstance(answer, BaseException)
    return seconds or [float("nan")], errors
