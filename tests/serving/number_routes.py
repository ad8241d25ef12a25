"""The routes of numbers, their definitions and exports, for the matrix of access."""

from __future__ import annotations

ABOUT_NUMBERS = {
    ("GET", "/api/v1/kpis"),
    ("GET", "/api/v1/kpis/{metric}/rows"),
    ("GET", "/kpis/{metric}"),
    ("GET", "/numbers"),
    ("GET", "/api/v1/numbers"),
    ("GET", "/api/v1/exports/numbers.{form}"),
    ("GET", "/api/v1/exports/rows.{form}"),
}
