"""Words for the codes that the store keeps; a customer's own words stay as they are."""

from __future__ import annotations

from collections.abc import Mapping

from serving.languages import Language


def _(message: str) -> str:
    """Mark a message for the catalogues."""
    return message


ERRORS = (
    _("This e-mail and password do not belong together; try again."),
    _("Too many failed log-ins; wait up to 15 minutes and try again."),
    _("There is no such deal among those you may see."),
    _("There is nothing at this address."),
    _("A dismissal needs a reason; say why the advice does not fit."),
    _("A snooze must end in the future; choose a later day."),
    _("This address does not take this method."),
    _("The request is too large."),
    _("Your role may not do this; ask an administrator."),
    _("This request came from another site and was refused."),
    _("The database cannot be reached; try again in a moment."),
    _("A value holds a character or a size that cannot be stored; leave it out."),
    _("Something went wrong on our side. It was written to the log; please try again."),
    _("This cursor does not belong to this list and order; start again without one."),
    _("as_of lies in the future; ask about now or an earlier time."),
)
"""Sentences that an error page may show; each error says the same in English where it is raised."""

WORDS: Mapping[str, Mapping[str, str]] = {
    "role": {
        "rep": _("Sales rep"),
        "manager": _("Sales manager"),
        "leader": _("Sales leader"),
        "sales_ops": _("Sales operations"),
        "finance": _("Finance"),
        "data_scientist": _("Data scientist"),
        "admin": _("Administrator"),
    },
    "action": {
        "view": _("View"),
        "edit": _("Edit"),
        "approve": _("Approve"),
        "export": _("Export"),
    },
    "reach": {"own": _("Own"), "team": _("Team"), "all": _("All")},
    "field": {
        "stage": _("Stage"),
        "amount": _("Amount"),
        "expected_close_on": _("Expected close"),
        "owner_id": _("Owner"),
        "forecast_category": _("Forecast category"),
        "product_id": _("Product"),
        "custom": _("Other fields"),
    },
    "activity": {
        "call": _("Call"),
        "email": _("E-mail"),
        "meeting": _("Meeting"),
        "visit": _("Visit"),
        "demo": _("Demo"),
        "proposal": _("Proposal"),
        "note": _("Note"),
        "other": _("Other activity"),
    },
    "direction": {"in": _("from the customer"), "out": _("to the customer")},
    "contact": {
        "champion": _("Champion"),
        "economic_buyer": _("Economic buyer"),
        "user": _("User of the product"),
        "blocker": _("Blocker"),
        "other": _("Other role"),
    },
    "seniority": {
        "c_level": _("C-level"),
        "vp": _("Vice president"),
        "director": _("Director"),
        "manager": _("Manager"),
        "staff": _("Staff"),
    },
    "outcome": {"won": _("Won"), "lost": _("Lost")},
    "response": {"done": _("Done"), "snoozed": _("Snoozed"), "dismissed": _("Dismissed")},
    "dismissal": {
        "already_done": _("It is already done"),
        "wrong_facts": _("The record is wrong"),
        "bad_time": _("Not the right time"),
        "does_not_fit": _("It does not fit this customer"),
        "other": _("Another reason"),
    },
    "forecast": {
        "pipeline": _("Pipeline"),
        "best_case": _("Best case"),
        "most_likely": _("Most likely"),
        "commit": _("Commit"),
        "closed": _("Closed"),
        "omitted": _("Omitted"),
    },
}


def word(language: Language, kind: str, code: str | None) -> str:
    """Return the word for a code, the code itself when we know no word, a dash for none."""
    if code is None:
        return "–"
    message = WORDS[kind].get(code)
    return code if message is None else language.text(message)
