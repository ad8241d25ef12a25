"""The routes of numbers, their definitions and exports, for the matrix of access."""

from __future__ import annotations

ABOUT_NUMBERS = {
    ("GET", "/api/v1/kpis"),
    ("GET", "/api/v1/kpis/{metric}/rows"),
    ("GET", "/kpis/{metric}"),
    ("GET", "/api/v1/metrics"),
    ("GET", "/api/v1/metrics/names"),
    ("GET", "/api/v1/metrics/{metric}"),
    ("POST", "/api/v1/metrics"),
    ("POST", "/api/v1/metrics/preview"),
    ("POST", "/api/v1/metrics/{metric}/retire"),
    ("GET", "/api/v1/kpis/{metric}/slices"),
    ("GET", "/api/v1/kpis/{metric}/slices/rows"),
    ("GET", "/api/v1/kpis/{metric}/published"),
    ("GET", "/numbers"),
    ("GET", "/api/v1/numbers"),
    ("GET", "/api/v1/exports/numbers.{form}"),
    ("GET", "/api/v1/exports/rows.{form}"),
    ("GET", "/api/v1/exports/metrics.{form}"),
    ("GET", "/metrics"),
    ("GET", "/metrics/new"),
    ("GET", "/metrics/{metric}/edit"),
    ("POST", "/metrics"),
    ("POST", "/metrics/{metric}/retire"),
    ("GET", "/company"),
    ("GET", "/company/table"),
    ("GET", "/api/v1/exports/company.{form}"),
    ("GET", "/api/v1/exports/table.{form}"),
}
