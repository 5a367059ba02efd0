"""Which page next: a search on an inner page that may have been split since somebody sent us there.

    page 12   (() → 4) │ ((30,) → 7) │ ((30, 8) → 9)     high key (52,), right 15

    (30, 2)   not below (30,), below (30, 8)      down to 7       what a separator lacks counts as -∞
    (30, 8)   not below (30, 8)                   down to 9       it was cut from the first entry of the right page
    (52, 1)   not below the high key              right to 15     page 12 was split after we read the page above

A separator is no row. It says where the keys to its right begin, it may be cut short, and its row may be gone. So three things
decide: in which order the columns stand, on which side of a separator its own key stands (a matter of how it was made: from
the first key of the right page in PostgreSQL, from the last of the left one in Lehman and Yao's paper and in SQLite), and which end of a
run of equal keys is wanted. The variants change just these. Keys are tuples; the empty one stands in front of all.

The answer key is the teaching tree: trees are built of keys that are mapped to whole numbers of the same order, each
question is asked of the tree, and the steps that it takes are the truth. A page to the left of those steps is one that was split
since: there the truth is to move right. Of all cases that fail the smallest is made smaller still, and drawn.

    >>> case = cases(VARIANTS[0])[0]
    >>> rule(VARIANTS[0])(case.page, case.key) == case.truth, len(cases(VARIANTS[0])) > 1000
    (True, True)

Sources: Lehman and Yao, "Efficient Locking for Concurrent Operations on B-Trees", 1981; PostgreSQL's
src/backend/access/nbtree/nbtsearch.c (`_bt_moveright`, `_bt_binsrch`). Left out: deleted pages, which are passed to the right whatever the key.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from workbook.btree.page import MINUS_INFINITY, Entry, Page, Snapshot, shown
from workbook.btree.picture import picture
from workbook.btree.splitting import halves
from workbook.btree.tree import Tree
from workbook.draw.tree import Lit
from workbook.exercises.rules import accepts_rule
from workbook.grading.answer import Function, FunctionFailed
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

SIGNATURE = "find_child(page, key)"
TREES, TREES_OF_PREFIXES, KEYS_A_TREE, ASKED_A_TREE = 8, 28, 160, 90
FAR = 10**9
Key = tuple[Any, ...]
Rule = Callable[[dict[str, Any], Key], Any]


@dataclass(frozen=True)
class Column:
    """A column of the index: its direction, and where NULL stands in the index, read forwards."""

    name: str
    descending: bool = False
    nulls_first: bool = False

    def __str__(self) -> str:
        nulls = "NULLS FIRST" if self.nulls_first else "NULLS LAST"
        return f"{self.name} {'DESC' if self.descending else 'ASC'} {nulls}"


@dataclass(frozen=True)
class Variant:
    """An index: its columns; whether a separator is the `largest` key of its left side (else it is cut from the first
    of its right side); whether pages have high keys and right `links`; what is looked for, a `whole` key, or the `first` or
    `last` row of those whose first column is given; `because`."""

    story: str
    columns: tuple[Column, ...]
    largest: bool = False
    links: bool = True
    wants: Literal["whole", "first", "last"] = "whole"
    because: str = ""


VARIANTS = (
    Variant(
        "An index as SQLite keeps it, where one process writes at a time: no high keys, no right links, NULL before all; a separator is the largest key of its left page, and is not cut",
        (Column("customer", nulls_first=True), Column("day", nulls_first=True)),
        largest=True,
        links=False,
        because="Nobody splits a page while another searches, so there is nothing to move right for; a separator is the largest key to its left, and an equal key is left of it.",
    ),
    Variant(
        "A unique index as Lehman and Yao drew it in 1981: a separator is the largest key of its left page, and so is the high key; neither is cut",
        (Column("customer"), Column("day")),
        largest=True,
        because="A separator is the largest key of what stands to its left: an equal key is left of it, and a key that is equal to the high key is still here.",
    ),
    Variant(
        "A unique index as PostgreSQL keeps it, the latest day of a customer first: a separator is the first key of its right page, cut after the first column that tells it from the last key of the left page",
        (Column("customer"), Column("day", descending=True, nulls_first=True)),
        because="Below means earlier in the index: in a descending column the larger value, and NULL before all. Truncation knows nothing of directions: what is missing counts as -∞, before all.",
    ),
    Variant(
        "An index that is read backwards, for the latest day of a customer: given is the customer alone, and wanted is the way to the customer's last entry, NULL included. A separator is the first key of its right page, cut after the first column that tells it from the last key of the left page",
        (Column("customer"), Column("day")),
        wants="last",
        because="What the question leaves open counts as +∞, since the last one is wanted; what a separator lacks still counts as -∞. So of several separators with this customer the last is followed, and one that names the next customer is not.",
    ),
    Variant(
        "An index from the largest customer to the smallest, without a customer last: given is the customer alone, and wanted is the way to the customer's first entry. A separator is the first key of its right page, cut after the first column that tells it from the last key of the left page",
        (Column("customer", descending=True), Column("day")),
        wants="first",
        because="What the question leaves open counts as -∞, so that it stands before each separator that names a day of this customer; a separator that is the customer alone was cut, and the first entry stands right of it.",
    ),
    Variant(
        "A unique index as PostgreSQL keeps it: a separator is the first key of its right page, cut after the first column that tells it from the last key of the left page",
        (Column("customer"), Column("day")),
        because="A separator is the first key of what stands to its right, cut short: an equal key is right of it, and so is one that only goes on where the separator was cut.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A page as plain data, a key, and the number of the page that the teaching tree visits next."""

    page: dict[str, Any]
    key: Key
    truth: int

    __hash__ = object.__hash__

    @property
    def size(self) -> int:
        return len(self.page["entries"])


