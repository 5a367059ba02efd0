"""Splits of a full page that passed the tests of their authors, and are wrong all the same.

    def split(page, entries, number):           a full page, its entries with the new one in its place,
        return left, right                      the number of the new page: two pages, as values

    author ── "each key is found, whatever the order" ──▶ range(60), 60 of 600 at random ──▶ passed
    the tree of the same split, other keys ──▶ a key that is not found, a link that leads past a page, a page over full

Each is a plain idea with one case forgotten: keys that repeat, that are NULL, that are of unequal width or have no gap between
them; a page that has a right neighbour; a page that has pages below. `parts` is the piece that they share, and right.

    >>> bad = SPLITS["half"]
    >>> all(broken(bad.split, keys, 512) is None for keys in bad.tested.values())
    True
    >>> broken(bad.split, [letter * 113 for letter in "abc"] + ["x", "y", "d" * 113], 512).how
    'at key 6 of 6: The split puts 528 bytes on a page, which has room for 472.'

Source: the mistakes are those of PostgreSQL's own history and of textbooks: a B-tree's separators that leave the leaves, a right link that is set
after the page is seen. Left out: mistakes in the order of writes, which need a crash to be seen.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from workbook.btree.page import MINUS_INFINITY, NULL, Entry, Page, Snapshot, shown
from workbook.btree.splitting import SplitPage
from workbook.btree.tree import Tree
from workbook.errors import Misuse

TRIALS, KEYS_MAX, WIDE_TEXT = 60, 40, 113

Half = tuple[Page, Page]


def parts(page: Page, entries: tuple[Entry, ...], number: int, at: int) -> Half:
    """Entries before the place `at` stay on the page, the others go to the new page on its right."""
    left, right = entries[:at], entries[at:]
    high, tie = right[0].key, right[0].tie
    if page.level:
        right = (replace(right[0], key=MINUS_INFINITY, tie=None), *right[1:])
    elif left[-1].key == high:
        tie = left[-1].pointers[-1]
    high = NULL if high is None else high
    return (
        replace(page, entries=left, high_key=high, high_tie=tie, right=number),
        replace(page, entries=right, number=number, left=page.number),
    )


def half(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    return parts(page, entries, number, len(entries) // 2)


def bare(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    left, right = parts(page, entries, number, len(entries) // 2)
    return replace(left, high_tie=None), right


def fresh(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    left, right = parts(page, entries, number, len(entries) // 2)
    return left, replace(right, right=None, high_key=None, high_tie=None)


def unbound(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    left, right = parts(page, entries, number, len(entries) // 2)
    return left, replace(right, high_key=right.entries[-1].key, high_tie=None) if right.right else right


def upward(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    left, right = parts(page, entries, number, len(entries) // 2)
    return left, replace(right, entries=right.entries[1:]) if page.level else right


def copied(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    at = len(entries) // 2
    left, right = parts(page, entries, number, at)
    return left, replace(right, entries=entries[at:])


def valued(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    left, right = parts(page, entries, number, len(entries) // 2)
    return replace(left, high_key=None if left.high_key is NULL else left.high_key), right


def between(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    left, right = parts(page, entries, number, len(entries) // 2)
    below, above = left.entries[-1].key, right.entries[0].key
    if page.level or not isinstance(below, int) or not isinstance(above, int) or below == above:
        return left, right
    return replace(left, high_key=(below + above) // 2), right


def letter(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    left, right = parts(page, entries, number, len(entries) // 2)
    if page.level or left.high_tie:
        return left, right
    return replace(left, high_key=left.high_key[:1]), right


def stays(page: Page, entries: tuple[Entry, ...], number: int) -> Half:
    at = len(entries) // 2
    left, right = parts(page, entries, number, at)
    return replace(left, entries=page.entries[:at]), right


@dataclass(frozen=True)
class Split:
    """A split with one case forgotten: what its author says of it, the kind of keys that it is for, the keys that it was
    `tested` with by what they are, and a `question` that leads to the case."""

    split: SplitPage
    says: str
    keys: Literal["numbers", "text"]
    tested: Mapping[str, Sequence[Any]]
    question: str

    __hash__ = object.__hash__

    @property
    def code(self) -> str:
        """The source of the split, without its types."""
        return _plain(self.split)


def _plain(function: Callable[..., Any]) -> str:
    """A function's source as a notebook shows it."""
    source = inspect.getsource(function)
    for types in (": Page", ": tuple[Entry, ...]", ": int", " -> Half"):
        source = source.replace(types, "")
    return source.strip()


def parts_code() -> str:
    """The source of the piece that all splits share."""
    return _plain(parts)


def _random(count: int, step: int = 1) -> list[int]:
    return [step * number for number in random.Random(count).sample(range(count), count)]


_UP = {"range(60)": range(60)}
_WORDS = [letter + "word" for letter in "abcdefghijklmnopqrstuvwxyz"]

