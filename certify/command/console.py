"""The terminal: progress, tables and messages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from certify.columns import Columns
from certify.errors import BadInput
from certify.progress import Progress


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show a progress bar on standard error, if that is a terminal, and yield what moves it.

    A full bar leaves the terminal to whatever comes next.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    hidden = not console.is_terminal
    with Bar(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(label, total=None, note="")

        def advance(done: int, of: int, note: str) -> None:
            bar.update(task, completed=done, total=of, note=note)
            if bar.finished:
                bar.stop()

        yield advance


def print_columns(found: Columns, width: int, *, right: bool = False) -> None:
    """Print a table; ``right``: numbers, that is all columns but the first, stand on the right."""
    table = Table(*found.heads, title=found.title or None)
    for column in table.columns[1:] if right else ():
        column.justify = "right"
    for row in found.rows:
        table.add_row(*row)
    Console(width=width).print(table)


def report_failure(message: str) -> None:
    """Print one line on standard error, whatever the message holds."""
    line = " ".join(message.split())
    click.echo("certify: " + "".join(c if c.isprintable() else "?" for c in line), err=True)


def require_folder(path: Path) -> None:
    """Refuse an output path that cannot work, before any time is spent."""
    if not path.parent.is_dir():
        raise BadInput(f"{path}: cannot be written: no folder {path.parent}")
    if path.is_dir():
        raise BadInput(f"{path}: cannot be written: it is a folder")


def spelled_sizes(sizes: dict[str, str]) -> str:
    """Return the sizes of a task, the vocabulary as a word and the others as letters or terms."""
    return ", ".join(
        f"{name} {value}" if name not in {"k", "n"} else f"{name} = {value}"
        for name, value in sizes.items()
    )