def mapped(key: Key, variant: Variant) -> Key:
    """Columns as whole numbers whose ascending order is that of the index."""
    numbers = []
    for value, column in zip(key, variant.columns, strict=False):
        if value is None:
            numbers.append(-FAR if column.nulls_first else FAR)
        else:
            numbers.append(-value if column.descending else value)
    return tuple(numbers)


def unmapped(key: Any, variant: Variant) -> Key:
    """The columns that were mapped; the empty tuple for -∞."""
    if key is MINUS_INFINITY:
        return ()
    return tuple(
        None if abs(number) == FAR else -number if column.descending else number
        for number, column in zip(key, variant.columns, strict=False)
    )


def largest_of_left(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    """A split in halves whose separator is the last entry of the left side, its row included."""
    left, right = halves(page, entries, number)
    goes_up = entries[len(left.entries)] if page.level else left.entries[-1]
    tie = goes_up.tie if page.level else goes_up.pointers[-1]
    return replace(left, high_key=goes_up.key, high_tie=tie), right


@cache
def cases(variant: Variant) -> tuple[Case, ...]:
    """Some two thousand questions and their truth: the steps of searches in trees of other sizes and keys."""
    chance = random.Random(f"find_child of {variant.columns} {variant.largest} {variant.wants}")
    trees = TREES if variant.wants == "whole" else TREES_OF_PREFIXES
    return tuple(case for number in range(trees) for case in _of_tree(variant, chance, number % TREES))


def _of_tree(variant: Variant, chance: random.Random, number: int) -> Iterator[Case]:
    def some_key() -> Key:
        customer = None if chance.random() < 0.08 else chance.randrange(10 + 6 * number)
        return customer, None if chance.random() < 0.08 else chance.randrange(25)

    stored = list(dict.fromkeys(some_key() for _ in range(KEYS_A_TREE)))
    tree = Tree(page_bytes=(256, 288, 320)[number % 3], split=largest_of_left if variant.largest else None)
    for key in stored:
        tree.insert(mapped(key, variant))
    snapshot = tree.snapshot()
    levels = {level: snapshot.level(level) for level in range(1, snapshot.height)}
    separators = [
        unmapped(bound, variant)
        for pages in levels.values()
        for page in pages
        for bound in (*[entry.key for entry in page.entries[1:]], page.high_key)
        if bound is not None
    ]
    ends = [(*key, *some_key()[len(key) :]) for key in separators]
    asked = [*ends, *chance.sample(stored, 40), *(some_key() for _ in range(20))]
    asked = list(dict.fromkeys(key if variant.wants == "whole" else key[:1] for key in asked))[:ASKED_A_TREE]
    for key in asked:
        for page, child in _steps(tree, key, variant):
            beside = levels[snapshot.pages[page].level]
            place = [each.number for each in beside].index(page)
            yield Case(_data(beside[place], variant), key, child)
            if place and variant.links:
                for other in {place - 1, chance.randrange(place)}:
                    yield Case(_data(beside[other], variant), key, beside[other].right or 0)


def _steps(tree: Tree, key: Key, variant: Variant) -> list[tuple[int, int]]:
    """The inner pages that a search visits, each with the page that it goes to."""
    sought = mapped(key, variant)
    with tree.trace() as steps:
        if variant.wants == "whole":
            tree.find(sought)
        else:
            next(tree.scan(sought, sought, reverse=variant.wants == "last"), None)
    return [(event.page, event.other or 0) for event in steps.events if event.kind == "descend"]


def _data(page: Page, variant: Variant) -> dict[str, Any]:
    linked = variant.links and page.high_key is not None
    return {
        "number": page.number,
        "high_key": unmapped(page.high_key, variant) if linked else None,
        "right": page.right if linked else None,
        "entries": [{"key": unmapped(entry.key, variant), "child": entry.child} for entry in page.entries],
    }


# rules: the right one and those of mistaken beliefs


def rule(variant: Variant, belief: str = "") -> Rule:
    """The rule of a variant, or the rule of somebody who holds a belief."""
    largest = variant.largest != (belief == "equal-side")
    last = (variant.wants == "last") != (belief == "other-end")
    nulls = {column.name: column.nulls_first != (belief == "null-side") for column in variant.columns}

    def rank(value: Any, column: Column) -> tuple[int, int]:
        if value is None:
            return (0 if nulls[column.name] else 2), 0
        return 1, -value if column.descending and belief != "ascending" else value

    def beyond(key: Key, bound: Key, largest: bool) -> bool:
        for mine, other, column in zip(key, bound, variant.columns, strict=False):
            if rank(mine, column) != rank(other, column):
                return rank(mine, column) > rank(other, column)
        if len(key) > len(bound):
            return belief != "missing-is-all" or not bound
        return last if len(key) < len(bound) else not largest

    def find_child(page: dict[str, Any], key: Key) -> Any:
        high, entries = page["high_key"], page["entries"]
        at_high = largest if belief != "high-side" else not largest
        if high is not None and belief != "no-move" and beyond(key, high, at_high):
            return page["right"]
        places = [place for place in range(1, len(entries)) if beyond(key, entries[place]["key"], largest)]
        place = max(places, default=0) + (belief == "separators-are-rows")
        return entries[min(place, len(entries) - 1)]["child"]

    return find_child


BELIEFS = {
    "no-move": "Who sent you to this page had read it from the page above a moment before: what may have happened to this page since, and where does it say so?",
    "equal-side": "Take a key that is equal to a separator: of which of the two pages was the separator made, the one to its left or the one to its right?",
    "high-side": "The high key of a page is the separator that stands behind it in the page above: on which side of it does its own key stand there?",
    "null-side": "Where in this index do the rows stand whose column is NULL?",
    "ascending": "Which of two values of this column stands first in the index?",
    "missing-is-all": "(30,) was cut from (30, 8), and behind (30,) nothing is known: on which side of it does (30, 2) stand?",
    "other-end": "Several pages may hold entries of this customer: at which end of them is the one that is wanted?",
    "separators-are-rows": "An entry is a key and a child: does the child begin with that key, or end with it?",
}  # fmt: skip


@cache
def believing(variant: Variant) -> dict[str, tuple[Any, ...]]:
    """What each belief answers to all cases, of those beliefs that are wrong here."""
    asked = cases(variant)
    held = {key: tuple(rule(variant, key)(case.page, case.key) for case in asked) for key in BELIEFS}
    return {
        key: said for key, said in held.items() if any(a != case.truth for a, case in zip(said, asked, strict=True))
    }


def kin(said: list[Any], asked: tuple[Case, ...], variant: Variant) -> str:
    """The belief that answers as the function does, wherever one of the two is wrong: at four of five such places."""
    best, most = "", 0.8
    for belief, believed in believing(variant).items():
        wrong = [n for n, case in enumerate(asked) if said[n] != case.truth or believed[n] != case.truth]
        share = sum(said[n] == believed[n] for n in wrong) / len(wrong)
        if share > most:
            best, most = belief, share
    return best


def judge(answer: Function, variant: Variant) -> Judgement:
    asked, said = cases(variant), []
    for case in asked:
        try:
            said.append(answer(case.page, case.key))
        except FunctionFailed as failure:
            if failure.state == "error" and _holds_null(case):
                return Judgement(0.0, (_null(failure, case),))
            raise
    failing = [n for n, case in enumerate(asked) if type(said[n]) is not int or said[n] != case.truth]
    if not failing:
        return Judgement(1.0, (Finding(True, f"{len(asked):,} questions, each answered as the teaching tree does."),))
    smallest = min((asked[n] for n in failing), key=lambda case: case.size)
    case, given = shrunk(answer, smallest)
    found = _finding(case, given, len(failing), len(asked), kin(said, asked, variant), variant)
    return Judgement(0.0, (found,), (drawn(case),))


def shrunk(answer: Function, case: Case) -> tuple[Case, Any]:
    """The same case with as few entries as still fail, and what the function says of it.

    The first entry and the right child stay, and so the truth does: fewer separators move no key to another side of
    those that are left.
    """
    place = 1
    while place < case.size:
        entries = case.page["entries"]
        fewer = replace(case, page={**case.page, "entries": entries[:place] + entries[place + 1 :]})
        if entries[place]["child"] == case.truth or _said(answer, fewer) == case.truth:
            place += 1
        else:
            case = fewer
    return case, _said(answer, case)


def _said(answer: Function, case: Case) -> Any:
    try:
        return answer(case.page, case.key)
    except FunctionFailed as failure:
        return failure.what


def told(case: Case) -> str:
    """The page in a line: '() → 4, (30,) → 7; high key (52,), right 15'."""
    page = case.page
    entries = ", ".join(f"{entry['key']} → {entry['child']}" for entry in page["entries"])
    return entries + (f"; high key {page['high_key']}, right {page['right']}" if page["high_key"] is not None else "")


def drawn(case: Case) -> Any:
    """The page with the entry that is to be followed."""
    page = case.page
    entries = tuple(
        Entry(entry["key"] or MINUS_INFINITY, 28 if entry["key"] else 12, entry["child"]) for entry in page["entries"]
    )
    free = 320 - 40 - sum(entry.bytes for entry in entries)
    shown_page = Page(page["number"], 1, entries, 320, free, page["high_key"], None, page["right"])
    snapshot = Snapshot(
        f"where does {shown(case.key)} go", "teaching", page["number"], 2, {page["number"]: shown_page}, False, 320
    )
    slots = {(page["number"], slot): "chosen" for slot, entry in enumerate(entries) if entry.child == case.truth}
    return picture(snapshot, Lit({page["number"]: "read"}, slots, frozenset()))


def _finding(case: Case, given: Any, wrong: int, count: int, belief: str, variant: Variant) -> Finding:
    place = [entry["child"] for entry in case.page["entries"]]
    known = type(given) is int and given in (*place, case.page["right"])
    where = f"page {given}" if known else repr(given)[:80]
    none = "" if known else " It is neither a child nor the right sibling."
    expected = (
        f"To the right, page {case.truth}: the key is beyond the high key {case.page['high_key']}."
        if case.truth == case.page["right"]
        else f"Down to page {case.truth}, the child of the entry {case.page['entries'][place.index(case.truth)]['key']}."
    )
    return Finding(
        ok=False,
        seen=f"The smallest case that fails, of {wrong:,} among {count:,}: on page {case.page['number']} with {told(case)}, "
        f"the key {case.key} is sent to {where}.{none}",
        expected=expected,
        question=BELIEFS.get(belief) or "Go through its entries from the right: which is the first one that the key is not in front of?",
        misconception=belief,
    )  # fmt: skip


def _holds_null(case: Case) -> bool:
    keys = [case.key, case.page["high_key"] or (), *(entry["key"] for entry in case.page["entries"])]
    return any(None in key for key in keys) or case.page["high_key"] is None


def _null(failure: FunctionFailed, case: Case) -> Finding:
    line = f"\n```\n{failure.line}\n```" if failure.line else ""
    no_high = case.page["high_key"] is None and not any(
        None in key for key in (case.key, *(entry["key"] for entry in case.page["entries"]))
    )
    return Finding(
        ok=False,
        seen=f"{failure.what} The page: {told(case)}.{line}",
        expected="The number of a page, also on a page without a high key."
        if no_high
        else "The number of a page: NULL (None) has a place in the order, too.",
        question="What does it mean that a page has no high key?"
        if no_high
        else "Python does not compare None with a number. Before or behind all numbers does this index keep it?",
        misconception="" if no_high else "null-is-no-key",
    )


def brief(variant: Variant) -> str:
    columns = ", ".join(map(str, variant.columns))
    example = next(case for case in cases(variant) if case.size <= 5 and (case.page["right"] or not variant.links))
    few = {**example.page, "entries": example.page["entries"][:3]}
    page = f"{{'number': {few['number']}, 'high_key': {few['high_key']}, 'right': {few['right']},\n 'entries': ["
    page += ",\n             ".join(str(entry) for entry in few["entries"]) + "]}"
    asked = "a whole key, `(customer, day)`" if variant.wants == "whole" else "a customer, `(customer,)`"
    links = (
        "Nobody who searches holds a lock on the way down. So the page may have been split since the page above was read, and what is looked for may stand to its right (never to its left). "
        "Where there is no bound, `high_key` and `right` are None."
        if variant.links
        else "`high_key` and `right` are None on every page."
    )
    return (
        f"{variant.story}.\n\nThe columns are `({columns})`. Write `{SIGNATURE}`: the number of the page that a search visits next, from an inner page\n\n"
        f"```python\n{page}\n```\n\nand {asked}. Keys are tuples of whole numbers, None is NULL; the first entry has the key `()`, in front of all. {links}\n\n"
        f"It is judged on {len(cases(variant)):,} pages and keys, of trees that you have not seen; the smallest case that fails is shown. `Tree(page_bytes=256)` of `workbook.btree` is a tree to "
        "try things on: its `snapshot()` shows what separators look like."
    )


EXERCISE = register(
    Exercise(
        id="btrees-child",
        lab="01_btrees",
        number=5,
        title="Find the child on a page with a high key",
        kind="R",
        declares="value",
        points=4,
        core=True,
        minutes=10,
        answer=f"a function, def {SIGNATURE}",
        accepts=accepts_rule(SIGNATURE),
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "What does a separator tell you about the keys on its left, and what about those on its right?",
            lambda variant: (
                "Write one function first: does this key stand beyond that bound? Walk through the columns; at the first that differs the order of that column decides, NULL included. What is left "
                "to think about is the end: all columns that both have are equal. Then " + ("the high key and the separators are all asked the same." if variant.links else "ask each separator.")
            ),
            lambda variant: (
                ("If there is a high key and the key is beyond it, give `right`. " if variant.links else "")
                + "Else give the child of the last entry that the key is beyond (the first entry has nothing in front of it). "
                + ("Equal in all columns is not beyond" if variant.largest else "Equal in all columns of a separator is beyond")
                + ({"whole": "", "first": "; equal in the customer, and the separator names a day, is not", "last": "; equal in the customer, and the separator names a day, is beyond, too"}[variant.wants])
                + ". Before you compare, turn each value into a pair, "
                + ", ".join(f"`{_pair(column)}` for {column.name}" for column in variant.columns[: 1 if variant.wants != "whole" else 2])
                + "."
            ),
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} "
            + (
                "Whoever finds the key beyond the high key moves right, and needs no lock on the page above: that is the whole of Lehman and Yao's idea. "
                if variant.links
                else "With writers beside readers it would need high keys and right links, or locks held on the way down. "
            )
            + "What would change it: separators made from the other side, another direction of a column, or the other end of equal keys; never whether a row with the separator's key exists."
        ),
        misconceptions={
            "no-move": "The page that an entry names holds all the keys that the entry promised.",
            "equal-side": "A key that is equal to a separator stands to its left, or to its right, in every tree.",
            "high-side": "The high key is a bound of another kind than the separators.",
            "null-side": "NULL sorts before all values, or behind all, in every index.",
            "ascending": "An index is in ascending order, whatever its columns say.",
            "missing-is-all": "A separator that was cut short is equal to all keys that begin with it.",
            "other-end": "Equal keys stand on one page, so that either end of them will do.",
            "separators-are-rows": "Separators are rows: the page below an entry ends with the entry's key.",
            "null-is-no-key": "NULLs are not indexed.",
        },
    )
)  # fmt: skip


def _pair(column: Column) -> str:
    sign = "-value" if column.descending else "value"
    return f"({'0' if column.nulls_first else '2'}, 0) if value is None else (1, {sign})"
