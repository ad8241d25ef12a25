"""A killed import leaves nothing; a large one stays within its memory."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import subprocess
import sys
import time

import pytest
from sqlalchemy import text

from crm_core.database import transaction
from crm_core.imports.batches import fail_abandoned
from crm_core.imports.rollback import roll_back

SCRIPT = """
import datetime as dt, pathlib, re, sys
from crm_core.database import create_engine
from crm_core.imports.operations import import_path
report = import_path(create_engine(sys.argv[1]), pathlib.Path(sys.argv[2]), mapping=None,
    recorded_at=dt.datetime(2026, 6, 30, tzinfo=dt.UTC), dry_run=False, rejected_folder=None,
    progress=lambda phase, done, total: print(phase, flush=True))
assert all(counts.rejected == 0 for counts in report.tables.values()), report.rejections[:3]
# ru_maxrss would count what the test process held when it started this one
status = pathlib.Path("/proc/self/status").read_text()
print("PEAK", int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) // 1024)
"""


def company_of(folder, rows):
    folder.mkdir()
    (folder / "company.csv").write_text("name,currency,time_zone\nAcme,USD,UTC\n")
    (folder / "accounts.csv").write_text(
        "id,name\n" + "".join(f"a{i},Account {i}\n" for i in range(1000))
    )
    with (folder / "orders.csv").open("w") as stream:
        stream.write("id,account_id,ordered_on,amount,quantity,x_note\n")
        for i in range(rows):
            stream.write(
                f"o{i},a{i % 1000},2026-01-{i % 28 + 1:02d},{i % 9999}.25,{i % 7},"
                f"a note of some length about order number {i}\n"
            )
    return folder


def start(url, folder):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, url, str(folder)], stdout=subprocess.PIPE, text=True
    )


def counted(engine):
    with transaction(engine) as session:
        return tuple(
            session.execute(text(f"select count(*) from {name}")).scalar_one()
            for name in (
                "company", "accounts", "orders", "import_changes",
                "import_batches where status = 'committed'",
            )
        )  # fmt: skip


def states(engine):
    """Return the states of all batches once the server has noticed that its client is gone.

    PostgreSQL looks at the connection between two statements, so a statement that ran when the
    program was killed is finished first; until then the batch truthfully says "running".
    """
    end = time.monotonic() + 60
    while True:
        fail_abandoned(engine)
        with transaction(engine) as session:
            found = set(session.execute(text("select status from import_batches")).scalars())
        if "running" not in found or time.monotonic() > end:
            return found
        time.sleep(0.05)


STOPS = [
    "reading orders.csv",
    "checking accounts",
    "checking orders",
    "writing accounts",
    "writing orders",
]


@pytest.mark.parametrize(
    "kills",
    [pytest.param(5), pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_kill_9_leaves_all_or_nothing_and_a_second_try_brings_all(
    engine, database_url, tmp_path, kills
):
    folder = company_of(tmp_path / "in", 8_000)
    chance = random.Random(20261122)
    for stop in itertools.islice(itertools.cycle(STOPS), kills):
        child = start(database_url, folder)
        for line in child.stdout:
            if line.startswith(stop):
                time.sleep(chance.random() * 0.4)
                break
        child.kill()
        child.stdout.close()
        child.wait()
        assert counted(engine) in {(0, 0, 0, 0, 0), (1, 1000, 8_000, 9_002, 1)}, stop
        assert states(engine) <= {"failed", "committed"}
    child = start(database_url, folder)
    child.communicate()
    assert child.returncode == 0
    assert counted(engine) == (1, 1000, 8_000, 9_002, 1)
    with transaction(engine) as session:  # and what came in can be taken back
        number = session.scalar(text("select id from import_batches where status = 'committed'"))
        roll_back(session, number, at=dt.datetime(2026, 7, 1, tzinfo=dt.UTC))
    assert counted(engine) == (0, 0, 0, 0, 0)


def peak_of(database_url, folder):
    child = start(database_url, folder)
    output, _ = child.communicate()
    assert child.returncode == 0
    return int(output.rsplit("PEAK", 1)[1])


def test_memory_does_not_grow_with_the_file(engine, database_url, tmp_path):
    small = peak_of(database_url, company_of(tmp_path / "small", 10))
    large = peak_of(database_url, company_of(tmp_path / "large", 40_000))
    assert large < 1000
    assert large - small < 400


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_gigabytes_stay_under_one_gigabyte_of_memory(engine, database_url, tmp_path):
    folder = company_of(tmp_path / "huge", 24_000_000)
    assert (folder / "orders.csv").stat().st_size > 2 * 10**9
    assert peak_of(database_url, folder) < 1000
