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
    _("There is no such customer among those you may see."),
    _("There is no such record among those you may see."),
    _("There is no such request among those you may see."),
    _("There is no such task among those you may see."),
    _("This request was already decided; ask anew if it is still needed."),
    _("Nobody decides their own request; another approver must."),
    _("A rejection needs a comment; say why."),
    _("This waits for a decision already; withdraw it first."),
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
    "alert": {
        "slipped": _("Slipped deals"),
        "stalled": _("Stalled deals"),
        "task_due": _("Reminder"),
        "task_overdue": _("Overdue task"),
        "approval_waiting": _("Approval waits"),
        "approval_decided": _("Approval decided"),
        "lead_stranded": _("Lead without owner"),
        "assigned": _("Assigned to you"),
        "mention": _("Mention"),
        "rule": _("From a rule"),
        "webhook_failed": _("Webhook failed"),
        "data_health": _("Data health"),
        "churn_risk": _("Churn risk"),
        "off_pace": _("Off pace"),
        "retraining": _("Training anew"),
    },
    "job_state": {
        "waiting": _("waits"),
        "running": _("runs"),
        "done": _("done"),
        "failed": _("failed"),
        "cancelled": _("cancelled"),
    },
    "alert_mode": {"now": _("at once"), "digest": _("in the digest"), "off": _("not at all")},
    "approval": {
        "pending": _("Waits"),
        "approved": _("Approved"),
        "rejected": _("Rejected"),
        "withdrawn": _("Withdrawn"),
    },
    "decision": {
        "approve": _("Approved"),
        "reject": _("Rejected"),
        "delegate": _("Handed on"),
        "escalate": _("Escalated"),
        "withdraw": _("Withdrawn"),
    },
    "purpose": {
        "stage_override": _("Exception from a stage’s criteria"),
        "discount": _("Discount"),
        "quota": _("Quota"),
        "other": _("Other request"),
    },
    "stranded": {
        "no_rule": _("no rule fits"),
        "no_capacity": _("nobody has room"),
        "owner_left": _("its owner has left"),
        "not_tried": _("not tried yet"),
    },
    "criterion": {
        "field": _("A field is filled"),
        "contact_role": _("A contact’s role"),
        "activity": _("An activity in the stage"),
        "min_days": _("Days in the stage"),
        "task": _("A task is done"),
        "condition": _("A condition"),
    },
    "asked_field": {
        "amount": _("Amount"),
        "expected_close_on": _("Expected close"),
        "owner_id": _("Owner"),
        "forecast_category": _("Forecast category"),
        "product_id": _("Product"),
        "account_id": _("Customer"),
        "lost_reason": _("Reason for the loss"),
        "source": _("Source"),
    },
    "record_field": {
        "name": _("Name"),
        "industry": _("Industry"),
        "region": _("Region"),
        "country": _("Country"),
        "tier": _("Tier"),
        "employees": _("Employees"),
        "annual_revenue_minor": _("Annual revenue"),
        "currency": _("Currency"),
        "owner_id": _("Owner"),
        "parent_id": _("Parent company"),
        "created_at": _("Customer since"),
    },
    "record_table": {
        "accounts": _("subsidiaries"),
        "contacts": _("contacts"),
        "leads": _("leads"),
        "opportunities": _("deals"),
        "activities": _("activities"),
        "orders": _("orders"),
        "invoices": _("invoices"),
        "payments": _("payments"),
        "subscriptions": _("subscriptions"),
        "tickets": _("tickets"),
        "usage": _("days of usage"),
    },
    "likeness": {
        "same name": _("same name"),
        "same e-mail": _("same e-mail"),
        "same e-mail domain": _("same e-mail domain"),
        "same telephone number": _("same telephone number"),
    },
    "event": {
        "opportunity.created": _("a deal is created"),
        "opportunity.changed": _("a deal changes"),
        "opportunity.stage_changed": _("a deal changes its stage"),
        "lead.created": _("a lead arrives"),
        "lead.changed": _("a lead changes"),
        "account.created": _("a customer is created"),
        "account.changed": _("a customer changes"),
        "activity.created": _("an activity is recorded"),
    },
    "rule_action": {
        "assign": _("assign"),
        "task": _("make a task"),
        "notify": _("tell"),
        "set": _("set"),
        "webhook": _("send a webhook"),
    },
    "run": {
        "done": _("done"),
        "blocked": _("blocked: it would go round in a circle"),
        "stale": _("left out: a later change was handled before"),
        "failed": _("failed"),
    },
    "delivery": {
        "waiting": _("waits"),
        "delivered": _("delivered"),
        "failed": _("given up"),
    },
    "order": {"signed": _("signed"), "cancelled": _("cancelled")},
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
