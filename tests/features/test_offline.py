"""The point-in-time join of the offline store keeps every row, its order, and what was known."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from features.offline import View, join

UTC = dt.UTC


def day(month: int, number: int) -> dt.datetime:
    return dt.datetime(2026, month, number, tzinfo=UTC)


#                 deal, happened, recorded, value
VALUES = [
    ("a", day(1, 1), day(1, 1), 1.0),  # two in time order
    ("a", day(2, 1), day(2, 1), 2.0),
    ("b", day(1, 10), day(1, 10), 2.0),  # corrected with the same timestamp later
    ("b", day(1, 10), day(2, 20), 3.0),
    ("c", day(6, 1), day(6, 1), 9.0),  # only in the future of what is asked
    ("d", day(1, 1), day(1, 1), 4.0),  # expires
    ("e", day(1, 5), day(3, 1), 5.0),  # happened long before it was recorded
    ("e", day(1, 1), day(1, 1), 4.5),
]
#         deal, asked at,  default, known then, why
ASKED = [
    ("a", day(2, 1), 2.0, 2.0, "a value counts at its own instant"),
    ("a", day(1, 31), 1.0, 1.0, "not a moment before"),
    ("a", day(1, 31), 1.0, 1.0, "the same row asked twice is answered twice"),
    ("b", day(2, 10), 3.0, 2.0, "a correction recorded later was not known"),
    ("b", day(3, 1), 3.0, 3.0, "once recorded the correction counts"),
    ("c", day(2, 1), None, None, "only future values: kept, without a value"),
    ("d", day(5, 1), None, None, "expired: kept, without a value"),
    ("e", day(2, 1), 5.0, 4.5, "a late entry counts from its recording on"),
    ("zz", day(2, 1), None, None, "an unknown deal is kept"),
]


@pytest.fixture
def source(tmp_path) -> str:
    path = tmp_path / "values.parquet"
    frame = pd.DataFrame(VALUES, columns=["deal", "happened", "recorded", "value"])
    for name in ("happened", "recorded"):
        frame[name] = frame[name].astype("datetime64[us, UTC]")
    frame.to_parquet(path)
    return str(path)


def asked() -> pd.DataFrame:
    return pd.DataFrame(
        {"deal": [row[0] for row in ASKED], "event_timestamp": [row[1] for row in ASKED]}
    )


def view(source: str, days_to_live: float = 90) -> View:
    return View(
        source=source, keys=(("deal", "deal"),), features=(("value", "value"),),
        time="happened", created="recorded", seconds_to_live=days_to_live * 86_400,
    )  # fmt: skip


@pytest.mark.parametrize(("known_only", "column"), [(False, 2), (True, 3)])
def test_each_row_of_the_contract_is_answered_in_order(source, known_only, column):
    found = join(asked(), [view(source)], known_only=known_only).to_pandas()
    assert found["deal"].tolist() == [row[0] for row in ASKED]
    for answer, row in zip(found["value"].tolist(), ASKED, strict=True):
        expected = row[column]
        if expected is None:
            assert np.isnan(answer), row
        else:
            assert answer == expected, row


def test_without_a_time_to_live_nothing_expires(source):
    found = join(asked(), [view(source, days_to_live=0)], known_only=True).to_pandas()
    assert found["value"].tolist()[6] == 4.0


def test_naive_times_are_utc_and_other_zones_are_converted(source):
    rows = pd.DataFrame({"deal": ["a"], "event_timestamp": [dt.datetime(2026, 2, 1)]})
    assert join(rows, [view(source)], known_only=True).to_pandas()["value"][0] == 2.0
    shanghai = dt.timezone(dt.timedelta(hours=8))
    rows["event_timestamp"] = [dt.datetime(2026, 2, 1, 7, 59, tzinfo=shanghai)]
    assert join(rows, [view(source)], known_only=True).to_pandas()["value"][0] == 1.0


def _by_merge_asof(asked: pd.DataFrame, values: pd.DataFrame) -> np.ndarray:
    """An independent answer: replay the recordings, keep what was the latest, then merge_asof."""
    values = values.assign(known=values[["happened", "recorded"]].max(axis=1))
    values = values.sort_values(["known", "happened", "recorded"], kind="stable")
    rows = []
    for deal, group in values.groupby("deal"):
        best = None
        for each in group.itertuples():
            if best is None or (each.happened, each.recorded) >= best[:2]:
                best = (each.happened, each.recorded, each.value)
            rows.append((deal, each.known, best[2]))
    replayed = pd.DataFrame(rows, columns=["deal", "known", "value"])
    replayed = replayed.drop_duplicates(["deal", "known"], keep="last").sort_values("known")
    replayed["known"] = replayed["known"].astype("datetime64[us, UTC]")
    ordered = asked.reset_index().sort_values("event_timestamp")
    merged = pd.merge_asof(
        ordered, replayed, left_on="event_timestamp", right_on="known", by="deal"
    )
    return merged.set_index("index")["value"].sort_index().to_numpy()


def test_agrees_with_an_independent_join_on_twenty_thousand_rows(tmp_path):
    random = np.random.default_rng(7)
    count, deals = 30_000, 2_000
    start = pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")

    def moments(size: int) -> pd.Series:
        hours = pd.to_timedelta(random.integers(0, 24 * 120, size), unit="h")
        return pd.Series(start + hours).astype("datetime64[us, UTC]")

    values = pd.DataFrame(
        {"deal": random.integers(0, deals, count).astype(str), "happened": moments(count)}
    )
    late = pd.to_timedelta(random.integers(0, 40, count) * (random.random(count) < 0.3), unit="D")
    values["recorded"] = (values["happened"] + late).astype("datetime64[us, UTC]")
    values["value"] = np.arange(count, dtype=float)
    values = values.drop_duplicates(["deal", "happened", "recorded"]).reset_index(drop=True)
    path = tmp_path / "values.parquet"
    values.to_parquet(path)
    rows = pd.DataFrame(
        {
            "deal": random.integers(0, deals + 20, 20_000).astype(str),
            "event_timestamp": moments(20_000),
        }
    )
    found = join(rows, [view(str(path), days_to_live=0)], known_only=True).to_pandas()
    np.testing.assert_array_equal(found["value"].to_numpy(), _by_merge_asof(rows, values))
