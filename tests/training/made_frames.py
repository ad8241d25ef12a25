"""A small simulated pipeline with hidden quality, whose future is known beyond any cut."""

from __future__ import annotations

import numpy as np
import pandas as pd

START = pd.Timestamp("2024-01-01", tz="UTC")
WEEKS = 150


def pipeline(
    *, deals: int = 3000, seed: int = 1, signal: float = 1.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (frame, outcomes): weekly landmarks of deals that lose fast and win slowly.

    ``signal`` scales how much of the hidden quality the features show; 0 shows nothing.
    """
    random = np.random.default_rng(seed)
    account = random.integers(0, deals // 4 + 1, deals)
    affinity = random.normal(0, 0.6, deals // 4 + 1)[account]
    quality = -0.05 + affinity + random.normal(0, 0.8, deals)
    born = random.integers(0, WEEKS - 40, deals)
    stage = np.zeros(deals)
    entered = born.astype(float).copy()
    silent = np.zeros(deals)
    state = np.zeros(deals)  # 0 open, 1 won, -1 lost
    ended = np.full(deals, np.inf)
    amount = random.lognormal(9, 1, deals)
    rows = []
    for week in range(WEEKS):
        alive = (born <= week) & (state == 0)
        index = np.flatnonzero(alive)
        touched = random.random(len(index)) < 1 / (1 + np.exp(-0.2 - 0.8 * quality[index]))
        silent[index] = np.where(touched, 0, silent[index] + 1)
        rows.append(
            pd.DataFrame(
                {
                    "deal": index,
                    "week": week,
                    "stage_progress": stage[index],
                    "deal_age_days": 7.0 * (week - born[index]),
                    "days_in_stage": 7.0 * (week - entered[index]),
                    "silence": silent[index] * signal,
                    "belief": signal * (quality[index] + random.normal(0, 1.0, len(index))),
                    "account_lift": np.where(
                        random.random(len(index)) < 0.3, np.nan, signal * affinity[index]
                    ),
                    "log_amount": np.log(amount[index]),
                    "month": float(week // 4 % 12),
                }
            )
        )
        q = quality[index]
        lost = random.random(len(index)) < 1 / (
            1 + np.exp(3.1 + 0.6 * q - 0.35 * (silent[index] >= 3))
        )
        moved = ~lost & (random.random(len(index)) < 1 / (1 + np.exp(1.6 - 0.5 * q)))
        state[index[lost]] = -1
        won = index[moved & (stage[index] == 4)]
        state[won] = 1
        ended[index[lost]] = ended[won] = week + 0.5
        ahead = index[moved & (stage[index] < 4)]
        stage[ahead] += 1
        entered[ahead] = week + 0.5
    frame = pd.concat(rows, ignore_index=True)
    frame.insert(0, "entity_id", "d" + frame.pop("deal").astype(str).str.zfill(6))
    frame.insert(1, "as_of", START + pd.to_timedelta(7 * frame.pop("week"), unit="D"))
    number = frame["entity_id"].str[1:].astype(int)
    frame.insert(2, "account_id", "a" + pd.Series(account).astype(str)[number].to_numpy())
    frame.insert(3, "owner_id", "r1")
    done = np.flatnonzero(state != 0)
    closed = START + pd.to_timedelta(7 * ended[done], unit="D")
    outcomes = pd.DataFrame(
        {
            "entity_id": ["d" + str(deal).zfill(6) for deal in done],
            "outcome": np.where(state[done] == 1, "won", "lost"),
            "closed_at": closed,
            "known_at": closed,
            "created_at": START + pd.to_timedelta(7 * born[done], unit="D"),
        }
    )
    return frame, outcomes


def week(number: float) -> pd.Timestamp:
    """Return the start of a week of the simulation."""
    return START + pd.Timedelta(days=7 * number)
