"""The page for people: what stands on it in which order, what it says of files that prove nothing,
and that it loads and runs nothing.
"""

from __future__ import annotations

import html
import json
import re
import sys
from hashlib import sha256
from pathlib import Path

import architecture as a
import numpy as np
import pytest
from click.testing import CliRunner
from reports import Read

import certify
from certify.certificate import client
from certify.command import main
from certify.model.file import load_model
from certify.model.forward import logits
from certify.report import page as page_module
from certify.report import run as run_module

SHIPPED = a.ROOT / "certificates"
MAX_OF_4 = SHIPPED / "max-of-4-seed-0"
MODEL = MAX_OF_4 / "model.safetensors"
ORDER = ("proved", "verdicts", "examples", "weak", "length", "inside", "rounding", "trust")
HOSTILE = "<img src=x onerror=alert(1)>\u202e&amp;.json"
SPACE = "\u00a0"


def run(*arguments: object) -> tuple[int, list[str], str]:
    """Return exit code, lines of standard output, and standard error."""
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert ended.exception is None or isinstance(ended.exception, SystemExit)
    return ended.exit_code, ended.stdout.splitlines(), ended.stderr


def report(folder: Path, *certificates: Path, model: Path = MODEL, code: int = 0) -> Read:
    """Run the command, assert its exit code, and return the page."""
    out = folder / "report.html"
    ended = run("report", *certificates, "--model", model, "--out", out)
    assert ended[0] == code, ended
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []
    return Read.of(out)


def damaged(folder: Path) -> Path:
    """Write a certificate that claims one more right answer than it proves."""
    path = folder / "damaged.json"
    text = (MAX_OF_4 / "exact.json").read_text()
    for side in ("lower", "upper"):
        assert f'"correct_{side}":"16769545"' in text
        text = text.replace(f'"correct_{side}":"16769545"', f'"correct_{side}":"16769546"')
    path.write_text(text)
    return path


