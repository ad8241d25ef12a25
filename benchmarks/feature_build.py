"""A feature build against hand-written SQL in DuckDB on the same facts and landmarks.

The SQL makes eleven of the features, those that are short to write, and its values must equal
ours on every row before any time is told. Ours makes every feature there is (over a hundred, with
rates, decays and lifts). The ratio is time per row and feature: ours over DuckDB's.
"""

from __future__ import annotations

import statistics

import duckdb
import numpy as np
import pandas as pd

from benchmarks import company
from benchmarks.compare import Comparison, by_turns, say
from features import facts as fact_store
from features import landmarks, opportunity
from features.definitions import feature_columns
from features.fact_tables import Facts, microseconds, to_instants
from features.history import History

TURNS = 3
DAY = 86_400_000_000
SQL = f"""
with first as (
    select min(greatest(occurred_at, recorded_at)) as known from activities
), stage as (
    select a.row, e.new_value, e.occurred_at,
           lag(e.new_value) over stages as before, lag(a.row) over stages as row_before
      from asked a
      join events e on e.opportunity_id = a.entity_id and e.field = 'stage'
                   and e.occurred_at <= a.at and e.recorded_at <= a.at
    window stages as (partition by a.row order by e.occurred_at, e.recorded_at, e.sequence)
), stages as (
    select row, count(*) filter (before is not null and new_value <> before) as stage_moves,
           max(occurred_at) filter (before is null or new_value <> before) as entered
      from stage group by row
), done as (
    select a.row, count(*) as activities_all,
           count(*) filter (x.occurred_at > a.at - 7 * {DAY}) as activities_7,
           count(*) filter (x.occurred_at > a.at - 28 * {DAY}) as activities_28,
           count(*) filter (x.occurred_at > a.at - 90 * {DAY}) as activities_90,
           count(*) filter (x.occurred_at > a.at - 28 * {DAY} and x.kind = 'call') as calls_28,
           count(*) filter (x.occurred_at > a.at - 28 * {DAY} and x.kind = 'email') as emails_28,
           count(*) filter (x.kind = 'call') as calls_all,
           max(x.occurred_at) as latest
      from asked a
      join activities x on x.opportunity_id = a.entity_id
                       and x.occurred_at <= a.at and x.recorded_at <= a.at
     group by a.row, a.at
)
select (a.at - o.created_at) / {DAY}::double as deal_age_days,
       (a.at - s.entered) / {DAY}::double as days_in_stage,
       s.stage_moves,
       case when a.at >= f.known then coalesce(d.activities_7, 0) end as activities_7,
       case when a.at >= f.known then coalesce(d.activities_28, 0) end as activities_28,
       case when a.at >= f.known then coalesce(d.activities_90, 0) end as activities_90,
       case when a.at >= f.known then coalesce(d.activities_all, 0) end as activities_all,
       case when a.at >= f.known then coalesce(d.calls_28, 0) end as calls_28,
       case when a.at >= f.known then coalesce(d.emails_28, 0) end as emails_28,
       case when a.at >= f.known then coalesce(d.calls_all, 0) end as calls_all,
       (a.at - d.latest) / {DAY}::double as days_since_activity
  from asked a cross join first f join opportunities o on o.id = a.entity_id
  left join stages s using (row) left join done d using (row)
 order by a.row
"""


def compare() -> Comparison:
    """Make the rows of every landmark of the small company both ways."""
    with company.place() as here:
        folder, _ = company.files(here.folder, size="small")
        engine = here.database("facts")
        company.bring_in(engine, folder)
        facts = fact_store.load(engine, as_of=company.AS_OF)
        engine.dispose()
    pairs = asked(facts)
    connection = duckdb.connect()
    connection.execute("set threads = 1")
    for name in ("events", "activities", "opportunities"):
        connection.register(name, getattr(facts, name))
    connection.register("asked", pairs)
    mine = opportunity.rows(facts, pairs[["entity_id", "as_of"]])
    theirs = connection.execute(SQL).df()
    must_agree(mine, theirs)
    say("timing …")
    ours, reference = by_turns(
        lambda: opportunity.rows(facts, pairs[["entity_id", "as_of"]]),
        lambda: connection.execute(SQL).df(),
        turns=TURNS,
    )
    many, few = len(feature_columns(mine.columns)), len(theirs.columns)
    whole = statistics.median(ours) / statistics.median(reference)
    return Comparison(
        "features",
        tuple(seconds / many for seconds in ours),
        tuple(seconds / few for seconds in reference),
        len(pairs),
        "rows",
        f"seconds are per feature; ours made {many}, DuckDB {few}; whole runs: {whole:.1f} times",
    )


def asked(facts: Facts) -> pd.DataFrame:
    """Return the landmarks as both sides are asked for them."""
    history = History(facts)
    found, _ = landmarks.landmarks(history, as_of=microseconds(company.AS_OF))
    return pd.DataFrame(
        {
            "row": np.arange(len(found)),
            "entity_id": history.deals["id"].to_numpy(object)[found.deal],
            "at": found.at,
            "as_of": to_instants(found.at),
        }
    )


def must_agree(mine: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Raise unless the SQL's features equal ours on every row."""
    for name in theirs.columns:
        wrong = ~np.isclose(
            mine[name].to_numpy(np.float64),
            theirs[name].to_numpy(np.float64, na_value=np.nan),
            equal_nan=True,
        )
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise AssertionError(
                f"{name} differs on {wrong.sum()} rows; first row {row}: ours"
                f" {mine[name].iloc[row]}, SQL {theirs[name].iloc[row]}"
            )
