"""Acceptance checks: two that are right, many that trust or want too much, and a bank in which each rule is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.btrees.designs import Rules, elsewhere, right_designs, steps
from workbook.exercises.btrees.direct import EXERCISE, VARIANTS, Variant, mixed
from workbook.exercises.btrees.faults import bank

Check = Callable[[Any], bool]


def due(step: Any, rules: Rules) -> tuple[Any, list[Any]]:
    """The result and the pairs that must come of a step."""
    operation = step["operation"]
    held = pairs(step["before"])
    there = [pair for pair in held if pair[0] == operation[1]]
    if operation[0] == "find":
        return [row for _, row in there], held
    if operation[0] == "insert":
        if there and rules.there == "refused":
            return False, held
        kept = [pair for pair in held if pair not in there] if rules.there == "replaced" else held
        return True, sorted([*kept, operation[1:]])
    gone = there if len(operation) == 2 else [pair for pair in there if pair[1] == operation[2]]
    return len(gone), [pair for pair in held if pair not in gone]


def pairs(tree: Any) -> list[Any]:
    live = [page for page in tree["pages"] if page["state"] == "live" and page["level"] == 0]
    return sorted(entry["key"] for page in live for entry in page["entries"])


def unsound(tree: Any, rules: Rules) -> Iterator[str]:
    """The names of the rules that a tree breaks, by a walk from the root."""
    live = {page["number"]: page for page in tree["pages"] if page["state"] == "live"}
    levels: dict[int, list[Any]] = {}
    met: list[int] = []

    def walk(number: int, level: int, low: Any, high: Any) -> Iterator[str]:
        page = live.get(number)
        if page is None or number in met or page["level"] != level:
            yield "named"
            return
        met.append(number)
        levels.setdefault(level, []).append(page)
        keys = [entry["key"] for entry in page["entries"]]
        if sum(entry["bytes"] for entry in page["entries"]) > tree["page_bytes"] - 40:
            yield "room"
        if any(a >= b for a, b in pairwise(keys)):
            yield "leaf order" if level == 0 else "inner order"
        if page["high_key"] != high:
            yield "high"
        if level == 0:
            if any(key <= low or (high is not None and key > high) for key in keys):
                yield "bounds"
            return
        if keys[0] != ():
            yield "infinity"
        for place, entry in enumerate(page["entries"]):
            bounds = low if place == 0 else keys[place], keys[place + 1] if place + 1 < len(keys) else high
            yield from walk(entry["child"], level - 1, *bounds)

    yield from walk(tree["root"], tree["height"] - 1, (), None)
    if len(met) != len(live):
        yield "reached"
    for pages in levels.values():
        following = [page["number"] for page in pages[1:]]
        if [page["right"] for page in pages] != [*following, None]:
            yield "right"
        before = [page["number"] for page in pages[:-1]]
        if rules.left and [page["left"] for page in pages] != [None, *before]:
            yield "left"
    if not rules.empty and len(live) > 1 and any(not page["entries"] for page in live.values()):
        yield "empty"


def checks(variant: Variant, without: tuple[str, ...] = ()) -> Any:
    """A right check by a walk from the root; `without` some of its rules a wrong one."""
    rules = variant.rules

    def accept(step: Any) -> bool:
        result, held = due(step, rules)
        if "result" not in without and step["result"] != result:
            return False
        if "pairs" not in without and pairs(step["after"]) != held:
            return False
        return set(unsound(step["after"], rules)) <= set(without)

    return accept


def by_searching(variant: Variant) -> Any:
    """A right check of another shape: it goes the ways of its users, and looks at the pages by themselves."""
    rules = variant.rules

    def accept(step: Any) -> bool:
        result, held = due(step, rules)
        tree = step["after"]
        live = {page["number"]: page for page in tree["pages"] if page["state"] == "live"}
        children = [entry["child"] for page in live.values() if page["level"] for entry in page["entries"]]
        if step["result"] != result or sorted([*children, tree["root"]]) != sorted(live):
            return False
        chains = []
        for level in range(tree["height"]):
            pages = [page for page in live.values() if page["level"] == level]
            firsts = [page for page in pages if page["number"] not in {each["right"] for each in pages}]
            chain = firsts[:1]
            while chain and chain[-1]["right"] in live and len(chain) <= len(pages):
                chain.append(live[chain[-1]["right"]])
            if len(chain) != len(pages) or not pages or chain[-1]["right"] is not None:
                return False
            back = [None, *(page["number"] for page in chain[:-1])] if rules.left else [None] * len(chain)
            if [page["left"] for page in chain] != back:
                return False
            chains.append(chain)
        if (
            sum(map(len, chains)) != len(live)
            or [entry["key"] for page in chains[0] for entry in page["entries"]] != held
        ):
            return False
        return all(each_page(page, live, tree, rules) for page in live.values()) and bounded(chains, live)

    def each_page(page: Any, live: Any, tree: Any, rules: Rules) -> bool:
        keys = [entry["key"] for entry in page["entries"]]
        sound = (
            keys == sorted(set(keys)) and sum(entry["bytes"] for entry in page["entries"]) + 40 <= tree["page_bytes"]
        )
        if page["level"]:
            below = [live[entry["child"]] for entry in page["entries"]]
            highs = [*keys[1:], page["high_key"]]
            return sound and keys[0] == () and all(
                child["level"] == page["level"] - 1 and child["high_key"] == high for child, high in zip(below, highs, strict=True)
            )  # fmt: skip
        return sound and (rules.empty or bool(keys) or len(live) == 1)

    def bounded(chains: Any, live: Any) -> bool:
        for chain in chains[1:]:
            order = [live[entry["child"]] for page in chain for entry in page["entries"]]
            if order != chains[chain[0]["level"] - 1]:
                return False
        low: Any = ()
        for leaf in chains[0]:
            if any(not low < entry["key"] for entry in leaf["entries"]):
                return False
            if leaf["high_key"] is not None and any(entry["key"] > leaf["high_key"] for entry in leaf["entries"]):
                return False
            low = leaf["high_key"] or low
        return chains[-1][0]["high_key"] is None

    return accept


def known(variant: Variant, mark: Callable[[Any], Any]) -> tuple[set[Any], set[Any]]:
    """What a mark makes of the right steps, and of the wrong ones, that verdicts might tell of."""
    right = {mark(step) for design in right_designs(variant.rules) for step in steps(design, variant.rules)}
    return right, {mark(step) for made in bank(variant.rules).values() for step in made}


def wrong_by_heart(variant: Variant) -> Check:
    """Refuses each wrong step that it has been told of, and nothing else."""
    _, wrong = known(variant, repr)
    return lambda step: repr(step) not in wrong


def right_by_heart(variant: Variant) -> Check:
    """Accepts each right step that it has seen, and nothing else."""
    right, _ = known(variant, repr)
    return lambda step: repr(step) in right


def by_ranks(step: Any) -> str:
    """A step without its numbers: keys, rows and pages by their place among those that occur, sizes by what is free."""
    trees = [step["before"], step["after"]]
    pages = [page for tree in trees for page in tree["pages"]]
    keys = [entry["key"] for page in pages for entry in page["entries"]]
    keys += [page["high_key"] for page in pages if page["high_key"] is not None]
    firsts, rows = (sorted({key[at] for key in keys if len(key) > at}) for at in (0, 1))
    numbers = [page["number"] for page in trees[1]["pages"]]

    def rank(key: Any) -> Any:
        return key and tuple(every.index(each) for every, each in zip((firsts, rows), key, strict=False))

    shapes = [
        (
            page["level"],
            page["state"],
            page["right"] in numbers and numbers.index(page["right"]),
            page["left"] in numbers and numbers.index(page["left"]),
            rank(page["high_key"]),
            [(rank(entry["key"]), entry["child"] in numbers and numbers.index(entry["child"])) for entry in page["entries"]],
        )
        for page in trees[1]["pages"]
    ]  # fmt: skip
    operation, result = step["operation"], step["result"]
    return repr(
        (
            operation[0],
            result if type(result) is int else len(result or []) if operation[0] == "find" else result,
            shapes,
        )
    )


def anything(step: Any) -> bool:
    return True


def nothing_at_all(step: Any) -> bool:
    return False


def in_words(step: Any) -> str:
    return "fine"


def silent(step: Any) -> None:
    return None


def of_a_page(step: Any) -> bool:
    return bool(step["page"])


def answers(variant: Variant) -> Answers:
    full, wrong = checks(variant), len(bank(variant.rules))

    def wants_order(step: Any) -> bool:
        """Wants pages to be listed by their numbers, as in the trees that its author has seen."""
        numbers = [page["number"] for page in step["after"]["pages"]]
        return full(step) and numbers == sorted(numbers)

    return Answers(
        right=full,
        also_right=[by_searching(variant)],
        wrong=[
            Wrong(anything, says=f"{wrong} of {wrong} wrong designs are accepted", misconception="find-suffices"),
            Wrong(nothing_at_all, says="9 of 9 right designs are refused", misconception="mine-alone"),
            Wrong(wants_order, says="1 of 9 right designs are refused. The first: other numbers of pages", misconception="mine-alone"),
            Wrong(checks(variant, ("result",)), says="it deleted a row; there was none", misconception="structure-suffices"),
            Wrong(checks(variant, ("room",)), says="more than a page can hold", misconception="rows-suffice"),
            Wrong(checks(variant, ("leaf order",)), says="on a leaf passes over a row", misconception="rows-suffice"),
            Wrong(checks(variant, ("bounds",)), says="beyond what that leaf is for", misconception="rows-suffice"),
            Wrong(wrong_by_heart(variant), says="numbers and sizes, a wrong design is accepted", misconception="by-heart"),
            Wrong(right_by_heart(variant), says="numbers and sizes, a right design is refused", misconception="by-heart"),
            Wrong(in_words, says="accept gives 'fine'"),
            Wrong(silent, says="accept gives None"),
            Wrong(of_a_page, says="raised KeyError"),
        ],
    )  # fmt: skip


class TestDirect(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_right_designs_are_sound_and_wrong_ones_break_a_rule(variant: Variant, again: bool) -> None:
    rules = variant.rules
    for design in right_designs(rules):
        for step in steps(design, rules, again):
            assert not list(unsound(step["before"], rules)) and not list(unsound(step["after"], rules)), design.name
            assert due(step, rules) == (step["result"], pairs(step["after"])), design.name
    accept = checks(variant)
    for wrong, made in bank(rules, again).items():
        assert made and not any(accept(step) for step in made), wrong.complaint
        assert not any(list(unsound(step["before"], rules)) for step in made), wrong.complaint


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_other_numbers_a_step_is_right_or_wrong_by_the_same_rules(variant: Variant) -> None:
    rules = variant.rules
    for again in (False, True):
        every = [step for design in right_designs(rules) for step in steps(design, rules, again)]
        for step in every + [step for made in bank(rules, again).values() for step in made]:
            moved = elsewhere(step)
            assert list(unsound(moved["after"], rules)) == list(unsound(step["after"], rules))
            told = [due(each, rules) == (each["result"], pairs(each["after"])) for each in (step, moved)]
            assert told[0] is told[1], step["operation"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_other_trees_are_other_ones_and_have_the_same_faults(variant: Variant) -> None:
    """Nothing of them is met before, whatever is left out of account: numbers, sizes, or both."""
    first, second = bank(variant.rules), bank(variant.rules, again=True)
    assert set(second) == set(first)
    for mark in (repr, by_ranks):
        right, wrong = known(variant, mark)
        again = [mark(step) for _, step in mixed(variant.rules, again=True)]
        assert sum(each in right | wrong for each in again) < len(again) / 10, mark


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_fingerprint_is_no_check(variant: Variant) -> None:
    """Who leaves the numbers out of account, and knows what is left by heart, is told so as well."""
    right, wrong = known(variant, by_ranks)
    found = verdict(EXERCISE, lambda step: by_ranks(step) not in wrong - right, variant)
    assert not found.full


NEEDED = ["result", "pairs", "room", "leaf order", "bounds", "high", "right", "left", "infinity", "empty"]


@pytest.mark.parametrize("rule", NEEDED)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_check_without_one_rule_accepts_a_wrong_design(variant: Variant, rule: str) -> None:
    if (rule == "left" and not variant.rules.left) or (rule == "empty" and variant.rules.empty):
        return
    lazy = checks(variant, (rule,))
    assert any(all(lazy(step) for step in made) for made in bank(variant.rules).values())


def test_checks_that_trust_one_another_are_told_apart() -> None:
    """The rows alone, the links alone, the walk alone: none of the usual shortcuts is enough."""
    variant = VARIANTS[-1]
    every = ("result", "pairs", "room", "leaf order", "inner order", "high", "bounds", "infinity", "named", "reached")
    for lazy in (
        every,
        ("right", "left"),
        ("high", "bounds", "inner order"),
        ("result", "pairs"),
    ):
        found = verdict(EXERCISE, checks(variant, lazy), variant)
        assert not found.full and "wrong designs are accepted" in shown(found), lazy


def test_a_textbook_check_refuses_right_designs() -> None:
    """Leaves at least half full, and separators that are keys of rows: a textbook says so, no search needs it."""
    variant = VARIANTS[-1]
    full = checks(variant)

    def half_full(step: Any) -> bool:
        tree = step["after"]
        leaves = [page for page in tree["pages"] if page["level"] == 0 and page["right"] is not None]
        used = [sum(entry["bytes"] for entry in page["entries"]) for page in leaves]
        return full(step) and all(2 * each >= tree["page_bytes"] - 40 for each in used)

    def separators_are_rows(step: Any) -> bool:
        tree = step["after"]
        keys = {key[: len(bound)] for key in pairs(tree) for bound in ((0,), (0, 0))} | {()}
        inner = [page for page in tree["pages"] if page["level"]]
        return full(step) and all(entry["key"] in keys for page in inner for entry in page["entries"])

    for check in (half_full, separators_are_rows):
        found = shown(verdict(EXERCISE, check, variant))
        assert "right designs are refused" in found and "looks like the one that I would have written" in found


def test_a_function_that_counts_its_calls_learns_nothing() -> None:
    calls = []

    def counting(step: Any) -> bool:
        calls.append(step)
        return len(calls) <= sum(len(steps(design, VARIANTS[-1].rules)) for design in right_designs(VARIANTS[-1].rules))

    assert not verdict(EXERCISE, counting, VARIANTS[-1]).full


def test_who_knows_the_order_of_the_questions_by_heart_knows_nothing() -> None:
    variant, said = VARIANTS[-1], []  # type: Variant, list[bool]
    full = checks(variant)

    def listening(step: Any) -> bool:
        said.append(full(step))
        return said[-1]

    assert verdict(EXERCISE, listening, variant).full
    places = iter([*said[: len(said) // 2], *said])
    assert not verdict(EXERCISE, lambda step: next(places), variant).full
