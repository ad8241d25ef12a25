"""Long work made visible: one line per step with its time, a moving bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

Advance = Callable[[str, int, int | None], None]
"""Tells how far a step is: what is being done, how many are done, of how many if known."""


class Steps:
    """Prints each step with the seconds it took; keeps them in ``seconds`` by name."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, what: str) -> Iterator[Advance]:
        """Show a step while the block runs; the block may call what is yielded to move the bar."""
        began = perf_counter()
        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(),
        )  # fmt: skip
        with Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as bar:
            task = bar.add_task(what, total=None)

            def advance(label: str, done: int, total: int | None) -> None:
                described = f"{what}: {label}" if label else what
                bar.update(task, description=described, completed=done, total=total)

            yield advance
        self.seconds[what] = perf_counter() - began
        self.console.print(f"  [green]✓[/green] {what}  [dim]{self.seconds[what]:.1f} s[/dim]")
