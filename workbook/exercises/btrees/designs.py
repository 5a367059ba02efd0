"""Right trees of many shapes, in steps: what acceptance checks for a B-tree have to accept.

    a design ──▶ steps: {"operation": ("insert", 17, 40), "result": True, "before": tree, "after": tree}
       other fill, other cuts, other separators, empty leaves left or not, built anew each time, a spare root, other numbers

A check that wants what its author has seen refuses right trees. So there are many shapes here, and all do what the rules say: the same
operations, with the results and the rows that must come of them. And a check that knows these trees by heart is none, so that each design goes its
way `again`, with other operations, and each step of it is told with other numbers (`elsewhere`).

    >>> rules = Rules()
    >>> step = steps(RIGHT[0], rules)[-1]
    >>> sorted(step), sorted(step["after"]), sorted(step["after"]["pages"][0])
    (['after', 'before', 'operation', 'result'], ['height', 'page_bytes', 'pages', 'root'], ['entries', 'high_key', 'left', 'level', 'number', 'right', 'state'])

A tree is plain data: pages with their entries, whose keys are tuples: on a leaf (key, row), on inner pages and as a high key the
beginning of one, () in front of all. So tuples compare as separators do. Left out: NULL, columns, and posting lists.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from workbook.btree.page import MINUS_INFINITY, Entry, Page
from workbook.btree.splitting import SplitPage
from workbook.btree.tree import Tree
from workbook.exercises.btrees.splits import parts

Step = dict[str, Any]
Data = dict[str, Any]
KEYS_REPEATED, KEYS_UNIQUE, START, STEPS = 16, 40, 21, 16
NEW_ROW = 1000
HEADER_BYTES = 40


@dataclass(frozen=True)
class Rules:
    """What the tree is ordered to do: with a key that is `there` already, on `delete`, whether leaves may stay `empty`,
    whether pages name their `left` siblings."""

    there: Literal["added", "refused", "replaced"] = "added"
    delete: Literal["row", "key"] = "row"
    empty: bool = True
    left: bool = True


@dataclass(frozen=True)
class Design:
    """A right tree of some shape: its pages, its cuts, whether it is built `anew` after each step, and a `guise`."""

    name: str
    page_bytes: int = 160
    fill_factor: int = 90
    split: SplitPage | None = None
    anew: bool = False
    guise: Callable[[Data], Data] | None = None

    __hash__ = object.__hash__


def last_of_left(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    """A cut in the middle whose separator is the last entry of the left side, its row included."""
    left, right = parts(page, entries, number, len(entries) // 2)
    if page.level:
        return left, right
    last = left.entries[-1]
    return replace(left, high_key=last.key, high_tie=last.pointers[-1]), right


def few_on_the_left(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    """A cut after the second entry."""
    return parts(page, entries, number, 2)


def with_other_numbers(tree: Data) -> Data:
    """Pages in another order, with numbers of their own."""

    def new(number: int | None) -> int | None:
        return None if number is None else 900 - 7 * number

    for page in tree["pages"]:
        page.update(number=new(page["number"]), left=new(page["left"]), right=new(page["right"]))
        for entry in page["entries"]:
            entry["child"] = new(entry["child"])
    tree["root"] = new(tree["root"])
    return tree


def copied(tree: Data) -> Data:
    """A tree with pages and entries of its own."""
    pages = [{**page, "entries": [dict(entry) for entry in page["entries"]]} for page in tree["pages"]]
    return {**tree, "pages": pages}


def with_what_was(tree: Data) -> Data:
    """A page out of use, on which its old entries still stand and whose links lead to pages."""
    leaf = next(page for page in tree["pages"] if page["level"] == 0)
    tree["pages"].append({**copy.deepcopy(leaf), "number": 77, "state": "free"})
    return tree


def with_a_spare_root(tree: Data) -> Data:
    """A root of one entry, as deletes leave one behind."""
    entry = {"key": (), "child": tree["root"], "bytes": 12}
    root = {"number": 78, "level": tree["height"], "state": "live", "left": None, "right": None}
    tree["pages"].append({**root, "high_key": None, "entries": [entry]})
    return {**tree, "root": 78, "height": tree["height"] + 1}


RIGHT = (
    Design("a tree as PostgreSQL cuts it"),
    Design("pages of 128 bytes", page_bytes=128, split=last_of_left),
    Design("a separator is the last entry of its left page", split=last_of_left),
    Design("two entries stay on the left", split=few_on_the_left),
    Design(
        "built anew after each step, its leaves a little more than half full", fill_factor=60, anew=True, page_bytes=192
    ),
    Design("built anew after each step, its leaves full", fill_factor=100, anew=True, page_bytes=128),
    Design("pages out of use keep what stood on them", guise=with_what_was),
    Design("other numbers of pages, in another order", guise=with_other_numbers),
    Design("a root with one child", page_bytes=192, guise=with_a_spare_root),
)


@cache
def right_designs(rules: Rules) -> tuple[Design, ...]:
    """The right designs under these rules: where no leaf may stay empty, all are built anew."""
    return tuple(design if rules.empty else replace(design, anew=True) for design in RIGHT)


@cache
def steps(design: Design, rules: Rules, again: bool = False) -> tuple[Step, ...]:
    """What a design does with inserts, deletes and questions, or with others where it is asked `again`: right steps."""
    chance = random.Random(f"{design.name} {rules}{' again' if again else ''}")
    keys = KEYS_REPEATED if rules.there == "added" else KEYS_UNIQUE
    held = [(chance.randrange(keys), row) for row in range(START)]
    held = list(dict(held).items()) if rules.there != "added" else held
    tree = _built(design, held)
    made, before = [], data(tree, design, rules)
    for number in range(STEPS):
        operation = _operation(chance, held, rules, number)
        result, after = _done(operation, held, rules)
        tree = _changed(tree, design, held, after)
        held = after
        now = data(tree, design, rules)
        made.append({"operation": operation, "result": result, "before": before, "after": now})
        before = now
    return tuple(made)


def elsewhere(step: Step) -> Step:
    """The same step with other keys, rows, numbers and sizes, its pages listed the other way round: right if it was right, wrong if it was
    wrong, and by the same rule.

    >>> page = {"number": 1, "left": None, "right": None, "high_key": None, "entries": [{"key": (5, 12), "child": None, "bytes": 20}]}
    >>> moved = elsewhere({"operation": ("find", 5), "result": [12], "before": {"root": 1, "page_bytes": 160, "pages": []}, "after": {"root": 1, "page_bytes": 160, "pages": [page]}})
    >>> moved["operation"], moved["result"], moved["after"]["page_bytes"], moved["after"]["pages"][0]["entries"]
    (('find', 65), [9036], 280, [{'key': (65, 9036), 'child': None, 'bytes': 40}])
    """

    def key(pair: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(3 * each + base for each, base in zip(pair, (50, 9000), strict=False))

    def number(page: int | None) -> int | None:
        return None if page is None else 2000 - page

    def page(old: Data) -> Data:
        entries = [
            {"key": key(each["key"]), "child": number(each["child"]), "bytes": 2 * each["bytes"]}
            for each in old["entries"]
        ]
        high = None if old["high_key"] is None else key(old["high_key"])
        links = {name: number(old[name]) for name in ("number", "left", "right")}
        return {**old, **links, "high_key": high, "entries": entries}

    def tree(old: Data) -> Data:
        pages = [page(each) for each in old["pages"][::-1]]
        room = 2 * (old["page_bytes"] - HEADER_BYTES)
        return {**old, "root": number(old["root"]), "page_bytes": HEADER_BYTES + room, "pages": pages}

    kind, *asked = step["operation"]
    result = [key((0, row))[1] for row in step["result"]] if kind == "find" else step["result"]
    trees = {name: tree(step[name]) for name in ("before", "after")}
    return {"operation": (kind, *key(tuple(asked))), "result": result, **trees}


def _built(design: Design, held: list[tuple[int, int]]) -> Tree:
    options: Any = {"page_bytes": design.page_bytes, "fill_factor": design.fill_factor, "duplicates": "plain"}
    if design.anew:
        return Tree.load(held, **options)
    tree = Tree(split=design.split, **options)
    for key, row in held:
        tree.insert(key, row)
    return tree


def _operation(chance: random.Random, held: list[tuple[int, int]], rules: Rules, number: int) -> tuple[Any, ...]:
    """An insert of a new or a known key, a delete of what is there or not, a question for what is there or not."""
    key = chance.choice(held)[0] if number % 4 < 2 and held else chance.randrange(KEYS_REPEATED + 4)
    if number % 3 == 0:
        return "insert", key, NEW_ROW + number
    if number % 3 == 1:
        return "find", key if number % 4 < 3 else KEYS_UNIQUE + number
    rows = [row for each, row in held if each == key]
    return ("delete", key) if rules.delete == "key" else ("delete", key, chance.choice(rows) if rows else 5)


def _done(operation: tuple[Any, ...], held: list[tuple[int, int]], rules: Rules) -> tuple[Any, list[tuple[int, int]]]:
    """What comes of an operation by the rules: its result, and the pairs that are there then."""
    kind, key = operation[:2]
    there = [pair for pair in held if pair[0] == key]
    if kind == "find":
        return sorted(row for _, row in there), held
    if kind == "insert":
        if there and rules.there == "refused":
            return False, held
        rest = [pair for pair in held if pair not in there] if rules.there == "replaced" else held
        return True, [*rest, (key, operation[2])]
    gone = there if rules.delete == "key" else [pair for pair in there if pair[1] == operation[2]]
    return len(gone), [pair for pair in held if pair not in gone]


def _changed(tree: Tree, design: Design, held: list[tuple[int, int]], after: list[tuple[int, int]]) -> Tree:
    if design.anew:
        return _built(design, after) if after != held else tree
    for pair in set(held) - set(after):
        tree.delete(*pair)
    for pair in set(after) - set(held):
        tree.insert(*pair)
    return tree


def data(tree: Tree, design: Design, rules: Rules) -> Data:
    """A tree as plain data, in the guise of its design."""
    snapshot = tree.snapshot()
    pages = [_page(snapshot.pages[number], rules) for number in sorted(snapshot.pages)]
    made = {"root": snapshot.root, "height": snapshot.height, "page_bytes": snapshot.page_bytes, "pages": pages}
    return design.guise(made) if design.guise else made


def _page(page: Page, rules: Rules) -> Data:
    def bound(key: Any, tie: tuple[int, int] | None) -> tuple[Any, ...]:
        return () if key is MINUS_INFINITY else (key,) if tie is None else (key, tie[0])

    entries = [
        {
            "key": bound(entry.key, entry.tie if page.level else entry.pointers[0]),
            "child": entry.child,
            "bytes": entry.bytes,
        }
        for entry in page.entries
    ]
    return {
        "number": page.number,
        "level": page.level,
        "state": page.state,
        "left": page.left if rules.left else None,
        "right": page.right,
        "high_key": None if page.high_key is None else bound(page.high_key, page.high_tie),
        "entries": entries,
    }
