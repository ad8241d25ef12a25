"""Categories and the company's own ``x_…`` fields as numbers. Pure.

A category gives two columns: ``…_code``, the order in which its values first became known (so
it never changes later), and ``…_lift``, the record of deals with the same value. A number gives
one column, a yes/no field 0 or 1, a date the days until it; long text gives none.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from features.account_states import TEXTS
from features.deal import Columns, take
from features.definitions import CATEGORIES
from features.engagement import first_seen_codes
from features.fact_tables import DAY, SECOND, Floats, Ints, Pairs
from features.feature import FieldKind, OwnField
from features.history import History, positions
from features.rates import Rates
from features.timeline import Timeline

MOST_VALUES = 64
"""Values of a category told apart by its code; later ones share the last code."""
_MOST_GROUPS = 1_000_000
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Values:
    """A categorical fact over deals and time: its codes and the names they stand for."""

    line: Timeline
    code: Ints
    names: list[str]

    def at(self, pairs: Pairs) -> Ints:
        """Return the code of each deal at its instant, -1 where none is known."""
        last = self.line.seen(pairs.deal, pairs.at).last()
        return take(self.code, last, missing=-1).astype(np.int64)


def _values(line: Timeline, label: pd.Series) -> Values:
    code = first_seen_codes(label, line.known, most=_MOST_GROUPS)
    names = label[code >= 0].groupby(code[code >= 0]).first() if len(label) else pd.Series([])
    return Values(line, code, [str(each) for each in names.sort_index()])


def _from_deals(history: History, label: pd.Series) -> Values:
    """Return a fact that a deal has from its creation on."""
    everyone = np.arange(len(history), dtype=np.int64)
    line = Timeline(everyone, history.created, history.known, owners=len(history))
    return _values(line, label.iloc[line.order].reset_index(drop=True))


def standard(history: History) -> dict[str, Values]:
    """Return the categories every deal may have, those without any value left out."""
    deals = history.deals
    found = {name: _from_deals(history, deals[name]) for name in ("source", "pipeline")}
    found["campaign"] = _from_deals(history, deals["campaign_id"])
    for name in TEXTS:
        line, row = _account_line(history)
        found[name] = _values(line, _pick(history.account_states.table[name], row))
    line, product = history.events("product_id")
    found["product"] = _values(line, product)
    families = history.facts.products
    place = positions(pd.Index(families["id"]), product)
    found["product_family"] = _values(line, _pick(families["family"], place))
    return {name: found[name] for name in CATEGORIES if len(found[name].names) > 1}


def _pick(values: pd.Series, row: Ints) -> pd.Series:
    """Return the value of each row, None where the row is -1."""
    extended = np.empty(len(values) + 1, object)
    extended[:-1] = values.to_numpy(object)
    return pd.Series(extended[row], dtype=object)


def own_fields(history: History) -> dict[str, tuple[Timeline, pd.Series]]:
    """Return the ``x_…`` fields of deals (over time) and of accounts, by column name."""
    line, text = history.events("custom")
    rows: dict[str, list[int]] = {}
    values: dict[str, list[Any]] = {}
    for number, document in enumerate(text):
        for name, value in (json.loads(document) if document else {}).items():
            rows.setdefault(name, []).append(number)
            values.setdefault(name, []).append(value)
    fields = {}
    for name in sorted(rows):
        row: Ints = np.array(rows[name], np.int64)
        part = Timeline(
            line.owner[row], line.occurred[row], line.recorded[row], owners=len(history)
        )
        series = pd.Series(values[name], dtype=object)
        fields[name] = (part, series.iloc[part.order].reset_index(drop=True))
    return {**fields, **_account_fields(history)}


def _account_line(history: History) -> tuple[Timeline, Ints]:
    """Return when each deal's account took on which state, as known of the deal; its rows."""
    return history.once("account line", lambda: _states_of_deals(history))


def _states_of_deals(history: History) -> tuple[Timeline, Ints]:
    deal, since, row = history.account_states.of_deals(history.account, history.known)
    occurred = np.where(since > history.known[deal], since, history.created[deal])
    line = Timeline(deal, occurred, since, owners=len(history))
    return line, row[line.order]


