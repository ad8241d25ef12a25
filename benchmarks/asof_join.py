"""The point-in-time join of the offline store against DuckDB's ASOF JOIN, on the same rows.

Both answer which stored row was the latest at each asked instant; the answers must be equal
before anything is timed. Only the join is compared: the features are taken by row number after.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.compare import Comparison, by_turns, say

TURNS = 3
ROWS = 30_000
ENTITIES = 3_000
ASOF = (
    "select j from asked asof left join stored on asked.k = stored.k and asked.ts >= stored.ts "
    "order by i"
)
WINDOW = (
    "select last_value(j ignore nulls) over (partition by k order by ts, i nulls first "
    "rows unbounded preceding) as j, i from (select k, ts, null::bigint as i, j from stored "
    "union all select k, ts, i, null from asked) qualify i is not null order by i"
)


def compare() -> Comparison:
    """Return our window against the ASOF JOIN, one thread each."""
    random = np.random.default_rng(0)
    names = np.array([f"006{number:015d}" for number in range(ENTITIES)])

    def rows(number: str) -> pa.Table:
        return pa.table({
            "k": names[random.integers(0, ENTITIES, ROWS)],
            "ts": random.integers(0, 10**15, ROWS),
            number: np.arange(ROWS),
        })  # fmt: skip

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("stored", rows("j"))
        connection.register("asked", rows("i"))

        def answers(query: str) -> list[int | None]:
            found: list[int | None] = connection.execute(query).to_arrow_table()["j"].to_pylist()
            return found

        say(f"DuckDB {duckdb.__version__}: {ROWS:,} asked and stored rows of {ENTITIES:,} entities")
        if answers(WINDOW) != answers(ASOF):
            raise AssertionError("the window and the ASOF JOIN answer differently")
        ours, reference = by_turns(lambda: answers(WINDOW), lambda: answers(ASOF), turns=TURNS)
    return Comparison("asof", ours, reference, ROWS, "rows")
