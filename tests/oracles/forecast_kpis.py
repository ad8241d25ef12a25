"""Twins of the metrics of forecasts, from the settled scores by plain Python."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text


class ForecastTwin:
    """Reads the scores known by then; the last of each person, period, week and layer counts."""

    def _scores(self):
        rows = self.session.execute(
            text("select s.*, u.role from forecast_scores s join users u on u.id = s.subject_id")
        )
        latest = {}
        for row in rows:
            if row.recorded_at > self.as_of:
                continue
            key = row.subject_id, row.period_start, row.period_end, row.week, row.layer
            if key not in latest or latest[key].recorded_at < row.recorded_at:
                latest[key] = row
        for row in latest.values():
            end = row.period_start + dt.timedelta(days=7 * row.week)
            day = min(end, row.period_end) - dt.timedelta(days=1)
            own = row.layer == ("rep" if row.role == "rep" else "manager")
            if own and self.period.contains(day):
                yield row

    def _each(self, value):
        return [
            (row.subject_id, value(row) if row.actual_minor > 0 else None, row.actual_minor)
            for row in self._scores()
        ]

    def forecast_error(self):
        return self._each(lambda r: abs(r.forecast_minor - r.actual_minor))

    def bias(self):
        return self._each(lambda r: r.forecast_minor - r.actual_minor)

    def forecast_value_added(self):
        return self._each(
            lambda r: (
                None
                if r.naive_minor is None
                else abs(r.naive_minor - r.actual_minor) - abs(r.forecast_minor - r.actual_minor)
            )
        )
