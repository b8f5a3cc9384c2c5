"""What was proved, in plain words, and what was not.

Every number here is one of a verdict line; counts that do not fit on a line are rounded to the
safe side.  A reader who takes these sentences literally believes nothing that was not verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from certify.question.float32 import NAME as FLOAT32
from certify.question.plain import Plain, plain_of
from certify.question.question import Question, question_in
from certify.report.numbers import (
    SPACE,
    about,
    at_least,
    at_most,
    grouped,
    one_in,
    percent_down,
    percent_up,
)
from certify.report.run import Proof

WEIGHT = "of the weight"
MOST_FACTORS = 5
MANY = 10**12
"""Of so many questions shares are told, and no numbers."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Verified certificates about one question, and that question.

    ``best``: the one that proves most in real arithmetic, ``best_float32`` in float32, one of them
    at least.  ``leading``: the one that pictures are about.
    """

    question: Question
    plain: Plain
    proofs: tuple[Proof, ...]
    best: Proof | None
    best_float32: Proof | None
    leading: Proof

    @property
    def weighted(self) -> bool:
        """Return whether inputs count by weights."""
        return self.leading.summary.counted.weights is not None

    @property
    def condition(self) -> str:
        """Return which questions count, where not all do."""
        scope = self.leading.summary.counted
        if scope.gap > 1:
            return f"every number is the largest or at least {scope.gap} below it"
        if scope.copies:
            return f"the largest number stands in exactly {scope.copies} of the places"
        return ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A theorem in a sentence or two: what is right, and what that leaves."""

    arithmetic: str
    right: str
    rest: str
    proof: Proof


@dataclass(frozen=True, slots=True)
class Statement:
    """A topic in plain words: what is asked, of how many, what was proved, what was not."""

    asked: str
    many: str
    claims: tuple[Claim, ...]
    unsaid: tuple[tuple[str, str], ...]


def topics(proofs: Sequence[Proof]) -> list[Topic]:
    """Return the questions that verified certificates are about, in the order given."""
    groups: dict[str, list[Proof]] = {}
    for one in proofs:
        groups.setdefault(_about(one), []).append(one)
    return [_topic(group) for group in groups.values()]


def _about(one: Proof) -> str:
    """Return what a certificate is about but for the arithmetic, as its verdict line says."""
    bounds = ("semantics", "eps_exp", "eta_exp", "correct_lower", "correct_upper", "margin_lower")
    own = (*bounds, "certificate")
    return str(sorted((key, text) for key, text in one.verdict.fields.items() if key not in own))


def is_float32(one: Proof) -> bool:
    """Return whether a verified certificate is about executions in float32."""
    return one.verdict.fields["semantics"] == FLOAT32


def _topic(group: Sequence[Proof]) -> Topic:
    summary = group[0].summary
    question = question_in(summary.statement["task"], summary.config, summary.domain)
    ranked = sorted(group, key=_strength, reverse=True)
    best = next((one for one in ranked if not is_float32(one)), None)
    best_float32 = next((one for one in ranked if is_float32(one)), None)
    leading = best or ranked[0]
    return Topic(question, plain_of(question), tuple(group), best, best_float32, leading)


def _strength(one: Proof) -> tuple[int, int, float, int]:
    verdict = one.verdict
    margin = float(verdict.fields["margin_lower"])
    return verdict.correct_lower, -verdict.correct_upper, margin, -verdict.operations


def statement_of(topic: Topic) -> Statement:
    """Return what was proved about one question, for anybody."""
    plain = topic.plain
    asked = " ".join([f"It {plain.told}.", *plain.besides])
    both = [one for one in (topic.best, topic.best_float32) if one is not None]
    claims = tuple(_claim(topic, one) for one in both)
    return Statement(asked, _many(topic), claims, tuple(_unsaid(topic)))


def _many(topic: Topic) -> str:
    verdict = topic.leading.verdict
    inputs = topic.question.domain.inputs
    if topic.weighted:
        return (
            f"There are {about(inputs)} different questions of this kind. They do not count the"
            " same here: each has a weight that was given, and what follows counts weights, which"
            f" add up to {about(verdict.total)}."
        )
    many = f"There are {about(inputs)} different questions of this kind{_factors(topic)}."
    if topic.condition:
        return (
            f"{many} What follows is about the {about(verdict.total)} of them in which"
            f" {topic.condition}."
        )
    return many


def _factors(topic: Topic) -> str:
    """Return how the number of questions comes about, where that is short."""
    sizes = [size for size in topic.question.domain.sizes if size > 1]
    inputs = topic.question.domain.inputs
    if inputs >= MANY:
        return f", a number with {len(str(inputs))} digits: far too many to try one by one"
    return f" ({' × '.join(map(str, sizes))})" if 1 < len(sizes) <= MOST_FACTORS else ""


def _claim(topic: Topic, one: Proof) -> Claim:
    verdict = one.verdict
    lower, upper, total = verdict.correct_lower, verdict.correct_upper, verdict.total
    arithmetic = (
        "On a computer with ordinary 32-bit arithmetic (exceptions below), which rounds every"
        " number, in whatever order it adds them up"
        if is_float32(one)
        else "If nothing is rounded while it calculates"
    )
    what = WEIGHT if topic.weighted else "of them"
    return Claim(arithmetic, _right(lower, upper, total, what), _rest(lower, upper, total), one)


