"""A worker in a process of its own, for tests that kill, stop and wake it."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from sqlalchemy import text

from crm_core.database import create_engine, transaction
from serving import attending, jobs
from serving.leases import LeaseLost

url, folder = sys.argv[1], Path(sys.argv[2])
app = jobs.application(url)
app.periodic_registry.periodic_tasks.clear()  # nothing runs but what the test asks for
engine = create_engine(url)


def note(name: str) -> int:
    """Add a mark to a file and return how many it has."""
    with (folder / name).open("a") as file:
        file.write("x")
    return len((folder / name).read_text())


@app.task(name="winward:test", queueing_lock="test")
async def quick() -> None:
    """Leave a mark."""
    note("done")


def write() -> None:
    """Write one row in a transaction that stays open until it may go on."""
    try:
        with transaction(engine) as session:
            session.execute(text("insert into effects values (1)"))
            number = note("began")
            while not (folder / f"go-{number}").exists():
                time.sleep(0.05)
    except LeaseLost:
        note("refused")
        raise
    note("done")


@app.task(name="winward:effect", queueing_lock="effect")
async def effect() -> None:
    """Have an effect on the facts."""
    await asyncio.to_thread(write)


async def main() -> None:
    """Work until told to stop, with a heartbeat limit of a second."""
    async with app.open_async():
        await app.run_worker_async(
            additional_context={"stalled_seconds": 1.0, "look_seconds": 0.2}, concurrency=2,
            update_heartbeat_interval=0.2, stalled_worker_timeout=1.0,
            fetch_job_polling_interval=0.2, shutdown_graceful_timeout=0.5,
            worker_middleware=[attending.attend],
        )  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
