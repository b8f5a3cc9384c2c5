"""What the pages link to outside `docs/` is part of the site, under its path from the root of the
repository.  (MkDocs hooks)

Pages are written to be read in a clone, with links such as ``../checker/SPEC.md``.  Each file that
is linked to, directly or from another page outside `docs/`, is added to the site; a link to a
folder becomes plain text, since a site has no folders to show.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^(```.*?^```[^\n]*$)", re.M | re.S)


def target(page: str, link: str) -> str:
    """Return what a link of a page leads to, both as paths from the root of the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def origin(uri: str) -> str:
    """Return the path from the root of the repository of a page of the site."""
    return uri if uri in OUTSIDE else f"docs/{uri}"


def prose(text: str) -> list[str]:
    """Return a text in parts; those that are code are at odd places."""
    return FENCE.split(text)


def linked(page: str) -> set[str]:
    """Return the files outside `docs/` that a page links to."""
    text = (ROOT / page).read_text("utf-8")
    found = {target(page, link[3]) for part in prose(text)[::2] for link in LINK.finditer(part)}
    return {name for name in found if (ROOT / name).is_file() and not name.startswith("docs/")}


OUTSIDE: set[str] = set()
"""The files outside `docs/` that belong to the site."""


def on_files(files: Any, config: Any) -> Any:
    """Add what is linked to, and what that links to."""
    pages = [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    while pages:
        for name in sorted(linked(pages.pop()) - OUTSIDE):
            OUTSIDE.add(name)
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
            if name.endswith(".md"):
                pages.append(name)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to where their files are in the site."""
    here = page.file.src_uri

    def led(link: re.Match[str]) -> str:
        image, text, path, anchor = link[1], link[2], link[3], link[4] or ""
        goal = target(origin(here), path)
        if (ROOT / goal).is_dir():
            return text
        there = goal if goal in OUTSIDE else goal.removeprefix("docs/")
        relative = posixpath.relpath(there, posixpath.dirname(here) or ".")
        return f"{image}[{text}]({relative}{anchor})"

    parts = prose(markdown)
    parts[::2] = [LINK.sub(led, part) for part in parts[::2]]
    return "".join(parts)