def _account_fields(history: History) -> dict[str, tuple[Timeline, pd.Series]]:
    states = history.account_states.table
    documents = [json.loads(each) if each else {} for each in states["custom"]]
    line, row = _account_line(history)
    fields = {}
    for name in sorted({name for document in documents for name in document}):
        of_state = pd.Series([document.get(name) for document in documents], dtype=object)
        fields[f"account_{name}"] = (line, _pick(of_state, row))
    return fields


def kind_of(values: pd.Series) -> FieldKind:
    """Return how a field is read, from all its known values."""
    known = values.dropna()
    if not len(known):
        return "text"
    types = {type(each) for each in known}
    if types <= {int, float, bool}:
        return "number"
    texts = known.astype(str)
    if texts.str.match(_DATE).all():
        return "date"
    distinct = texts.nunique()
    return "category" if distinct <= 50 or distinct <= 0.2 * len(texts) else "text"


def described(history: History) -> dict[str, OwnField]:
    """Return what the company's own fields hold and are called, by the stem of their columns.

    As the store declares them; of one that is not declared, what its values tell.
    """
    return history.once("described fields", lambda: _described(history))


def _described(history: History) -> dict[str, OwnField]:
    found = {}
    for name, (_, values) in history.once("own fields", lambda: own_fields(history)).items():
        kind = history.once(("kind", name), partial(kind_of, values))
        if kind == "number" and {type(each) for each in values.dropna()} == {bool}:
            kind = "boolean"
        found[name] = OwnField(kind)
    declared = history.facts.custom_fields
    for table, name, kind, en, zh in declared.itertuples(index=False, name=None):
        stem = f"account_{name}" if table == "accounts" else name
        if stem in found:
            found[stem] = OwnField(kind, en, zh)
    return found


def _numbers(values: pd.Series) -> Floats:
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64)


def _instants(values: pd.Series) -> Floats:
    """Return days or instants in ISO form as microseconds since 1970, NaN where missing."""
    result = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        try:
            moment = dt.datetime.fromisoformat(str(value))
        except ValueError:
            continue
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        result[row] = moment.timestamp() * SECOND
    return result


def columns(
    history: History, pairs: Pairs, rates: Rates, *, wanted: Collection[str] | None
) -> tuple[Columns, dict[str, list[str]]]:
    """Return the columns of categories and own fields, and the names behind each code.

    ``wanted`` names the columns a model asks for; None makes all there are.
    """
    result: Columns = {}
    names: dict[str, list[str]] = {}
    categories = dict(history.once("categories", lambda: standard(history)))
    fields = history.once("own fields", lambda: own_fields(history))
    for name, (line, series) in fields.items():
        kind = _kind_wanted(history, name, series, wanted)
        if kind == "category":
            categories[name] = history.once(
                ("own category", name), partial(_own_category, line, series)
            )
        elif kind in ("number", "date"):
            read = _numbers if kind == "number" else _instants
            values = history.once(("own", kind, name), partial(read, series))
            result[name] = _own_number(line, values, pairs, kind)
    for name, category in categories.items():
        code, lift = _category(history, name, category, pairs, rates)
        result[f"{name}_code"], result[f"{name}_lift"] = code, lift
        names[f"{name}_code"] = category.names[:MOST_VALUES]
    return result, names


def _own_category(line: Timeline, values: pd.Series) -> Values:
    return _values(line, values.where(values.isna(), values.astype(str)))


def _kind_wanted(
    history: History, name: str, values: pd.Series, wanted: Collection[str] | None
) -> FieldKind:
    """Return how the field is read: as the model that asks was trained, else by its values."""
    if wanted is not None and f"{name}_code" in wanted:
        return "category"
    kind = history.once(("kind", name), lambda: kind_of(values))
    return "text" if wanted is not None and name not in wanted else kind


def _own_number(line: Timeline, values: Floats, pairs: Pairs, kind: FieldKind) -> Floats:
    known = take(values, line.seen(pairs.deal, pairs.at).last())
    return known if kind == "number" else (known - pairs.at) / DAY


def _category(
    history: History, name: str, values: Values, pairs: Pairs, rates: Rates
) -> tuple[Floats, Floats]:
    """Return the code and the lift of each pair's value."""
    code = values.at(pairs)
    ends = history.endings
    theta, _ = rates.theta(
        f"category {name}",
        lambda: (ends, values.at(Pairs(ends.deal, ends.counted))),
        code,
        parent=rates.company,
    )
    capped = np.minimum(code, MOST_VALUES - 1).astype(np.float64)
    return np.where(code < 0, np.nan, capped), rates.lift(theta)
