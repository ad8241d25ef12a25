"""The audit log: what is written, and that nobody alters it unnoticed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from crm_core.audit import operations, queries
from crm_core.database import transaction

NOON = dt.datetime(2026, 6, 30, 12, 0, 0, 123456, tzinfo=dt.UTC)


def an_entry(session, number=1, **changed):
    values = {
        "actor": "rep", "action": "update", "table": "opportunities", "record_id": f"deal {number}",
        "changes": {"amount": (Decimal("1.10"), Decimal("2.20"))}, "occurred_at": NOON,
        "channel": "api", "address": "127.0.0.1",
    } | changed  # fmt: skip
    operations.record(session, **values)


def tampered(engine, statement):
    """Alter the log as somebody could who owns the server: without its triggers."""
    with engine.begin() as connection:
        connection.execute(text("set local session_replication_role = replica"))
        connection.execute(text(statement))


class TestRecord:
    def test_keeps_who_what_old_new_when_and_from_where(self, session):
        an_entry(
            session, changes={"owner_id": (None, "colleague"), "at": (NOON, dt.date(2026, 7, 1))}
        )
        (line,) = queries.lines(session)
        assert (line.actor, line.action, line.table, line.record_id) == (
            "rep", "update", "opportunities", "deal 1")  # fmt: skip
        assert line.changes == {
            "owner_id": [None, "colleague"], "at": [NOON.isoformat(), "2026-07-01"]}  # fmt: skip
        assert (line.occurred_at, line.channel, line.address) == (NOON, "api", "127.0.0.1")

    def test_is_asked_by_record_person_and_time_newest_first(self, session):
        for number in range(5):
            an_entry(session, number, actor=f"p{number % 2}",
                     occurred_at=NOON + dt.timedelta(days=number))  # fmt: skip
        ids = [line.record_id for line in queries.lines(session, actor="p0")]
        assert ids == ["deal 4", "deal 2", "deal 0"]
        found = queries.lines(session, since=NOON + dt.timedelta(days=2), limit=2)
        assert [line.record_id for line in found] == ["deal 4", "deal 3"]
        more = queries.lines(session, since=NOON + dt.timedelta(days=2), before_id=found[-1].id)
        assert [line.record_id for line in more] == ["deal 2"]
        assert len(queries.lines(session, table="opportunities", record_id="deal 3")) == 1

    def test_takes_text_that_the_database_cannot_hold(self, session):
        an_entry(session, changes={"name": (None, "a\0b")})
        assert queries.lines(session)[0].changes["name"][1] == "a\N{REPLACEMENT CHARACTER}b"


class TestTheChain:
    def test_agrees_with_an_independent_twin(self, session):
        for number in range(4):
            an_entry(session, number, changes={"bb": [1, "ü"], "a": [None, {"z": True, "y": 1}]})
        before = b""
        for row in session.execute(text("select * from audit_log order by chain, place")):
            content = json.dumps(
                [row.chain, row.place, "20260630120000123456", row.actor, row.action,
                 row.table_name, row.record_id,
                 {"a": [None, {"y": 1, "z": True}], "bb": [1, "ü"]},
                 row.channel, row.address, row.request_id],
                ensure_ascii=False,
            )  # fmt: skip
            before = hashlib.sha256(before + content.encode()).digest()
            assert row.hash == before

    @pytest.mark.parametrize(
        "statement",
        ["update audit_log set actor = 'x'", "delete from audit_log", "truncate audit_log"],
    )
    def test_cannot_be_changed_even_by_its_owner(self, session, statement):
        an_entry(session)
        with pytest.raises(DBAPIError, match="append-only"):
            session.execute(text(statement))

    @pytest.mark.parametrize(
        ("statement", "kind", "where"),
        [
            ("update audit_log set actor = 'other' where record_id = 'deal 3'", "altered", 3),
            ("update audit_log set changes = '{}' where record_id = 'deal 3'", "altered", 3),
            ("update audit_log set occurred_at = occurred_at - interval '1 day'"
             " where record_id = 'deal 3'", "altered", 3),
            ("delete from audit_log where record_id = 'deal 3'", "removed", 4),
            ("delete from audit_log where record_id = 'deal 0'", "removed", 1),
        ],
    )  # fmt: skip
    def test_names_the_first_broken_row(self, engine, statement, kind, where):
        with transaction(engine) as session:
            for number in range(6):
                an_entry(session, number)
        tampered(engine, statement)
        with transaction(engine) as session:
            broken = queries.first_broken(session)
            (line,) = queries.lines(session, record_id=f"deal {where}")
        assert (broken.kind, broken.id) == (kind, line.id)

    def test_a_cut_end_shows_in_the_seal(self, engine):
        with transaction(engine) as session:
            for number in range(3):
                an_entry(session, number)
            kept = queries.seal(session)
            an_entry(session, 3)
            assert queries.extends(session, kept.text)
        tampered(engine, "delete from audit_log where record_id in ('deal 2', 'deal 3')")
        with transaction(engine) as session:
            assert queries.first_broken(session) is None
            assert not queries.extends(session, kept.text)
            with pytest.raises(queries.NotASeal):
                queries.extends(session, "nonsense")

    def test_holds_under_writers_at_once_who_do_not_wait_for_each_other(self, engine):
        both_wrote = threading.Barrier(4, timeout=20)

        def write(name):
            with transaction(engine) as session:
                an_entry(session, name)
                both_wrote.wait()  # every transaction has written and none has ended
                an_entry(session, name)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        with transaction(engine) as session:
            assert queries.first_broken(session) is None
            assert queries.seal(session).rows == 8