def _right(lower: int, upper: int, total: int, what: str) -> str:
    """Return what is right; of very many only the share."""
    if lower == total:
        everything = "all of the weight" if what == WEIGHT else "every single one of them"
        return f"it answers {everything} correctly"
    if upper == 0:
        return f"it answers none {what} correctly"
    least, most = percent_down(lower, total), percent_up(upper, total)
    if lower == upper and total < MANY:
        return f"it answers exactly {about(lower)} {what} correctly ({least})"
    if total >= MANY:
        number = f"at most {most}" if lower == 0 else f"at least {least}"
        return f"it answers {number} {what} correctly"
    if lower == 0:
        return f"it answers at most {at_most(upper)} {what} correctly ({most})"
    return f"it answers at least {at_least(lower)} {what} correctly ({least})"


def _rest(lower: int, upper: int, total: int) -> str:
    """Return what follows about the others; of very many only shares."""
    most, least = total - lower, total - upper
    if most == 0:
        return "No answer is wrong."
    if upper == 0:
        return f"All {about(total)} are answered wrongly."
    if total >= MANY:
        return _rest_of_many(lower, upper, total)
    often = one_in(most, total)
    if least == most:
        share = f" (about 1 in {about(often)})" if often > 1 else ""
        verb = "is" if most == 1 else "are"
        return f"The other {about(most)} {verb} answered wrongly{share}."
    left = f"For {at_most(most - least)} the proof leaves it open; they are not counted as right."
    if lower == 0:
        return f"At least {at_least(least)} are answered wrongly. {left}" if least else left
    share = f" (at most 1 in {about(often)})" if often > 1 else ""
    known = f", {at_least(least)} of them certainly" if least else "; none is known to be"
    return f"At most {at_most(most)} are answered wrongly{share}{known}. {left}"


def _rest_of_many(lower: int, upper: int, total: int) -> str:
    most, least = total - lower, total - upper
    often = one_in(most, total)
    told = f"At most 1 in {about(often)} is answered wrongly" if often > 1 else ""
    if least == most:
        return f"{told}." if told else "The others are answered wrongly."
    surely = f"{percent_down(least, total)} certainly are answered wrongly" if least else ""
    known = "; ".join(text for text in (told, surely) if text) or "None is known to be right"
    left = f"For {percent_up(most - least, total)} the proof leaves it open"
    return f"{known}. {left}; they are not counted as right."


def _unsaid(topic: Topic) -> list[tuple[str, str]]:
    """Return what was not proved: a few words, and a sentence."""
    verdict = topic.leading.verdict
    found = [
        (
            "Nothing about any other file.",
            "Change a single number in the file and nothing on this page holds for it.",
        ),
        (
            "Nothing about other questions.",
            f"For example: {topic.plain.outside}.",
        ),
    ]
    if verdict.correct_lower < verdict.total and not topic.weighted:
        found.append(
            (
                "Not how often you will meet a mistake.",
                "Every question counts once here, as if all were equally likely. If yours are not,"
                " you may meet mistakes more often, or less.",
            )
        )
    if topic.best_float32 is None:
        found.append(
            (
                "Nothing about rounding.",
                "Real computers round every number they calculate. That may change an answer where"
                " the program hardly prefers it to another one; a certificate in float32 would"
                " cover it, and none was given.",
            )
        )
    else:
        found.append(
            (
                "Not that your computer keeps the rules.",
                "The statement about computers is for ordinary 32-bit arithmetic with an exp"
                f" of the stated accuracy ({_exp(topic.best_float32)}). Reduced precision (TF32,"
                " bfloat16, half) and fast-math are not covered.",
            )
        )
    found.append(
        (
            "Not why, and not what for.",
            "It counts right answers among all possible questions. It does not say that the program"
            " is safe, useful or fair, or that it reasons as a person would.",
        )
    )
    if verdict.correct_lower < verdict.total:
        found.append(
            (
                "A draw is a mistake.",
                "If two answers get the same score, the question is counted as answered wrongly.",
            )
        )
    return found


def _exp(one: Proof) -> str:
    fields = one.verdict.fields
    return f"eps_exp {_fraction(fields['eps_exp'])}, eta_exp {_fraction(fields['eta_exp'])}"


def _fraction(text: str) -> str:
    """Return a fraction, powers of two below as powers."""
    above, _, below = text.partition("/")
    number = int(below)
    if above == "1" and number & (number - 1) == 0:
        return f"2^-{number.bit_length() - 1}"
    return text if len(text) < 30 else f"{int(above) / number:.3e}"


def headline(run_total: int, verified: int) -> str:
    """Return how many proofs were confirmed, in words."""
    if verified == run_total:
        one, all_of_them = "The proof was", f"All {run_total}{SPACE}proofs were"
        all_of_them = "Both proofs were" if run_total == 2 else all_of_them
        return f"{one if run_total == 1 else all_of_them} checked and confirmed"
    if run_total == 1:
        return "The proof was NOT confirmed"
    return (
        f"{grouped(run_total - verified)} of {grouped(run_total)}{SPACE}proofs were NOT confirmed"
    )
