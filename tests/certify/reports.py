"""A page as read by a program: its sections, certificates, texts, links and figures."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "br", "hr", "input", "image", "use", "path", "stop"}


@dataclass
class Element:
    """A tag with its attributes and all the text in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[Element] = []
        self.found: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.found.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        names = [element.tag for element in self.open]
        if tag in names:
            assert names[-1] == tag or tag in ("p", "li"), (tag, names)
            while self.open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


@dataclass
class Read:
    """A page: its source and its elements in order."""

    source: str
    elements: list[Element] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path) -> Read:
        """Read a file."""
        source = path.read_text("utf-8")
        parser = _Parser()
        parser.feed(source)
        parser.close()
        assert parser.open == []
        return cls(source, parser.found)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements with this tag and these attributes; ``class_`` is one of classes."""
        return [
            element
            for element in self.elements
            if element.tag == tag
            if all(
                value in element.attributes.get("class", "").split()
                if name == "class_"
                else element.attributes.get(name.replace("_", "-")) == value
                for name, value in attributes.items()
            )
        ]

    @property
    def text(self) -> str:
        """Return all text of the body, white space as one space."""
        (body,) = self.all("body")
        return re.sub(r"[ \n]+", " ", body.text)

    @property
    def certificates(self) -> list[Element]:
        """Return the section of each certificate."""
        return [one for one in self.all("section") if "data-certificate" in one.attributes]

    @property
    def verdicts(self) -> list[str]:
        """Return the verdict of each certificate."""
        return [one.attributes["data-verdict"] for one in self.certificates]

    @property
    def examples(self) -> list[Element]:
        """Return the cards of single inputs."""
        return [one for one in self.all("li") if one.attributes.get("class") in ("right", "wrong")]
