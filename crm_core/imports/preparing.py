"""Preparing rows for COPY on a thread of its own, while the server works on those before them.

The scratch database belongs to that thread as long as it runs. What is prepared and not yet
taken is bounded, so the memory of an import is too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Thread

from crm_core.imports.compiling import Compiled
from crm_core.imports.scratch import Scratch
from crm_core.imports.staging import Chunk, chunks

_MOST_BYTES = 32 << 20


class Stopped(Exception):
    """The import ended before everything was taken."""


class Prepared:
    """The rows of several tables, to be taken table by table in the order they were named."""

    def __init__(self) -> None:
        self._ready: deque[Chunk | None] = deque()
        self._bytes = 0
        self._changed = Condition()
        self._error: BaseException | None = None
        self._is_stopped = False

    def table(self) -> Iterator[Chunk]:
        """Yield the chunks of the next table. Raises what its preparation raised."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._error)
                if not self._ready:
                    assert self._error is not None
                    raise self._error
                chunk = self._ready.popleft()
                if chunk is not None:
                    self._bytes -= len(chunk.text)
                self._changed.notify_all()
            if chunk is None:
                return
            yield chunk

    def put(self, chunk: Chunk | None) -> None:
        """Keep a chunk, None at a table's end; wait while too much is kept. Raises Stopped."""
        size = 0 if chunk is None else len(chunk.text)
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopped or not self._bytes or self._bytes + size <= _MOST_BYTES
            )
            if self._is_stopped:
                raise Stopped
            self._ready.append(chunk)
            self._bytes += size
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Let the one who takes get this error after what was prepared before it."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def stop(self) -> None:
        """Let the one who prepares end."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()


@contextmanager
def prepared(scratch: Scratch, items: list[Compiled], *, currency: str) -> Iterator[Prepared]:
    """Yield the rows of compiled tables, which are prepared ahead until the block ends."""
    given = Prepared()

    def work() -> None:
        try:
            for item in items:
                batches = scratch.batches(item.query, f"The mapping of {item.table.name}")
                for chunk in chunks(batches, item.columns, currency=currency):
                    given.put(chunk)
                given.put(None)
        except Stopped:
            pass
        except BaseException as error:  # raised again by the thread that imports
            given.fail(error)

    thread = Thread(target=work, name="preparing", daemon=True)
    thread.start()
    try:
        yield given
    finally:
        given.stop()
        if thread.is_alive():
            scratch.connection.interrupt()
        thread.join()
