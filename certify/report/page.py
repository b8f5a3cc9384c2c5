"""The page as one HTML file: a template with everything escaped, and a style sheet.

Needs jinja2, imported only here.
"""

from __future__ import annotations

from importlib import resources

from certify.columns import Columns
from certify.errors import Unsupported
from certify.report.compose import Page
from certify.report.figure import Drawn
from certify.report.numbers import SPACE

NEEDS = "the report needs matplotlib and jinja2: pip install 'certify[report]'"


def require_libraries() -> None:
    """Refuse, before any time is spent, a page that could not be made.

    Errors: ``Unsupported``, one line that says how to install what is missing.
    """
    try:
        import jinja2  # noqa: F401, PLC0415  (optional)
        import matplotlib  # noqa: F401, PLC0415  (optional, and slow to import)
    except ImportError as error:
        raise Unsupported(NEEDS) from error


def rendered(page: Page) -> bytes:
    """Return the HTML file.

    Ensures: it loads nothing, runs nothing (its policy forbids both), and every text that came from
             a file is escaped; only the figures, which are ours, are put in as they are.
    """
    import jinja2  # noqa: PLC0415

    folder = resources.files("certify.report")
    style = folder.joinpath("page.css").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests["figure"] = lambda block: isinstance(block, Drawn)
    environment.tests["table"] = lambda block: isinstance(block, Columns)
    environment.filters["printable"] = printable
    template = environment.from_string(folder.joinpath("page.html.jinja").read_text("utf-8"))
    return template.render(page=page, style=style).encode("utf-8")


def printable(text: str) -> str:
    """Return a text without what could reorder or hide it: controls and marks of direction."""
    shown = (c if c.isprintable() or c == SPACE else "\N{REPLACEMENT CHARACTER}" for c in text)
    return "".join(shown)