def from_the_future(folder: Path) -> Path:
    """Write a certificate in a format that the checker does not know."""
    path = folder / "future.json"
    text = (MAX_OF_4 / "cascade.json").read_text()
    path.write_text(text.replace("certify.certificate/2", "certify.certificate/9"))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Return the page of one model with proofs in both arithmetics, and one that is refused."""
    folder = tmp_path_factory.mktemp("page")
    names = ("cascade", "exact", "exact-float32")
    certificates = [MAX_OF_4 / f"{name}.json" for name in names]
    return report(folder, *certificates, damaged(folder), code=10)


def test_sections_stand_in_order(page: Read) -> None:
    ids = [one.attributes["id"] for one in page.all("section") if "id" in one.attributes]
    assert tuple(ids) == ORDER
    links = [one.attributes["href"] for one in page.all("a")]
    contents = [link for link in links if link != "#proved"]
    assert contents == [*(f"#{name}" for name in ORDER[1:]), "#trust"]
    inner = [one for one in page.elements if "data-certificate" in one.attributes]
    assert len(inner) == 4
    order = [page.source.index(f'id="{name}"') for name in ORDER]
    first = page.source.index("data-certificate")
    assert order[1] < first < order[2]


def test_verdicts_are_those_of_the_checker(page: Read, tmp_path: Path) -> None:
    names = ("cascade", "exact", "exact-float32")
    files = [MAX_OF_4 / f"{name}.json" for name in names] + [damaged(tmp_path)]
    hashes = [f"sha256:{sha256(file.read_bytes()).hexdigest()}" for file in files]
    assert [one.attributes["data-certificate"] for one in page.certificates] == hashes
    assert page.verdicts == ["VERIFIED"] * 3 + ["REJECTED"]
    lines = [client.ask(MODEL, file).last_line for file in files]
    assert [one.text for one in page.all("pre", class_="verdict")] == lines
    for one, line in zip(page.certificates, lines, strict=True):
        assert line in one.text
    assert all(html.escape(line, quote=False) in page.source for line in lines)


def test_a_refused_certificate_is_in_red_and_said_first(page: Read) -> None:
    *confirmed, refused = page.certificates
    assert all("confirmed" in one.attributes["class"].split() for one in confirmed)
    assert "refused" in refused.attributes["class"].split()
    assert "✗ REJECTED" in refused.text
    (badge,) = page.all("p", class_="badge")
    assert badge.text == f"✗ 1 of 4{SPACE}proofs were NOT confirmed"
    assert "refused" in badge.attributes["class"].split()
    (alarm,) = page.all("p", class_="alarm")
    assert "D (damaged.json)" in alarm.text
    style = page.all("style")[0].text
    red = re.search(r"--bad: (#[0-9a-f]{6})", style)
    assert red is not None
    assert int(red[1][1:3], 16) > 150 > int(red[1][3:5], 16)
    assert re.search(r"\.certificate\.refused \{[^}]*border: 2px solid var\(--bad\)", style)
    # Nothing that it claims is anywhere.
    assert f"16{SPACE}769{SPACE}546" not in page.text
    assert page.text.count("16769546") == 0


def test_the_lead_says_what_was_proved(page: Read) -> None:
    (statement,) = page.all("div", class_="statement")
    told = statement.text.replace(SPACE, " ")
    assert "It is given four numbers, each from 0 to 63, and has to name the largest." in told
    assert "There are 16 777 216 different questions of this kind (64 × 64 × 64 × 64)." in told
    assert "it answers exactly 16 769 545 of them correctly (99.9542 %)" in told
    assert "The other 7 671 are answered wrongly (about 1 in 2 187)." in told
    assert "On a computer with ordinary 32-bit arithmetic (exceptions below)" in told
    assert "it answers at least 16 769 518 of them correctly (99.9541 %)" in told
    assert (
        "At most 7 698 are answered wrongly (at most 1 in 2 179), 7 648 of them certainly." in told
    )
    assert "For 50 the proof leaves it open" in told
    (unsaid,) = page.all("ul", class_="unsaid")
    for short in (
        "any other file",
        "other questions",
        "how often you will",
        "keeps the rules",
    ):
        assert short in unsaid.text


def test_examples_are_true(page: Read) -> None:
    model = load_model(MODEL)
    assert len(page.examples) == 6
    for number, one in enumerate(page.examples):
        numbers = re.search(r"Largest of ([0-9, ]+)", one.text)
        said = re.search(r"The program says ([0-9]+)\.", one.text)
        assert numbers is not None
        assert said is not None
        tokens = [int(text) for text in numbers[1].split(",")]
        scores = logits(model, np.array([tokens]))[0]
        assert int(said[1]) == int(scores.argmax())
        right = int(said[1]) == max(tokens)
        assert one.attributes["class"] == ("right" if right else "wrong")
        assert right == (number < 3)
        assert ("Proved: right." in one.text) == right
    surely = [one for one in page.examples if "Proved: wrong." in one.text]
    assert len(surely) >= 2
    assert "Proved: of the" in page.examples[-1].text


def test_figures_have_words_and_say_what_is_not_proved(page: Read) -> None:
    drawings = page.all("div", role="img")
    assert len(drawings) == 6
    assert all(len(one.attributes["aria-label"]) > 60 for one in drawings)
    figures = page.all("figure")
    tag = "computed in float64 for illustration; not part of the proof"
    marked = [one for one in figures if "estimate" in one.attributes.get("class", "").split()]
    assert [one for one in figures if tag in one.text] == marked
    assert len(marked) == 3
    assert all(name in one.text for name, one in zip(("QK", "OV", "direct"), marked, strict=True))


def test_published_results_stand_beside_ours(page: Read) -> None:
    for words in ("published: cubic", "95.31 ± 0.80 %", "arXiv 2406.11779", "151 other models"):
        assert words in page.text
    assert "float32, any order" in page.text
    assert "27 fewer answers are proved right" in page.text


def require_nothing_loaded(page: Read) -> None:
    """Assert that the page runs no script and loads nothing from anywhere."""
    tags = {one.tag for one in page.elements}
    active = {
        "script",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "audio",
        "video",
        "foreignobject",
    }
    assert tags & active == set()
    names = {name for one in page.elements for name in one.attributes}
    assert [name for name in names if name.startswith("on")] == []
    for one in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            value = one.attributes.get(name, "")
            assert value.startswith(("#", "data:", "./")) or not value, (one.tag, name, value)
            assert not value.startswith("data:text") or one.tag == "link"
    assert "http:" not in page.source
    assert "https:" not in page.source
    assert "@import" not in page.source
    assert re.findall(r"url\((?!#)", page.source) == []
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    assert policy.attributes["content"].startswith("default-src 'none';")
    assert "script-src" not in policy.attributes["content"]


def test_nothing_is_loaded_or_run(page: Read) -> None:
    require_nothing_loaded(page)
    assert len(page.source) < 4 << 20
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", page.source))
    used |= {
        one.attributes["href"][1:]
        for one in page.elements
        if one.attributes.get("href", "").startswith("#")
    }
    assert used - set(ids) == set()


def test_a_phone_a_keyboard_and_paper_are_thought_of(page: Read) -> None:
    (viewport,) = page.all("meta", name="viewport")
    assert viewport.attributes["content"] == "width=device-width, initial-scale=1"
    wide = page.all("div", class_="wide")
    assert len(wide) == len(page.all("table"))
    assert all(one.attributes["tabindex"] == "0" and one.attributes["aria-label"] for one in wide)
    style = page.all("style")[0].text
    for words in (
        "@media print",
        "prefers-color-scheme: dark",
        "overflow-x: auto",
        "focus-visible",
    ):
        assert words in style
    assert page.all("a", class_="skip")
    assert page.all("html")[0].attributes["lang"] == "en"


def test_exit_codes_are_those_of_the_worst_verdict(tmp_path: Path) -> None:
    good = MAX_OF_4 / "cascade.json"
    page = report(tmp_path, good)
    assert page.verdicts == ["VERIFIED"]
    assert page.all("p", class_="badge")[0].text == "✓ The proof was checked and confirmed"
    page = report(tmp_path, from_the_future(tmp_path), good, damaged(tmp_path), code=20)
    assert page.verdicts == ["DECLINED", "VERIFIED", "REJECTED"]
    page = report(tmp_path, SHIPPED / "max-of-4-seed-1" / "exact.json", code=10)
    assert page.verdicts == ["REJECTED"]
    assert "Nothing is proved here." in page.all("p", class_="badge")[0].text
    assert page.examples == []
    assert page.all("div", class_="statement") == []
    require_nothing_loaded(page)


def test_what_cannot_be_read_is_on_the_page(tmp_path: Path) -> None:
    junk = tmp_path / "junk.json"
    junk.write_bytes(b"\xff\x00<script>alert(1)</script>")
    empty = tmp_path / "empty.json"
    empty.touch()
    missing = tmp_path / "missing.json"
    page = report(tmp_path, junk, empty, missing, tmp_path, MAX_OF_4 / "cascade.json", code=20)
    assert page.verdicts == ["REJECTED", "REJECTED", "DECLINED", "DECLINED", "VERIFIED"]
    hashes = [one.attributes["data-certificate"] for one in page.certificates]
    assert hashes[1:4] == ["unreadable"] * 3
    require_nothing_loaded(page)
    page = report(tmp_path, MAX_OF_4 / "cascade.json", model=tmp_path / "no-model", code=20)
    assert page.verdicts == ["DECLINED"]
    assert "could not be read" in page.text


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    certificate = tmp_path / HOSTILE
    certificate.write_bytes((MAX_OF_4 / "cascade.json").read_bytes())
    refused = tmp_path / "\"'><svg onload=alert(2)>.json"
    refused.write_bytes(b"{}")
    model = tmp_path / "<b>m<b>.safetensors"
    model.write_bytes(MODEL.read_bytes())
    page = report(tmp_path, certificate, refused, model=model, code=10)
    require_nothing_loaded(page)
    assert page.all("img") == []
    assert page.all("b") == []
    assert "<img src=x onerror=alert(1)>\ufffd&amp;.json" in page.text
    assert "\u202e" not in page.source
    assert "the program in <b>m<b>.safetensors" in page.all("title")[0].text


def test_a_file_that_cannot_be_written_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, lines, errors = run(
        *("report", MAX_OF_4 / "cascade.json", "--model", MODEL),
        *("--out", tmp_path / "none" / "report.html"),
    )
    assert (code, lines) == (20, [])
    assert errors.count("\n") == 1
    assert "no folder" in errors
    out = tmp_path / "report.html"
    out.write_text("as it was")

    def broken(page: object) -> bytes:
        raise certify.CertifyError("it broke")

    monkeypatch.setattr(certify.api, "rendered", broken)
    assert run("report", MAX_OF_4 / "cascade.json", "--model", MODEL, "--out", out)[0] == 20
    assert out.read_text() == "as it was"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_missing_libraries_are_told_in_one_line(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    out = tmp_path / "report.html"
    code, lines, errors = run("report", MAX_OF_4 / "cascade.json", "--model", MODEL, "--out", out)
    assert (code, lines) == (20, [])
    assert errors == f"certify: {page_module.NEEDS}\n"
    assert "pip install 'certify[report]'" in errors
    assert not out.exists()


def test_usage_errors(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert run("report", "--model", MODEL, "--out", out)[0] == 2
    assert run("report", MAX_OF_4 / "cascade.json", "--out", out)[0] == 2
    assert not out.exists()


def test_a_checker_for_the_browser_is_linked_where_it_lies_beside(tmp_path: Path) -> None:
    certificate = MAX_OF_4 / "cascade.json"
    assert "in your browser" not in report(tmp_path, certificate).text
    beside = tmp_path / "check" / "index.html"
    beside.parent.mkdir()
    beside.touch()
    page = report(tmp_path, certificate)
    assert "./check/index.html" in [one.attributes["href"] for one in page.all("a")]
    require_nothing_loaded(page)
    other = tmp_path / "a b" / 'c"<d>.html'
    other.parent.mkdir()
    other.touch()
    out = tmp_path / "check" / "report.html"
    arguments = ("report", certificate, "--model", MODEL, "--out", out, "--checker-page")
    assert run(*arguments, other)[0] == 0
    links = [one.attributes["href"] for one in Read.of(out).all("a")]
    assert links[-1] == "./../a%20b/c%22%3Cd%3E.html"
    code, _, errors = run(*arguments, tmp_path / "none.html")
    assert code == 20
    assert "none.html: no such file (--checker-page)" in errors


def test_a_run_that_takes_too_long_is_declined(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    slow = SHIPPED / "brackets16-last"
    ended = run(
        *("report", slow / "exhaustive.json", "--model", slow / "model.safetensors"),
        *("--out", out, "--time-limit", "1"),
    )
    assert ended[0] == 20
    page = Read.of(out)
    assert page.verdicts == ["DECLINED"]
    assert "SPEC-9.4" in page.text


def test_a_verdict_about_other_bytes_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "sha256_of", lambda data: "0" * 64)
    page = report(tmp_path, MAX_OF_4 / "cascade.json", code=20)
    assert page.verdicts == ["NONE"]
    assert "other bytes" in page.text
    assert page.all("div", class_="statement") == []


def test_a_crash_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crashed(*_: object, **__: object) -> client.Answer:
        return client.Answer(0, "s VERIFIED-ish\n", "", 0.0)

    monkeypatch.setattr(run_module, "ask", crashed)
    page = report(tmp_path, MAX_OF_4 / "cascade.json", code=20)
    assert page.verdicts == ["NONE"]
    assert "NO VERDICT" in page.certificates[0].text


def test_the_same_verdicts_from_python(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    ended = certify.api.report(MODEL, [MAX_OF_4 / "cascade.json"], out)
    assert ended.exit_code == 0
    assert ended.checked[0].word == "VERIFIED"
    with pytest.raises(certify.CertifyError, match="at least one"):
        certify.api.report(MODEL, [], out)


@pytest.mark.parametrize(
    ("folder", "names", "words"),
    [
        ("modadd59-constant-seed-0", ("low-rank", "quadrature"), "a clock with 59 hours"),
        ("modadd59-softmax-seed-0", ("low-rank",), "Which waves it uses"),
        ("s5-hidden128-seed-0", ("brute-force",), "two of 120 ways to rearrange 5 things"),
        ("brackets10-lnpre-silu", ("exhaustive",), "a line of 10 brackets"),
        (
            "max-of-10-seed-0",
            ("cascade", "cascade-float32"),
            "a number with 19 digits",
        ),
    ],
)
def test_every_family(folder: str, names: tuple[str, ...], words: str, tmp_path: Path) -> None:
    shipped = SHIPPED / folder
    certificates = [shipped / f"{name}.json" for name in names]
    page = report(tmp_path, *certificates, model=shipped / "model.safetensors")
    assert page.verdicts == ["VERIFIED"] * len(names)
    assert words in page.text
    assert len(page.examples) == 6
    assert "There are no examples or pictures" not in page.text
    require_nothing_loaded(page)
    assert json.dumps(page.text).count("NaN") == 0


@pytest.mark.slow
def test_all_that_is_shipped_for_one_model(tmp_path: Path) -> None:
    for shipped in sorted(path for path in SHIPPED.iterdir() if path.is_dir()):
        if shipped.name.startswith("brackets16"):
            continue
        certificates = sorted(shipped.glob("*.json"))
        page = report(tmp_path, *certificates, model=shipped / "model.safetensors")
        assert page.verdicts == ["VERIFIED"] * len(certificates)
        assert len(page.source) < 4 << 20
        require_nothing_loaded(page)
