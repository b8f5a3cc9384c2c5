"""The terminal: progress, messages, shares of a whole."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from certify.errors import BadInput


def share(part: int, total: int) -> str:
    """Return a share with ten decimals, cut off rather than rounded."""
    return f"0.{part * 10**10 // total:010d}" if part < total else "1.0000000000"


def cut(bound: Fraction) -> str:
    """Return a lower bound with four decimals, cut off rather than rounded."""
    return f"{math.floor(bound * 10**4) / 10**4:.4f}"


@contextlib.contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields a function of the finished steps and a short note.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    note = TextColumn("{task.fields[note]}")
    hidden = not console.is_terminal
    with Progress(*columns, note, console=console, transient=True, disable=hidden) as progress:
        bar = progress.add_task(label, total=total, note="")
        yield functools.partial(_advance, progress, bar)


def _advance(progress: Progress, bar: Any, completed: int, note: str) -> None:
    """Move a progress bar; a full one leaves the terminal to whatever comes next."""
    progress.update(bar, completed=completed, note=note)
    if progress.finished:
        progress.stop()


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


def spelled_sizes(sizes: dict[str, int]) -> str:
    """Return the sizes of a task, the vocabulary as a word and the others as letters or terms."""
    return ", ".join(
        f"{name} {value}" if name in {"vocab", "modulus"} else f"{name} = {value}"
        for name, value in sizes.items()
    )
