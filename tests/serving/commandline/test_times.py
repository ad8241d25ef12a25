"""``--as-of`` is a day of the company or an instant, and never the future."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from crm_core.periods import FiscalCalendar
from serving.commandline.times import NotATime, parse_as_of

SHANGHAI = FiscalCalendar(ZoneInfo("Asia/Shanghai"))
NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-06-30", "2026-06-29T16:00:00+00:00"),
        ("2026-06-30T08:00", "2026-06-30T00:00:00+00:00"),
        ("2026-06-30T08:00+02:00", "2026-06-30T06:00:00+00:00"),
        ("2026-06-30T08:00:00Z", "2026-06-30T08:00:00+00:00"),
    ],
)
def test_a_time_is_read_in_the_companys_zone_unless_it_names_one(text: str, instant: str) -> None:
    found = parse_as_of(text, calendar=SHANGHAI, now=NOW)
    assert found == dt.datetime.fromisoformat(instant)
    assert found.tzinfo is dt.UTC


def test_leaving_it_out_means_now() -> None:
    assert parse_as_of(None, calendar=SHANGHAI, now=NOW) == NOW


@pytest.mark.parametrize("text", ["2026-02-31", "yesterday", "30.06.2026", "", "2026-06-30T25:00"])
def test_what_is_not_a_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(NotATime, match="write 2026-06-30"):
        parse_as_of(text, calendar=SHANGHAI, now=NOW)


def test_the_future_is_refused_because_it_is_not_known_yet() -> None:
    with pytest.raises(NotATime, match="future"):
        parse_as_of("2026-07-01", calendar=SHANGHAI, now=NOW)
