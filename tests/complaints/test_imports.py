"""Every row of a file is accounted for, with its reason, and comes back out again.

Each test is a thread of another product's users, with its own numbers.
"""

from __future__ import annotations

import time

from sqlalchemy import text

from tests.complaints.conftest import HTML

USERS = "id,name,email,role\n"


def counted(batch, table):
    """Return a table's counts, which must add up to the file's rows."""
    counts = batch["counts"][table]
    fates = ("inserted", "updated", "unchanged", "rejected", "duplicate")
    assert sum(counts[fate] for fate in fates) == counts["rows"]
    return counts


def stored(firm, table):
    """Return how many rows a table holds."""
    with firm.facts() as session:
        return session.scalar(text(f"select count(*) from {table}"))


def people(*rows):
    """Return a file of users."""
    return USERS + "".join(f"{row}\n" for row in rows)


class TestEspo:
    def test_espocrm_2367_says_20_and_writes_20(self, firm):
        """It said 15 and wrote 20."""
        firm.opens()
        rows = [f"c{n},acme,{'N' * (3 if n % 4 else 300)}" for n in range(20)]
        batch = firm.uploads(contacts="id,account_id,name\n" + "\n".join(rows) + "\n")
        counts = counted(batch, "contacts")
        assert (counts["rows"], counts["inserted"]) == (20, stored(firm, "contacts"))
        assert counts["inserted"] + counts["rejected"] == 20
        assert batch["reconciliation"]["agrees"]

    def test_espocrm_2133_a_bad_e_mail_stops_no_other_row(self, firm):
        """It stopped at the first and called itself completed."""
        firm.opens()
        before = stored(firm, "users")
        batch = firm.uploads(users=people(
            "n1,One,one@test.example,rep", "n2,Two,,rep", "n3,Three,bla.bla.@example.com,rep",
            "n4,Four,one@test.example,rep", "n5,Five,five@test.example,rep",
        ))  # fmt: skip
        assert batch["status"] == "committed"
        counts = counted(batch, "users")
        assert counts["rows"] == 5
        assert stored(firm, "users") - before == counts["inserted"] >= 2
        with firm.facts() as session:
            assert session.scalar(text("select count(*) from users where id in ('n1', 'n5')")) == 2

    def test_espocrm_2372_each_rejected_row_can_be_read_with_its_line_and_reason(self, firm):
        firm.opens()
        batch = firm.uploads(accounts="id,name\na,Alpha\nb,\nc,Gamma\nd,\n")
        assert counted(batch, "accounts")["rejected"] == 2
        found = firm.gets("ops", f"/imports/{batch['id']}/rejections")["items"]
        assert [(row["line"], row["column"]) for row in found] == [(3, "name"), (5, "name")]
        assert all(row["reason"] for row in found)
        page = firm.person("ops").get(f"/imports/{batch['id']}", headers=HTML).text
        for row in found:
            assert row["reason"] in page


class TestSuiteCrm:
    def test_suitecrm_core_805_an_import_of_5000_rows_is_undone_in_seconds(self, firm):
        """It timed out with thousands of rows."""
        firm.opens()
        rows = "".join(f"a{n},Account {n}\n" for n in range(5_000))
        batch = firm.uploads(accounts="id,name\n" + rows)
        assert stored(firm, "accounts") == 5_001
        begun = time.monotonic()
        assert firm.sends("ops", "POST", f"/imports/{batch['id']}/rollback").status_code == 202
        firm.works()
        assert time.monotonic() - begun < 30
        assert firm.gets("ops", f"/imports/{batch['id']}")["status"] == "rolled_back"
        assert stored(firm, "accounts") == 1


class TestOthers:
    def test_wacrm_529_invalid_duplicate_and_empty_rows_are_told_apart(self, firm):
        firm.opens()
        batch = firm.uploads(
            accounts="id,name,employees\na,Alpha,3\na,Alpha,3\nb,Beta,many\n,,\nc,Gamma,\n"
        )
        counts = counted(batch, "accounts")
        assert (counts["inserted"], counts["duplicate"]) == (2, 1)
        found = firm.gets("ops", f"/imports/{batch['id']}/rejections")["items"]
        by_line = {row["line"]: row["reason"] for row in found}
        assert "many" in str([row["value"] for row in found if row["line"] == 4])
        assert len(by_line) == counts["rejected"]
        assert counts["rows"] in (4, 5)  # an empty line is a row without a key, or no row at all
        if counts["rows"] == 4:
            told = str(batch["findings"])
            assert "empty" in told

    def test_twenty_12379_more_than_10000_rows_come_in_and_the_state_is_seen(self, firm):
        """Twenty#2537 stopped at 200, #11887 at 2 000, #12379 at 10 000; silent while busy."""
        firm.opens()
        rows = "".join(f"p{n},Product {n}\n" for n in range(10_001))
        sent = [("files", ("products.csv", f"id,name\n{rows}".encode(), "text/csv"))]
        where = firm.sends("ops", "POST", "/imports", files=sent).headers["location"]
        waiting = firm.person("ops").get(where).json()
        assert waiting["status"] == "queued"
        firm.works()
        batch = firm.person("ops").get(where).json()
        assert batch["status"] == "committed"
        assert counted(batch, "products")["inserted"] == stored(firm, "products") == 10_001