SPLITS: Mapping[str, Split] = {
    "half": Split(
        half, "Half of the entries stay, half go.", "text",
        {"200 texts of three digits": [f"{n * 7919 % 1000:03d}" for n in range(200)]},
        "Half of the entries is half of the page only as long as what is alike in all of them?",
    ),
    "bare": Split(
        bare, "A separator is a key; nothing else belongs on an inner page.", "numbers",
        {"range(60)": range(60), "60 different numbers in random order": _random(60)},
        "What stands on either side of the cut in all of the author's tests, and what could stand there as well?",
    ),
    "fresh": Split(
        fresh, "The new page is the last one: no sibling to its right, no bound.", "numbers", _UP,
        "Which page is it that is split whenever keys arrive in order, and which other one could it be?",
    ),
    "unbound": Split(
        unbound, "The largest key of the new page is its bound.", "numbers", _UP,
        "Which high key had the page before it was split, and to which of the two halves does that bound belong?",
    ),
    "upward": Split(
        upward, "On an inner page the middle entry goes up, as in every textbook.", "numbers",
        {"range(6)": range(6), "8 numbers in random order": _random(8, 10)},
        "The key in the middle goes up. What else is in that entry?",
    ),
    "copied": Split(
        copied, "The middle key is copied up, as on a leaf, so nothing can be lost.", "numbers",
        {"range(6)": range(6), "8 numbers in random order": _random(8, 10)},
        "How many levels had the trees of the author's tests, and which pages were split in them?",
    ),
    "valued": Split(
        valued, "NULL is no bound: there is nothing above it.", "numbers",
        {"range(60)": range(60), "60 numbers in random order, and one NULL": [*_random(60), None]},
        "How many entries of which kind are needed until the cut falls on one?",
    ),
    "between": Split(
        between, "The number in the middle between two neighbours keeps them apart best.", "numbers",
        {"range(0, 600, 10)": range(0, 600, 10), "60 multiples of 10 in random order": _random(60, 10)},
        "How far apart are two neighbours in the author's tests, and what is in the middle where they are nearer?",
    ),
    "letter": Split(
        letter, "A first letter is enough to tell two words apart, and it is short.", "text",
        {"26 words in order, one for each letter": _WORDS},
        "Which two words may stand on either side of a cut?",
    ),
    "stays": Split(
        stays, "What was on the page before the cut stays there.", "numbers", _UP,
        "Where among the entries has the new one stood in all of the author's tests?",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Break:
    """A tree that is broken: `how`, at which key of the sequence, and the tree as it is then."""

    at: int
    how: str
    snapshot: Snapshot


def broken(split: SplitPage | None, keys: Sequence[Any], page_bytes: int) -> Break | None:
    """What a tree breaks with whose pages are split so, while keys are put in one by one; None where it stays right.

    After each key all rules of the structure are checked, and each key that was put in is looked for. Raises `Misuse` for keys
    that the tree itself refuses (only where `split` is None, the teaching tree's own).
    """
    tree = Tree(page_bytes=page_bytes, duplicates="plain", split=split)
    held: dict[Any, list[int]] = {}
    for at, key in enumerate(keys, 1):
        try:
            splits = tree.counters.leaf_splits
            held.setdefault(key, []).append(tree.insert(key))
            if tree.counters.leaf_splits == splits and at < len(keys):
                continue
            how = next(iter(tree.faults()), "") or _lost(tree, held)
        except Misuse as refusal:
            if split is None:
                raise
            how = refusal.what
        if how:
            return Break(at, f"at key {at} of {len(keys)}: {how}", tree.snapshot())
    return None


def _lost(tree: Tree, held: Mapping[Any, list[int]]) -> str:
    for key, rows in held.items():
        found = tree.find(key)
        if found != tuple(rows):
            what = f"{len(found)} of its {len(rows)} rows are" if found else "it is not"
            return f"{shown(key)} was put in, and {what} found."
    return ""


@cache
def shortest(name: str, page_bytes: int) -> tuple[Any, ...]:
    """The shortest sequence that a search finds: random ones, each shortened key by key as long as the tree breaks."""
    split, chance = SPLITS[name], random.Random(f"shortest {name} {page_bytes}")
    best: list[Any] = []
    for _ in range(TRIALS):
        keys = _some_keys(split.keys, chance)[: len(best) - 1 if best else None]
        found = broken(split.split, keys, page_bytes)
        if found is None:
            continue
        keys = _shortened(split.split, keys[: found.at], page_bytes)
        if not best or len(keys) < len(best):
            best = keys
    return tuple(best)


def _shortened(split: SplitPage, keys: list[Any], page_bytes: int) -> list[Any]:
    place = 0
    while place < len(keys):
        fewer = keys[:place] + keys[place + 1 :]
        if broken(split, fewer, page_bytes) is not None:
            keys = fewer
        else:
            place += 1
    return keys


def _some_keys(kind: str, chance: random.Random) -> list[Any]:
    if kind == "text":
        share, narrow = chance.random(), chance.choice("az")
        wide = ["ab" + "".join(chance.choices("abz", k=WIDE_TEXT)) for _ in range(KEYS_MAX)]
        return [word if chance.random() < share else narrow + word[-2:] for word in wide]
    distinct = chance.choice((2, 12, 40))
    keys: list[Any] = [chance.randrange(distinct) for _ in range(KEYS_MAX)]
    if chance.random() < 0.3:
        return [None if key < distinct // 2 else key for key in keys]
    return chance.choice((keys, sorted(keys), sorted(keys, reverse=True), chance.sample(range(KEYS_MAX), KEYS_MAX)))
