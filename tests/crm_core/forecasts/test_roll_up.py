"""The roll-up of forecasts: the worked example, and four amounts on random trees."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.forecasts import hierarchy
from crm_core.forecasts.arithmetic import Adjustment, Sum, roll_up, together
from crm_core.forecasts.catalogue import (
    ADJUSTABLE,
    CATEGORIES,
    COLUMNS,
    UnknownColumn,
    category_of,
    summed,
)

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
EXAMPLE = {"closed": 50, "commit": 100, "best_case": 150, "pipeline": 200, "omitted": 7_000}


def of(amounts):
    return {category: Sum(minor, 1) for category, minor in amounts.items()}


def an_adjustment(subject, column, author, minor, base):
    return Adjustment(subject, column, author, minor, base, "because", NOW)


class TestTheWorkedExample:
    """MONEY.md §3: closed 50, commit 100, best case 150, pipeline 200."""

    def test_of_the_cumulative_roll_up_gives_its_four_numbers(self):
        cells = roll_up({"a": None}, {"a": of(EXAMPLE)}, {}, method="cumulative").cells["a"]
        assert {column: cell.raw for column, cell in cells.items()} == {
            "open_pipeline": 450,
            "best_case": 300,
            "most_likely": 150,
            "commit": 150,
            "closed": 50,
        }

    def test_of_the_single_roll_up_gives_each_category(self):
        cells = roll_up({"a": None}, {"a": of(EXAMPLE)}, {}, method="single").cells["a"]
        assert {column: cell.raw for column, cell in cells.items()} == {
            "pipeline": 200,
            "best_case": 150,
            "most_likely": 0,
            "commit": 100,
            "closed": 50,
        }

    def test_never_counts_what_is_omitted(self):
        for columns in COLUMNS.values():
            assert all("omitted" not in categories for categories in columns.values())

    def test_names_the_columns_there_are_for_one_there_is_not(self):
        with pytest.raises(UnknownColumn, match="open_pipeline"):
            summed("cumulative", "pipeline")


class TestACategory:
    @pytest.mark.parametrize(
        ("kind", "of_stage", "picked", "category"),
        [
            ("open", "pipeline", None, "pipeline"),
            ("open", None, None, "pipeline"),
            ("open", "best_case", "commit", "commit"),
            ("open", "commit", "omitted", "omitted"),
            ("open", "best_case", "closed", "best_case"),
            ("open", "closed", None, "commit"),
            ("open", "pipeline", "sure", "pipeline"),
            ("on_hold", None, None, "omitted"),
            ("on_hold", None, "best_case", "best_case"),
            ("won", "commit", "omitted", "closed"),
            ("lost", "closed", "commit", "omitted"),
        ],
    )
    def test_is_the_outcome_s_then_the_pick_s_then_the_stage_s(
        self, kind, of_stage, picked, category
    ):
        assert category_of(kind=kind, of_stage=of_stage, picked=picked) == category


@st.composite
def companies(draw):
    """A random tree, what each person owns, and amounts that anybody set for anybody."""
    size = draw(st.integers(1, 8))
    names = [f"p{number}" for number in range(size)]
    parents = {names[0]: None}
    for number in range(1, size):
        parents[names[number]] = draw(st.sampled_from([None, *names[:number]]))
    amounts = st.integers(-50, 1_000)
    owned = {
        name: of(draw(st.dictionaries(st.sampled_from(CATEGORIES), amounts, max_size=4)))
        for name in names
    }
    keys = st.tuples(st.sampled_from(names), st.sampled_from(ADJUSTABLE), st.sampled_from(names))
    set_by = draw(st.dictionaries(keys, st.tuples(amounts, amounts), max_size=8))
    adjustments = {key: an_adjustment(*key, *values) for key, values in set_by.items()}
    return parents, owned, adjustments, draw(st.sampled_from(["cumulative", "single"]))


class SlowOracle:
    """The four amounts by their definitions, person by person, computed anew each time."""

    def __init__(self, parents, owned, adjustments, method):
        self.parents, self.owned, self.adjustments = parents, owned, adjustments
        self.columns = COLUMNS[method]

    def reports(self, person):
        return [each for each, superior in self.parents.items() if superior == person]

    def own(self, person, column):
        return sum(
            found.minor
            for category, found in self.owned[person].items()
            if category in self.columns[column]
        )

    def raw(self, person, column):
        below = sum(self.raw(each, column) for each in self.reports(person))
        return self.own(person, column) + below

    def set_by(self, person, column, author):
        found = self.adjustments.get((person, column, author))
        return None if found is None else found.minor

    def without_owner(self, person, column):
        return self.own(person, column) + sum(
            self.all_adjustments(each, column) for each in self.reports(person)
        )

    def owner_view(self, person, column):
        own = self.set_by(person, column, person)
        return self.without_owner(person, column) if own is None else own

    def all_adjustments(self, person, column):
        superior = self.parents[person]
        above = None if superior is None else self.set_by(person, column, superior)
        return self.owner_view(person, column) if above is None else above


class TestFourAmounts:
    @given(companies())
    def test_are_those_of_a_slow_oracle(self, company):
        parents, owned, adjustments, method = company
        oracle = SlowOracle(parents, owned, adjustments, method)
        cells = roll_up(parents, owned, adjustments, method=method).cells
        for person in parents:
            for column in COLUMNS[method]:
                cell = cells[person][column]
                for amount in ("raw", "without_owner", "owner_view", "all_adjustments"):
                    assert getattr(cell, amount) == getattr(oracle, amount)(person, column), amount

    @given(companies())
    def test_are_all_the_raw_one_where_nobody_set_anything(self, company):
        parents, owned, _, method = company
        for cells in roll_up(parents, owned, {}, method=method).cells.values():
            for cell in cells.values():
                assert cell.raw == cell.without_owner == cell.owner_view == cell.all_adjustments
                assert not cell.stale

    @given(companies())
    def test_of_the_tops_sum_to_the_company_s(self, company):
        parents, owned, adjustments, method = company
        cells = roll_up(parents, owned, adjustments, method=method).cells
        tops = {person: cells[person] for person, superior in parents.items() if superior is None}
        nobodys = of({"commit": 11, "omitted": 5})
        whole = together(tops, method=method, own=nobodys)
        for column, categories in COLUMNS[method].items():
            extra = 11 if "commit" in categories else 0
            deals = [
                found.minor
                for mine in owned.values()
                for category, found in mine.items()
                if category in categories
            ]
            assert whole[column].raw == sum(deals) + extra
            assert whole[column].all_adjustments == extra + sum(
                top[column].all_adjustments for top in tops.values()
            )

    def test_leave_out_what_a_superior_s_superior_set(self):
        parents = {"top": None, "mid": "top", "rep": "mid"}
        skipping = {("rep", "commit", "top"): an_adjustment("rep", "commit", "top", 999, 0)}
        cells = roll_up(parents, {"rep": of({"commit": 10})}, skipping, method="cumulative").cells
        assert cells["rep"]["commit"].all_adjustments == 10
        assert cells["top"]["commit"].all_adjustments == 10

    def test_pass_what_is_set_below_up_and_not_down(self):
        parents = {"top": None, "mid": "top", "rep": "mid"}
        adjustments = {
            ("rep", "commit", "rep"): an_adjustment("rep", "commit", "rep", 20, 10),
            ("rep", "commit", "mid"): an_adjustment("rep", "commit", "mid", 15, 20),
            ("mid", "commit", "mid"): an_adjustment("mid", "commit", "mid", 40, 15),
            ("mid", "commit", "top"): an_adjustment("mid", "commit", "top", 30, 40),
        }
        cells = roll_up(
            parents, {"rep": of({"commit": 10})}, adjustments, method="cumulative"
        ).cells
        four = {
            person: (c.raw, c.without_owner, c.owner_view, c.all_adjustments)
            for person in parents
            for c in [cells[person]["commit"]]
        }
        assert four == {
            "rep": (10, 10, 20, 15),
            "mid": (10, 15, 40, 30),
            "top": (10, 30, 30, 30),
        }
        assert not any(cells[person]["commit"].stale for person in parents)

    def test_go_stale_where_the_deals_changed_and_stay(self):
        adjusted = {("rep", "commit", "rep"): an_adjustment("rep", "commit", "rep", 20, 10)}
        cells = roll_up({"rep": None}, {"rep": of({"commit": 12})}, adjusted, method="single").cells
        assert cells["rep"]["commit"].owner_is_stale
        assert cells["rep"]["commit"].owner_view == 20


@st.composite
def staffs(draw):
    """People who report to anybody, also in circles, placed in a random tree of units."""
    names = [f"p{number}" for number in range(draw(st.integers(1, 9)))]
    units = ["u0", "u1", "u2", "u3"]
    above = {"u0": None, "u1": "u0", "u2": "u0", "u3": draw(st.sampled_from(["u1", "u2", "u3"]))}
    people = [
        hierarchy.Member(
            name, name, draw(st.sampled_from(["rep", "manager", "leader", "finance"])),
            draw(st.sampled_from([None, *names])),
            tuple(draw(st.lists(st.sampled_from(units), max_size=2, unique=True))),
            draw(st.booleans()),
        )
        for name in names
    ]  # fmt: skip
    return people, above


class TestTheTree:
    @given(staffs())
    def test_has_no_circle_and_loses_nobody(self, staff):
        people, units = staff
        tree = hierarchy.build(people, units)
        assert set(tree.parents) == {person.id for person in people}
        reached = [
            each
            for person, superior in tree.parents.items()
            if superior is None
            for each in tree.below(person)
        ]
        assert sorted(reached) == sorted(tree.parents)
        for person in tree.parents:
            assert person not in tree.above(person)

    @given(staffs())
    def test_keeps_whom_somebody_reports_to(self, staff):
        people, units = staff
        tree = hierarchy.build(people, units)
        for person in people:
            if person.manager_id is not None and person.id not in tree.cut:
                assert tree.parents[person.id] == person.manager_id

    def test_puts_who_reports_to_nobody_under_who_leads_the_unit_or_one_above(self):
        people = [
            hierarchy.Member("boss", "boss", "leader", None, ("company",)),
            hierarchy.Member("lead", "lead", "manager", "boss", ("east",)),
            hierarchy.Member("anna", "anna", "rep", None, ("east",)),
            hierarchy.Member("bo", "bo", "rep", None, ("west",)),
            hierarchy.Member("lost", "lost", "rep", None, ()),
        ]
        tree = hierarchy.build(people, {"company": None, "east": "company", "west": "company"})
        assert tree.parents == {
            "boss": None, "lead": "boss", "anna": "lead", "bo": "boss", "lost": None,
        }  # fmt: skip
        assert tree.tops == ("boss",)
        assert not tree.is_placed("lost")
        assert tree.below("boss") == {"boss", "lead", "anna", "bo"}
