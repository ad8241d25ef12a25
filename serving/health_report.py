"""The month's report of data health as a PDF; texts, tables and nothing that can run."""

from __future__ import annotations

import io
from decimal import ROUND_FLOOR, Decimal
from html import escape
from zoneinfo import ZoneInfo

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from serving.data_health import Line, Report
from serving.explanations import Words

_FONT = "STSong-Light"
"""One of the fonts every PDF reader must bring: Chinese and Latin, nothing to ship."""

_TITLE = Words("Data health, {month}", "数据健康报告 {month}")
_NONE = Words(
    "The rules were not run in this month; run winward health, or wait for the night.",
    "本月尚未运行检查;请运行 winward health,或等待夜间任务。",
)
_RUNS = Words("{runs} runs, the last at {when}.", "共检查 {runs} 次,最近一次为 {when}。")
_HEAD = (
    Words("Rule", "规则"),
    Words("Checked", "检查数"),
    Words("Failing", "不合格"),
    Words("Passing", "合格率"),
    Words("Month's start", "月初"),
    Words("Result", "结果"),
)
_TODO = Words("What to do", "待办")
_SOUND = Words("Nothing fails.", "没有不合格项。")
_STOPS = {"training": Words("stops training", "阻止训练"), "pay": Words("stops pay", "阻止发薪")}


def percent(share: Decimal | None) -> str:
    """Return a share as a percentage, rounded down: 99.96 % is not 100 %."""
    if share is None:
        return "–"
    return f"{(100 * share).quantize(Decimal('0.1'), ROUND_FLOOR)} %"


def pdf(report: Report, *, company: str, locale: str, time_zone: ZoneInfo) -> bytes:
    """Return the report as a PDF of A4 pages."""
    pdfmetrics.registerFont(UnicodeCIDFont(_FONT))
    text = ParagraphStyle("text", fontName=_FONT, fontSize=9, leading=13)
    head = ParagraphStyle("head", parent=text, fontSize=17, leading=24)
    second = ParagraphStyle("second", parent=text, fontSize=12, leading=18, spaceBefore=6)
    title = _TITLE.text(locale).format(month=report.month)
    story: list[Flowable] = [Paragraph(escape(f"{company} · {title}"), head)]
    if report.ran_at is None:
        story.append(Paragraph(escape(_NONE.text(locale)), text))
    else:
        when = f"{report.ran_at.astimezone(time_zone):%Y-%m-%d %H:%M}"
        said = _RUNS.text(locale).format(runs=report.runs, when=when)
        story += [Paragraph(escape(said), text), Spacer(1, 4 * mm), _scores(report, locale)]
        story += [Paragraph(_TODO.text(locale), second), *_to_do(report, text, locale)]
        story += [Spacer(1, 4 * mm), _rules(report, text, locale)]
    target = io.BytesIO()
    SimpleDocTemplate(
        target, pagesize=A4, title=title, author=company, invariant=1,
        leftMargin=16 * mm, rightMargin=16 * mm, topMargin=14 * mm, bottomMargin=14 * mm,
    ).build(story)  # fmt: skip
    return target.getvalue()


def _scores(report: Report, locale: str) -> Table:
    names = [name.text(locale) for name, _ in report.scores]
    table = Table([names, [percent(score) for _, score in report.scores]], hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, 0), _FONT, 8),
                ("FONT", (0, 1), (-1, 1), _FONT, 13),
                ("TEXTCOLOR", (0, 0), (-1, 0), colors.HexColor("#5b6472")),
                ("RIGHTPADDING", (0, 0), (-1, -1), 14),
            ]
        )
    )
    return table


def _to_do(report: Report, style: ParagraphStyle, locale: str) -> list[Flowable]:
    if not report.failing:
        return [Paragraph(escape(_SOUND.text(locale)), style)]
    return [Paragraph(_task(line, locale), style) for line in report.failing]


def _task(line: Line, locale: str) -> str:
    stops = "".join(f" – {_STOPS[each].text(locale)}" for each in line.stops)
    named = "; ".join(f"{key}: {detail}" for key, detail in line.examples[:3])
    examples = f" ({escape(named)})" if named else ""
    return (
        f"<b>{escape(line.name.text(locale))}</b>: {line.failing:,} / {line.checked:,}"
        f"{escape(stops)}. {escape(line.remedy.text(locale))}{examples}"
    )


def _rules(report: Report, style: ParagraphStyle, locale: str) -> Table:
    rows: list[list[object]] = [[name.text(locale) for name in _HEAD]]
    marks = []
    for place, line in enumerate(report.lines, start=1):
        rows.append(
            [
                Paragraph(escape(line.name.text(locale)), style),
                f"{line.checked:,}",
                f"{line.failing:,}",
                percent(line.share),
                percent(line.first_share),
                line.status_name.text(locale),
            ]
        )
        if line.status == "failing":
            marks.append(("TEXTCOLOR", (5, place), (5, place), colors.HexColor("#b3261e")))
    widths = [76 * mm, 22 * mm, 20 * mm, 20 * mm, 20 * mm, 20 * mm]
    table = Table(rows, colWidths=widths, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), _FONT, 8.5),
                ("LINEBELOW", (0, 0), (-1, -1), 0.3, colors.HexColor("#c9ced6")),
                ("ALIGN", (1, 0), (4, -1), "RIGHT"),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                *marks,
            ]
        )
    )
    return table
