"""The catalogue of metrics as a document, its search, and a preview's numbers as they are shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy.orm import Session

from crm_core.kpis.metric import Metric
from crm_core.kpis.previewing import Preview
from crm_core.people.queries import Viewer
from crm_core.periods import Period
from serving import exports, metric_words, performance
from serving.documents import Column, Document
from serving.explanations import Words
from serving.metrics import Card
from serving.performance import Tile

COLUMNS = tuple(
    Column(key, name)
    for key, name in (
        ("id", Words("Metric", "指标代码")),
        ("version", Words("Version", "版本")),
        ("name_en", Words("English name", "英文名")),
        ("name_zh", Words("Chinese name", "中文名")),
        ("formula", Words("How it is computed", "计算方法")),
        ("unit", Words("Unit", "单位")),
        ("direction", Words("Direction", "方向")),
        ("counts_on", Words("Counts on", "计入日期")),
        ("credited_to", Words("Credited to", "业绩归属")),
        ("rate", Words("Exchange rate", "汇率")),
        ("none_when", Words("No value when", "何时无值")),
        ("since", Words("Since", "版本历史")),
    )
)


def mentions(item: Metric, text: str) -> bool:
    """Return whether a metric's id, names or formulas hold a text; all do without one."""
    told = " ".join((item.id, *item.names, *item.formulas)).lower()
    return all(part in told for part in text.lower().split())


def tile_of(preview: Preview, session: Session, now: dt.datetime) -> tuple[Tile, Tile | None]:
    """Return a draft's number, and that of the version in force if there is one."""
    period = performance.period_named(session, None, as_of=now)
    item = preview.definition.metric()
    before = preview.current
    return (
        performance.tile(item, preview.value, period),
        None if before is None else performance.tile(item, before, period),
    )


def document(
    session: Session,
    cards: Sequence[Card],
    *,
    viewer: Viewer,
    period: Period,
    as_of: dt.datetime,
    language: str,
) -> Document:
    """Return the catalogue as a table, one line per metric."""
    items = [card.metric for card in cards]
    return Document(
        name="metrics",
        title=Words("Every number and what it means", "全部指标及其定义"),
        columns=COLUMNS,
        rows=tuple(_line(item, language) for item in items),
        stamp=exports.stamp(
            session, viewer=viewer, period=period, as_of=as_of,
            about=Words("the definitions you may see", "您可查看的指标定义"),
            definitions={item.id: item.version for item in items},
        ),
    )  # fmt: skip


def _line(item: Metric, language: str) -> tuple[str, ...]:
    chinese = language.startswith("zh")
    return (
        item.id,
        str(item.version),
        item.names[1],
        item.names[0],
        item.formula(language),
        metric_words.UNITS[item.unit].text(language),
        metric_words.DIRECTIONS[item.direction].text(language),
        metric_words.event_day(item).text(language),
        metric_words.credit(item).text(language),
        metric_words.rate(item).text(language),
        item.none_when[0 if chinese else 1],
        "; ".join(item.since),
    )
