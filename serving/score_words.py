"""Why a deal has no number, and what kind of number it has, in both languages.

Times are told on the company's clock.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from crm_core.opportunities.standings import Standing
from serving.champions import Champion, Lineage
from serving.explanations import Words
from training.bundle import Bundle

FEWEST_CLOSED = 10
"""With fewer closed deals training makes no rate (``training.win_rate``; a test compares)."""

HORIZON = Words("won in the end, whenever the deal closes", "最终赢单，不限何时结单")
NO_MODEL = Words(
    "No win-rate model is promoted yet; train one with winward train win-rate.",
    "尚未启用赢率模型；请先运行 winward train win-rate。",
)


def _minute(moment: dt.datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def _day(moment: dt.datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d}"


def unknown(as_of: dt.datetime, *, zone: ZoneInfo) -> Words:
    """Say that the deal was not recorded by then."""
    moment = _minute(as_of, zone)
    return Words(
        f"This deal was not known as of {moment}; ask for a time after it was recorded.",
        f"截至 {moment} 尚无此商机的记录；请选择其录入之后的时间。",
    )


def closed(standing: Standing, *, zone: ZoneInfo) -> Words:
    """Say that the deal was over by then."""
    day = _day(standing.since, zone)
    return Words(
        f"The deal was {standing.kind} on {day}; there is no chance left to estimate.",
        f"商机已于 {day} {'赢单' if standing.kind == 'won' else '丢单'}，无需再估计概率。",
    )


def not_trained_by(as_of: dt.datetime, models: Lineage, *, zone: ZoneInfo) -> Words:
    """Say that every model was trained later than the time asked about."""
    first = models.first_trained()
    if first is None:
        return NO_MODEL
    then, of = _minute(as_of, zone), _minute(first, zone)
    return Words(
        f"No model had been trained by {then}; the first is of {of}.",
        f"截至 {then} 尚未训练任何模型；最早的模型训练于 {of}。",
    )


def hindsight(champion: Champion, as_of: dt.datetime, *, zone: ZoneInfo) -> Words:
    """Say that the model knew what came after the time asked about."""
    then, of = _minute(as_of, zone), _minute(champion.trained_as_of, zone)
    return Words(
        f"In hindsight: the model learnt from what was known on {of}, after {then}.",
        f"事后推算：模型使用了截至 {of} 的数据训练，晚于 {then}。",
    )


def too_little(bundle: Bundle, *, zone: ZoneInfo) -> Words:
    """Say what was missing when the model was trained."""
    won, lost = bundle.card.get("deals_won"), bundle.card.get("deals_lost")
    if won is None or lost is None:
        return Words(
            bundle.abstained or "There are too few closed deals to learn from.",
            "可供学习的已结单商机太少。",
        )
    day = _day(dt.datetime.fromisoformat(bundle.as_of), zone)
    return Words(
        f"A win rate needs at least {FEWEST_CLOSED} closed deals, won and lost ones; "
        f"{won} won and {lost} lost were known on {day}.",
        f"估计赢率至少需要 {FEWEST_CLOSED} 个已结单商机，且须既有赢单也有丢单；"
        f"截至 {day} 已知赢单 {won} 个、丢单 {lost} 个。",
    )


def rate(bundle: Bundle, p: float, deals: int) -> Words:
    """Say which rate this is: that of all deals, or of a stage and age while deals are few.

    ``deals`` are the closed ones it was learnt from. The base rate is an estimate that allows
    for deals still open, not a share that was counted.
    """
    percent = f"{100 * p:.0f} %"
    if bundle.parts:
        return Words(
            f"Too few closed deals to learn more (n = {deals}): about {percent} of deals at this"
            " stage and age were won.",
            f"已结单商机太少，无法学到更多（n = {deals}）："
            f"处于此阶段和时长的商机约有 {percent} 赢单。",
        )
    count_en, count_zh = (f" (n = {deals})", f"（n = {deals}）") if deals else ("", "")
    return Words(
        f"No better than the base rate: an estimated {percent} of all deals are won in the end, "
        f"open ones counted in{count_en}.",
        f"不优于基准赢率：估计所有商机（含未结单）最终约有 {percent} 赢单{count_zh}。",
    )
