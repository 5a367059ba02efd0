"""Wrong trees of one fault each: what acceptance checks for a B-tree have to refuse.

    a right step ── one fault ──▶ a wrong step     "A range, read backwards, leaves out a page."
       before   stays right
       after    a row lost, a link that is stale, a page over full, a separator too small ...
       result   or this: a row that is not there, a success that was none

A check that trusts what `find` says lets a broken structure pass, one that looks at the structure alone lets lost rows pass. So for
each of the rules there is a design that breaks this one and as few others as can be, in steps that are right otherwise. A fault is a function that
changes a copy of a right step, where the step offers a place for it.

    >>> rules = Rules()
    >>> sum(1 for wrong in WRONG if wrong in bank(rules)), sum(map(len, bank(rules).values())) > 100
    (28, True)

Left out: faults of two steps together, of a crash, and of a reader beside a writer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from workbook.exercises.btrees.designs import HEADER_BYTES, Data, Rules, Step, copied, right_designs, steps

Fault = Callable[[Step, Rules], bool]
"""Makes a right step wrong, in place; False where the step offers no place for it."""


def _live(tree: Data, level: int) -> list[Data]:
    """The pages of a level from left to right."""
    known = {page["number"]: page for page in tree["pages"] if page["state"] == "live"}
    page = known[tree["root"]]
    while page["level"] > level:
        page = known[page["entries"][0]["child"]]
    found = [page]
    while found[-1]["right"] is not None:
        found.append(known[found[-1]["right"]])
    return found


def _leaf_of(tree: Data, key: Any) -> Iterator[tuple[Data, int]]:
    """The places of the entries of a key on the leaves."""
    for leaf in _live(tree, 0):
        yield from [(leaf, place) for place, entry in enumerate(leaf["entries"]) if entry["key"][0] == key]


def _drop(tree: Data, unlike: Any) -> bool:
    """Take away an entry of another key."""
    for leaf in _live(tree, 0):
        for place, entry in enumerate(leaf["entries"]):
            if entry["key"][0] != unlike and len(leaf["entries"]) > 1:
                del leaf["entries"][place]
                return True
    return False


def loses(step: Step, rules: Rules) -> bool:
    return step["operation"][0] == "insert" and _drop(step["after"], step["operation"][1])


def forgets_insert(step: Step, rules: Rules) -> bool:
    if step["operation"][0] != "insert" or step["result"] is False:
        return False
    step["after"] = copied(step["before"])
    return True


def puts_more(step: Step, rules: Rules) -> bool:
    if step["operation"][0] != "insert":
        return False
    for leaf in _live(step["after"], 0):
        if leaf["entries"] and _used(leaf) + 48 <= step["after"]["page_bytes"] - HEADER_BYTES:
            key, row = leaf["entries"][-1]["key"]
            if leaf["high_key"] is None or (key, row + 2000) <= leaf["high_key"]:
                leaf["entries"].append({"key": (key, row + 2000), "child": None, "bytes": 20})
                return True
    return False


def other_row(step: Step, rules: Rules) -> bool:
    if step["operation"][0] != "insert" or step["result"] is False:
        return False
    for leaf in _live(step["after"], 0):
        if leaf["entries"] and leaf["high_key"] is None and leaf["entries"][-1]["key"][1] != step["operation"][2]:
            key, row = leaf["entries"][-1]["key"]
            leaf["entries"][-1]["key"] = (key, row + 500)
            return True
    return False


def delete_keeps(step: Step, rules: Rules) -> bool:
    if step["operation"][0] != "delete" or not step["result"]:
        return False
    step["after"] = copied(step["before"])
    return True


def delete_takes_more(step: Step, rules: Rules) -> bool:
    return step["operation"][0] == "delete" and _drop(step["after"], step["operation"][1])


def delete_miscounts(step: Step, rules: Rules) -> bool:
    if step["operation"][0] != "delete" or step["result"]:
        return False
    step["result"] = 1
    return True


def find_misses(step: Step, rules: Rules) -> bool:
    if step["operation"][0] != "find" or not step["result"]:
        return False
    step["result"] = step["result"][:-1]
    return True


def find_invents(step: Step, rules: Rules) -> bool:
    if step["operation"][0] != "find" or step["result"]:
        return False
    step["result"] = [3]
    return True


def find_changes(step: Step, rules: Rules) -> bool:
    return step["operation"][0] == "find" and _drop(step["after"], None)


def disorder(step: Step, rules: Rules) -> bool:
    leaf = next((leaf for leaf in _live(step["after"], 0) if len(leaf["entries"]) > 2), None)
    if leaf is None:
        return False
    entries = leaf["entries"]
    entries[0], entries[1] = entries[1], entries[0]
    return True


def inner_disorder(step: Step, rules: Rules) -> bool:
    page = next((page for page in _live(step["after"], 1) if len(page["entries"]) > 2), None)
    if page is None:
        return False
    entries = page["entries"]
    entries[1], entries[2] = entries[2], entries[1]
    return True


def over_full(step: Step, rules: Rules) -> bool:
    """A leaf takes entries from its right sibling until it holds more than it can; separator and high key say so."""
    tree = step["after"]
    room = tree["page_bytes"] - HEADER_BYTES
    leaves = {page["number"]: page for page in _live(tree, 0)}
    for above in _live(tree, 1):
        for entry, following in pairwise(above["entries"]):
            leaf, sibling = leaves[entry["child"]], leaves[following["child"]]
            moved = 1 + (room - _used(leaf)) // 20
            if len(sibling["entries"]) <= moved or _used(above) + 28 - following["bytes"] > room:
                continue
            leaf["entries"] += sibling["entries"][:moved]
            del sibling["entries"][:moved]
            bound = leaf["entries"][-1]["key"]
            leaf["high_key"] = bound
            following.update(key=bound, bytes=28)
            return True
    return False


def _used(page: Data) -> int:
    return sum(entry["bytes"] for entry in page["entries"])


def right_skips(step: Step, rules: Rules) -> bool:
    leaves = _live(step["after"], 0)
    if len(leaves) < 3:
        return False
    leaves[0]["right"] = leaves[2]["number"]
    return True


def left_stale(step: Step, rules: Rules) -> bool:
    leaves = _live(step["after"], 0)
    if len(leaves) < 3 or not rules.left:
        return False
    leaves[2]["left"] = leaves[0]["number"]
    return True


def right_ends(step: Step, rules: Rules) -> bool:
    pages = _live(step["after"], 1)
    if len(pages) < 2:
        return False
    pages[0]["right"] = None
    return True


def high_too_small(step: Step, rules: Rules) -> bool:
    """High key and separator agree, and are below the last entry of the page."""
    leaf = next((leaf for leaf in _live(step["after"], 0)[:-1] if len(leaf["entries"]) > 1), None)
    if leaf is None:
        return False
    wrong = leaf["entries"][-2]["key"]
    for page in step["after"]["pages"]:
        if page["state"] == "live" and page["high_key"] == leaf["high_key"]:
            page["high_key"] = wrong if page is leaf or page["level"] else page["high_key"]
    _separator_after(step["after"], leaf["number"], wrong)
    return True


def _separator_after(tree: Data, child: int, key: Any) -> None:
    """Another separator behind the entry that names a leaf, on whichever page it stands."""
    for level in range(1, tree["height"]):
        for page in _live(tree, level):
            places = [place for place, entry in enumerate(page["entries"]) if entry["child"] == child]
            if places and places[0] + 1 < len(page["entries"]):
                page["entries"][places[0] + 1]["key"] = key
                return
            if places:
                child = page["number"]


def high_alone(step: Step, rules: Rules) -> bool:
    """The page above is right; a leaf says that its keys end sooner than the page above says."""
    for leaf, following in pairwise(_live(step["after"], 0)):
        if leaf["entries"] and following["entries"]:
            last = leaf["entries"][-1]["key"]
            if leaf["high_key"] != last:
                leaf["high_key"] = (last[0], last[1])
                return True
    return False


def separator_too_large(step: Step, rules: Rules) -> bool:
    """The page above sends the first key of a leaf to the left of it; the links and high keys are right."""
    for page in _live(step["after"], 1):
        for entry in page["entries"][1:]:
            leaf = next(each for each in _live(step["after"], 0) if each["number"] == entry["child"])
            if len(leaf["entries"]) > 1:
                entry["key"] = leaf["entries"][0]["key"]
                return True
    return False


def separator_too_small(step: Step, rules: Rules) -> bool:
    """The page above sends the last key of a leaf to the right of it, from where no link is followed back."""
    leaves = {page["number"]: page for page in _live(step["after"], 0)}
    for page in _live(step["after"], 1):
        for before, entry in pairwise(page["entries"]):
            stored = leaves[before["child"]]["entries"]
            if len(stored) > 1:
                entry["key"] = stored[-2]["key"]
                return True
    return False


def unnamed(step: Step, rules: Rules) -> bool:
    page = next((page for page in _live(step["after"], 1) if len(page["entries"]) > 2), None)
    if page is None:
        return False
    del page["entries"][-1]
    return True


def named_twice(step: Step, rules: Rules) -> bool:
    page = next((page for page in _live(step["after"], 1) if len(page["entries"]) > 2), None)
    if page is None:
        return False
    page["entries"][2]["child"] = page["entries"][1]["child"]
    return True


def no_infinity(step: Step, rules: Rules) -> bool:
    page = _live(step["after"], 1)[0]
    page["entries"][0]["key"] = (-5,)
    return True


def uneven(step: Step, rules: Rules) -> bool:
    """The root names a leaf in the place of the inner page above it."""
    tree = step["after"]
    if tree["height"] < 3:
        return False
    root = _live(tree, tree["height"] - 1)[0]
    inner = next(page for page in _live(tree, tree["height"] - 2) if page["number"] == root["entries"][0]["child"])
    root["entries"][0]["child"] = inner["entries"][0]["child"]
    return True


def names_a_free_page(step: Step, rules: Rules) -> bool:
    leaf = next((leaf for leaf in _live(step["after"], 0) if leaf["right"] is not None and leaf["entries"]), None)
    if leaf is None:
        return False
    leaf["state"] = "free"
    return True


def beyond(step: Step, rules: Rules) -> bool:
    """A row stands on the page to the left of its own: in order there, and behind the high key."""
    tree = step["after"]
    leaves = _live(tree, 0)
    for left, leaf in pairwise(leaves):
        if left["entries"] and len(leaf["entries"]) > 1 and _used(left) + 48 <= tree["page_bytes"] - HEADER_BYTES:
            left["entries"].append(leaf["entries"].pop(0))
            return True
    return False


def mistakes_known(step: Step, rules: Rules) -> bool:
    """Does with a key that is there already what other rules ask for: refuses the row, or adds it."""
    operation, before = step["operation"], step["before"]
    if operation[0] != "insert" or not any(_leaf_of(before, operation[1])):
        return False
    step["after"], step["result"] = copied(before), rules.there != "added"
    if rules.there == "added":
        return True
    for leaf, place in _leaf_of(step["after"], operation[1]):
        room = before["page_bytes"] - HEADER_BYTES - _used(leaf)
        if place + 1 < len(leaf["entries"]) and room >= 48:
            leaf["entries"].insert(place + 1, {"key": operation[1:], "child": None, "bytes": 20})
            return True
    return False


def mistakes_delete(step: Step, rules: Rules) -> bool:
    """Deletes all rows of a key where one is meant, or one where all are meant."""
    if step["operation"][0] != "delete" or not step["result"]:
        return False
    key, by_key = step["operation"][1], rules.delete == "key"
    if by_key:
        step["after"] = copied(step["before"])
    places = list(_leaf_of(step["after"], key))[::-1]
    if len(places) < 1 + by_key or any(len(leaf["entries"]) <= len(places) for leaf, _ in places):
        return False
    for leaf, place in places[:1] if by_key else places:
        del leaf["entries"][place]
    return True


def leaves_empty(step: Step, rules: Rules) -> bool:
    """An empty leaf, where none may be, takes its place in the chain and the page above."""
    if rules.empty:
        return False
    tree = step["after"]
    leaf = next((leaf for leaf in _live(tree, 0) if leaf["right"] is not None and len(leaf["entries"]) > 1), None)
    above = next((page for page in _live(tree, 1) if _used(page) + 28 <= tree["page_bytes"] - HEADER_BYTES), None)
    if leaf is None or above is None:
        return False
    return _empty_leaf(tree, above)


def _empty_leaf(tree: Data, above: Data) -> bool:
    leaves = {page["number"]: page for page in _live(tree, 0)}
    for place, entry in enumerate(above["entries"]):
        leaf = leaves[entry["child"]]
        if not leaf["entries"] or leaf["right"] is None:
            continue
        bound = leaf["entries"][-1]["key"]
        if bound == leaf["high_key"]:
            continue
        number = 1 + max(page["number"] for page in tree["pages"])
        spare = {**leaf, "number": number, "entries": [], "left": leaf["number"]}
        following = leaves[leaf["right"]]
        following["left"] = number
        leaf.update(right=number, high_key=bound)
        above["entries"].insert(place + 1, {"key": bound, "child": number, "bytes": 28})
        tree["pages"].append(spare)
        return True
    return False


@dataclass(frozen=True)
class Wrong:
    """A wrong design: its fault, what its users say of it, and the belief of whoever accepts it."""

    fault: Fault
    complaint: str
    belief: str

    __hash__ = object.__hash__


WRONG: tuple[Wrong, ...] = (
    Wrong(forgets_insert, "I put a row in, it said yes, and the row is not there.", "find-suffices"),
    Wrong(loses, "I put a row in, and another one was gone.", "find-suffices"),
    Wrong(puts_more, "I put something in, and afterwards there was a row that nobody has put in.", "find-suffices"),
    Wrong(other_row, "I put a row in; since then another key leads to the wrong row.", "keys-suffice"),
    Wrong(delete_keeps, "What I deleted is still there.", "find-suffices"),
    Wrong(delete_takes_more, "I deleted one thing, and a neighbour went with it.", "find-suffices"),
    Wrong(delete_miscounts, "It said that it deleted a row; there was none.", "structure-suffices"),
    Wrong(find_misses, "Of a key's rows the last one is never found, though it is in the tree.", "structure-suffices"),
    Wrong(find_invents, "I asked for a key that is not there, and got a row.", "structure-suffices"),
    Wrong(find_changes, "I only asked, and afterwards a row was gone.", "questions-are-harmless"),
    Wrong(mistakes_known, "With a key that is there already it does not what was ordered.", "structure-suffices"),
    Wrong(mistakes_delete, "I deleted, and not as many rows were gone as I had ordered.", "structure-suffices"),
    Wrong(disorder, "A binary search on a leaf passes over a row.", "rows-suffice"),
    Wrong(beyond, "A row stands on a leaf beyond what that leaf is for.", "rows-suffice"),
    Wrong(inner_disorder, "A binary search on an inner page goes to the wrong child.", "rows-suffice"),
    Wrong(over_full, "A page holds more than a page can hold; the next write will lose what does not fit.", "rows-suffice"),
    Wrong(right_skips, "A range, read forwards, leaves out a page.", "rows-suffice"),
    Wrong(left_stale, "A range, read backwards, leaves out a page.", "forwards-suffices"),
    Wrong(right_ends, "A search that has to move right on an inner page falls off the end.", "leaves-suffice"),
    Wrong(high_too_small, "A lookup misses a row that a scan finds.", "rows-suffice"),
    Wrong(high_alone, "An insert goes to a leaf that says the key is none of its own.", "leaves-suffice"),
    Wrong(separator_too_large, "A lookup from the root comes out one leaf too far left.", "leaves-suffice"),
    Wrong(separator_too_small, "A lookup from the root comes out one leaf too far right.", "leaves-suffice"),
    Wrong(unnamed, "A page can be reached from its left sibling only.", "leaves-suffice"),
    Wrong(named_twice, "Two entries lead to one page, and none to another.", "leaves-suffice"),
    Wrong(no_infinity, "A search for a very small key finds no child to go to.", "leaves-suffice"),
    Wrong(uneven, "Some lookups arrive on a leaf one step sooner than others.", "leaves-suffice"),
    Wrong(names_a_free_page, "A page that is in the tree was given to somebody else: it counted as out of use.", "rows-suffice"),
    Wrong(leaves_empty, "A scan reads pages on which nothing stands.", "rows-suffice"),
)  # fmt: skip


def faulty(wrong: Wrong, rules: Rules, again: bool, count: int = 3) -> list[Step]:
    """The wrong steps of a wrong design: some of those of right designs that offer a place for its fault."""
    found: list[Step] = []
    for design in right_designs(rules)[:3]:
        for step in steps(design, rules, again)[::-1]:
            made = {**step, "after": copied(step["after"])}
            if wrong.fault(made, rules):
                found.append(made)
                if len(found) % count == 0:
                    break
    return found


@cache
def bank(rules: Rules, again: bool = False) -> Mapping[Wrong, tuple[Step, ...]]:
    """The wrong designs that there are under these rules, each with its wrong steps; `again` with those of other trees."""
    made = {wrong: tuple(faulty(wrong, rules, again)) for wrong in WRONG}
    return {wrong: wrong_steps for wrong, wrong_steps in made.items() if wrong_steps}
