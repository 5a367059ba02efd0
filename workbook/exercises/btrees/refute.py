"""Three splits that passed the tests of their authors: which few keys break each of them?

    author's tests: range(60), every key found     yours: 90 80 70 60 50 40 30
            all passed                                    page 4 and page 2 are neighbours, and their links do not say so

A test says something about the cases that it holds. Whoever wants to know whether code is right looks for the case that its author did not
think of: keys that repeat, NULL, the other order, a page in the middle of its level, a tree of one level more. The variants take other
splits and other pages, and each sequence may be at most half as long again as the shortest one that a search has found,
so that it is the reason which breaks the tree and no heap of data.

    >>> keys = VARIANTS[0].splits[0], VARIANTS[0].page_bytes
    >>> len(shortest(*keys)), allowed(*keys)
    (5, 8)

Sources: `checking.faults` says what a right tree is, as PostgreSQL's contrib/amcheck does; Zeller and Hildebrandt, "Simplifying and
Isolating Failure-Inducing Input", 2002, for making a failing sequence shorter. Left out: deletes, and keys of several columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from workbook.btree.page import shown
from workbook.btree.picture import picture
from workbook.errors import Misuse
from workbook.exercises.btrees.splits import SPLITS, Break, broken, parts_code, shortest
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

LONGER = 1.5
KEYS_MAX = 200
NAMES = ("A", "B", "C")
KINDS = {"numbers": "whole numbers or None", "text": "texts"}


@dataclass(frozen=True)
class Variant:
    """Three splits by their names in `SPLITS`, and the size of the pages that they are to cut."""

    story: str
    page_bytes: int
    splits: tuple[str, str, str]

    def named(self) -> list[tuple[str, str]]:
        """A, B and C, each with the name of its split."""
        return list(zip(NAMES, self.splits, strict=True))


VARIANTS = (
    Variant("A small tree for a device with little memory", 128, ("bare", "fresh", "upward")),
    Variant("A tree of numbers that are given out from both ends", 128, ("between", "stays", "copied")),
    Variant("An index of words for a dictionary", 512, ("half", "letter", "stays")),
    Variant("An index of a column that may be empty", 160, ("valued", "unbound", "between")),
    Variant("An index of tags, which repeat and differ in length", 512, ("letter", "bare", "half")),
    Variant("An index of a queue whose numbers go down", 128, ("upward", "unbound", "valued")),
)


def allowed(name: str, page_bytes: int) -> int:
    """The most keys that a sequence against this split may have."""
    return ceil(LONGER * len(shortest(name, page_bytes)))


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict):
        return f"The answer is a dict with the keys 'A', 'B' and 'C'; this is {type(answer).__name__}."
    if set(answer) != set(NAMES):
        return f"The keys of the dict are 'A', 'B' and 'C'; these are {', '.join(map(repr, answer)) or 'none'}."
    for name in NAMES:
        keys = answer[name]
        if type(keys) not in (list, tuple):
            return f"{name!r} is a list of keys; this is {type(keys).__name__}."
        if len(keys) > KEYS_MAX:
            return f"{name!r} has {len(keys):,} keys: a sequence of more than {KEYS_MAX} is no short one."
    return ""


def judge(answer: dict[str, list[Any]], variant: Variant) -> Judgement:
    findings: list[Finding] = []
    pictures: list[Any] = []
    for name, split in variant.named():
        finding, found = of_one(name, split, list(answer[name]), variant.page_bytes)
        findings.append(finding)
        if found is not None and not pictures and not finding.ok:
            pictures.append(picture(found.snapshot))
    score = sum(finding.ok for finding in findings) / len(findings)
    return Judgement(score, tuple(sorted(findings, key=lambda finding: finding.ok)), tuple(pictures))


def of_one(name: str, split: str, keys: list[Any], page_bytes: int) -> tuple[Finding, Break | None]:
    """What becomes of one split under one sequence, and the tree where it breaks."""
    refusal = unfit(split, keys, page_bytes)
    if refusal:
        expected = f"Keys that a tree of {page_bytes}-byte pages with a right split takes: {KINDS[SPLITS[split].keys]}."
        return Finding(False, f"{name}: {refusal}", expected, _UNFIT, "any-crash"), None
    found, most = broken(SPLITS[split].split, keys, page_bytes), allowed(split, page_bytes)
    if found is None:
        return Finding(
            ok=False,
            seen=f"{name}: after {len(keys)} keys the tree is right: each of its rules holds, and each key is found.",
            expected=f"A sequence of at most {most} keys after which it is not.",
            question=SPLITS[split].question,
            misconception="tests-prove",
        ), None
    if len(keys) > most:
        return Finding(
            ok=False,
            seen=f"{name}: the tree breaks, {found.how} But {len(keys)} keys are many.",
            expected=f"At most {most} keys: half as many again as the shortest that is known.",
            question=f"Which of the keys of {name} could be left out, and the tree breaks all the same?",
            misconception="more-is-better",
        ), found
    return Finding(True, f"{name}: {len(keys)} keys, at most {most} allowed; {found.how}"), found


_UNFIT = "What would a crash on such a key show about the split?"


def unfit(split: str, keys: list[Any], page_bytes: int) -> str:
    """Why the keys are none for this split: of another type, or ones that a right tree refuses; '' where they will do."""
    kind = SPLITS[split].keys
    takes = (str,) if kind == "text" else (int, type(None))
    for key in keys:
        if type(key) not in takes:
            return f"{shown(key)} is a {type(key).__name__}; the author says that this split is for {KINDS[kind]}."
    found = broken_rightly(keys, page_bytes)
    return f"the right tree takes no such sequence: {found}" if found else ""


def broken_rightly(keys: list[Any], page_bytes: int) -> str:
    """What the tree with its own split says of the keys: '' unless it refuses one."""
    try:
        found = broken(None, keys, page_bytes)
    except Misuse as refusal:
        return refusal.what
    return "" if found is None else found.how


def brief(variant: Variant) -> str:
    shown_splits = []
    for name, key in variant.named():
        split = SPLITS[key]
        code = split.code.replace(f"def {key}(", f"def {name}(")
        tested = "; ".join(split.tested)
        shown_splits.append(
            f"**{name}**, for {KINDS[split.keys]}: “{split.says}” Tested with {tested}.\n\n```python\n{code}\n```"
        )
    code = "\n\n".join(shown_splits)
    room = variant.page_bytes - 40
    return (
        f"{variant.story}, pages of {variant.page_bytes} bytes. Three people wrote the function that cuts a full page in two; the tests of all three pass. They share this piece, which is "
        f"right:\n\n```python\n{parts_code()}\n```\n\n{code}\n\n"
        "Refute all three: a dict with the keys `'A'`, `'B'` and `'C'`, each a list of keys that are put in one after another, after which the tree that is built with this split is wrong: a key is not "
        "found, a page is over full, siblings do not lead to one another, a high key is too small. Keys may repeat. A tree whose pages are cut rightly must take every "
        f"sequence, and none may be longer than half as long again as the shortest that is known ({', '.join(f'{name}: {allowed(key, variant.page_bytes)}' for name, key in variant.named())}).\n\n"
        f"A page has room for {room} bytes of entries, its high key among them. A number (or None) takes 20 bytes; a text 8 + 1 + its length (3 more beyond 126), rounded up to a multiple of 8, "
        'and 4; the first entry of an inner page 12; a separator that needs its row 8 more. `Tree(page_bytes=..., duplicates="plain", split=A)` of `workbook.btree` builds a tree with a split of '
        "yours, and `tree.faults()` says what is wrong with it; `Entry`, `Page`, `MINUS_INFINITY` and `NULL` stand in `workbook.btree.page`, `replace` in `dataclasses`."
    )


def third_hint(variant: Variant) -> str:
    return " ".join(f"{name}: {_NEARLY[key]}" for name, key in variant.named())


_NEARLY = {
    "half": "three wide words in front, then two of one letter, so that the page is not full yet; a fourth wide word among the first.",
    "bare": "one and the same key, as often as a page takes it, and once more.",
    "fresh": "keys from the largest down: the second split is one of a page that has a right neighbour.",
    "unbound": "keys from the largest down: the second split is one of a page that has a bound already.",
    "upward": "keys in order until an inner page is full, and a tree of three levels appears.",
    "copied": "keys in order until an inner page is full, and a tree of three levels appears.",
    "valued": "None, as often as a page takes it, and once more.",
    "between": "1, 2, 3 and so on, without a gap, until the first page is cut.",
    "letter": "different words with one first letter, until the first page is cut; the wider, the fewer.",
    "stays": "keys from the largest down, until the first page is cut.",
}


def why(variant: Variant) -> str:
    return (
        " ".join(f"{name}: {_BECAUSE[key]}" for name, key in variant.named())
        + " A test shows that the cases which it holds are right; which ones it lacks can be read off the code, line by line: for which page, which key, which level does this line not hold? What would change it: "
        "the tests of an author who asks `faults()` after each key, with small pages, repeating keys, NULL and all orders."
    )


_BECAUSE = {
    "half": "half of the entries may be far more than half of the bytes.",
    "bare": "where both sides of the cut have the same key, only the row keeps them apart.",
    "fresh": "only the right-most page of a level has no right sibling and no bound; ascending keys split no other one.",
    "unbound": "the new page inherits the bound of the old one, which the page above names as well; ascending keys split only pages without one.",
    "upward": "a separator that goes up leaves its child behind, as the first of the right page; trees of two levels split no inner page.",
    "copied": "on an inner page the first entry is -∞; its key has gone up, and stands there once.",
    "valued": "an SQL NULL is a key with a place in the order, and no sign for `there is none`.",
    "between": "between two neighbouring whole numbers there is none, and their middle is the left one.",
    "letter": "two words on either side of a cut may begin with the same letter, and the separator is below both.",
    "stays": "what stands before the cut counts the new entry; the old page does not. Ascending keys arrive behind each cut.",
}


EXERCISE = register(
    Exercise(
        id="btrees-refute",
        lab="01_btrees",
        number=6,
        title="Refute three splits whose tests pass",
        kind="W",
        declares="value",
        points=4,
        core=True,
        minutes=12,
        answer="a dict with the keys 'A', 'B' and 'C', each a short list of keys",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "What do all the keys of an author's tests have in common, that keys need not have?",
            lambda variant: (
                "Go through each split line by line, and ask of each: is it so on the right-most page and on the others, on a leaf and on an inner page, "
                "for equal neighbours, for NULL, for wide and narrow keys? Then choose keys that lead there on the shortest way."
            ),
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "tests-prove": "An implementation that passes its tests is right.",
            "more-is-better": "The more data, the better the test.",
            "any-crash": "Whatever makes a program stop refutes it.",
        },
    )
)  # fmt: skip
