"""Words for the codes of forecasts: roll-ups, terms of a bridge, layers, why one is silent."""

from __future__ import annotations

from collections.abc import Mapping


def _(message: str) -> str:
    """Mark a message for the catalogues."""
    return message


WORDS: Mapping[str, Mapping[str, str]] = {
    "roll_up": {"cumulative": _("Cumulative"), "single": _("Each category alone")},
    "bridge": {
        "opening": _("As it was"),
        "closing": _("Now"),
        "new": _("New deals"),
        "won": _("Deals won"),
        "lost": _("Deals lost"),
        "pulled_in": _("Pulled in"),
        "pushed_out": _("Pushed out"),
        "amount_up": _("Amount raised"),
        "amount_down": _("Amount lowered"),
        "category_change": _("Another category"),
        "owner_in": _("Came with an owner"),
        "owner_out": _("Left with an owner"),
        "exchange_rate": _("Exchange rate"),
        "removed": _("Record removed"),
        "adjustments": _("Set by hand"),
    },
    "abstains": {
        "too_short_a_history": _("no such period on record"),
        "too_few_periods": _("fewer than four past periods"),
        "too_few_closed": _("fewer than 30 closed deals"),
        "period_is_over": _("this period is over"),
    },
    "layer": {
        "naive": _("Same period last year"),
        "rep": _("Reps’ calls"),
        "manager": _("Manager’s call"),
        "stage_week": _("Stage by week"),
        "weighted": _("Weighted pipeline"),
        "model": _("Model"),
    },
}
