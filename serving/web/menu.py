"""The menu: where each role finds its pages, declared once for the bar and for the phone.

A page that belongs there adds one line to ``ENTRIES``; nothing else names it.
"""

from __future__ import annotations

from dataclasses import dataclass

from crm_core.people.permissions import EVERYBODY


def _(message: str) -> str:
    """Mark a message for the catalogues."""
    return message


@dataclass(frozen=True, slots=True)
class Entry:
    """One link of the menu; ``starts`` are the paths on which it is the current one."""

    path: str
    label: str
    starts: tuple[str, ...]
    roles: tuple[str, ...] = EVERYBODY
    is_counted: bool = False
    """Whether the number of unread alerts stands beside it."""

    def is_current(self, path: str) -> bool:
        """Return whether the page at that path belongs to this entry."""
        return any(path == start or path.startswith(f"{start}/") for start in self.starts)


ENTRIES: tuple[Entry, ...] = (
    Entry("/deals", _("Deals"), ("/deals",)),
    Entry("/accounts", _("Customers"), ("/accounts", "/customers")),
    Entry("/numbers", _("Numbers"), ("/numbers", "/kpis", "/metrics")),
    Entry("/forecast", _("Forecast"), ("/forecast",)),
    Entry("/goals", _("Goals"), ("/goals", "/leaderboards")),
    Entry(
        "/company",
        _("Company"),
        ("/company",),
        ("manager", "leader", "sales_ops", "finance", "data_scientist", "admin"),
    ),
    Entry("/tasks", _("Tasks"), ("/tasks",)),
    Entry("/alerts", _("Alerts"), ("/alerts",), is_counted=True),
    Entry("/imports", _("Imports"), ("/imports",), ("admin", "sales_ops")),
)
"""In the order of the bar."""


def entries(role: str) -> tuple[Entry, ...]:
    """Return what a role finds in its menu."""
    return tuple(entry for entry in ENTRIES if role in entry.roles)
