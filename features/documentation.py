"""The page docs/features.md, made from the definitions; a test keeps the two equal."""

from __future__ import annotations

from features.definitions import FEATURES, GROUPS
from features.feature import Feature

_SIGNS = {1: "raises", -1: "lowers", 0: ""}
_INTRODUCTION = """# Features of the win-rate model

Generated from `features/definitions.py` (`python -m features.documentation > docs/features.md`).
Every value is as known at the row's time: facts that had happened and were recorded by then.
What is not known is missing and never 0. A *lift* is the log of how the odds of winning in the
record compare with the company's average, shrunk to it where there is little record; the deal
itself never counts. *May only* says in which direction more of it may move the probability.

Beside these, a company's own data give columns by rule: `NAME_code` and `NAME_lift` for each
category (source, product, product_family, pipeline, campaign, industry, region, country, tier,
and `x_…` fields that hold categories), `x_…` and `account_x_…` for numbers, dates and yes/no
fields, `done_KIND_DIRECTION_RESULT_count` and `…_days` for the 20 kinds of activity that most
deals have, `entered_STAGE_count` and `…_days` for stages. The model for coaching leaves out the
owner's belief.

Stage, amount, dates, owner and own fields of a deal are replayed from its events, an account's
industry, region, country, tier, size, revenue and own fields from the former values that the
store keeps of every changed record. Before the first change an account counts as what it was
first known as. *Today's* marks the few that rest on a value as it is today (a contact's
seniority, a product's family, when an account was created and a person hired): a training
suspects leakage in them at AUC 0.80 already, in others at 0.90.

The hour, weekday and month of creation and the number of the company's deals are left out on
purpose: on a log of months they only tell the date, which does not extrapolate (bpic2012, split
by time inside the training period: log loss 0.660 with them, 0.622 without).
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for group in GROUPS:
        members = [each for each in FEATURES if each.group == group.name]
        if members:
            rows = "\n".join(_row(each) for each in members)
            parts.append(
                f"## {group.en} · {group.zh}\n\n"
                "| column | meaning | 含义 | unit | may only | today's | said as |\n"
                f"|---|---|---|---|---|---|---|\n{rows}\n"
            )
    return "\n".join(parts)


def _row(each: Feature) -> str:
    said = each.fact_en.format(value="…")
    return (
        f"| `{each.name}` | {each.en} | {each.zh} | {each.unit.replace('_', ' ')} "
        f"| {_SIGNS[each.monotone]} | {'yes' if each.undated else ''} | {said} |"
    )


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
