"""Acceptance checks for a B-tree that an agent writes: which of them tell the right trees from the wrong ones?

    right designs   other fill, cuts, numbers, separators ...     accept(step) ──▶ True for each of their steps
    wrong designs   a lost row, a stale link, a full page ...     accept(step) ──▶ False for one of their steps at least
    the same again  other keys, rows, numbers and sizes           ... and so it is there

An agent hands over code that looks right, and says that it is. What it does is seen in steps: the tree before, what was asked for, the
result, the tree after. Checks fail in two ways: they trust (what `find` says, that the rows are all there, that links go both ways), or
they want what their author would have done. A third one is no check: it knows the trees by heart that verdicts have told of, and is asked about
others (`by_heart`). The variants change the order that was given, and with it what is right:
what becomes of a key that is there already, what a delete is about, whether a leaf may stay empty, whether pages name their left siblings.

    >>> len(bank(VARIANTS[-1].rules)) > 25, len(right_designs(VARIANTS[-1].rules))
    (True, 9)

Sources: PostgreSQL's contrib/amcheck, for what can be checked of a structure; Claessen and Hughes, "QuickCheck", 2000, for checks by
properties. Left out: crashes, and readers beside a writer (`levels` has their links).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.btree.page import MINUS_INFINITY, Entry, Page, Snapshot
from workbook.btree.picture import picture
from workbook.exercises.btrees.designs import Rules, Step, elsewhere, right_designs, steps
from workbook.exercises.btrees.faults import Wrong, bank
from workbook.exercises.rules import accepts_rule, sorted_out
from workbook.grading.answer import Function
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

SIGNATURE = "accept(step)"


@dataclass(frozen=True)
class Variant:
    """What the agent's tree is for, and the rules that it was given."""

    story: str
    rules: Rules


VARIANTS = (
    Variant(
        "A unique index for a device where each page counts, read forwards only",
        Rules(there="refused", empty=False, left=False),
    ),
    Variant("A unique index: accounts by number", Rules(there="refused")),
    Variant("A map that keeps the latest value of each key", Rules(there="replaced", delete="key")),
    Variant("An index on a device where each page counts", Rules(empty=False)),
    Variant("An index that is read forwards only, as Lehman and Yao drew it", Rules(delete="key", left=False)),
    Variant("An index that is no unique one: orders by customer", Rules()),
)


def judge(answer: Function, variant: Variant) -> Judgement:
    names = {design.name for design in right_designs(variant.rules)}
    asked = ((design, step, step) for design, step in mixed(variant.rules))
    found = sorted_out(answer, asked, names, "step")
    if isinstance(found, Finding):
        return Judgement(0.0, (found,))
    refused, caught = found
    findings, pictures = [], []
    right, wrong = len(names), bank(variant.rules)
    accepted = [each for each in wrong if each not in caught]
    if refused:
        name, step = next(iter(refused.items()))
        findings.append(_of_right(str(name), step, len(refused), right))
        pictures.append(drawn(step))
    else:
        findings.append(Finding(True, f"All {right} right designs are accepted."))
    if accepted:
        step = wrong[accepted[0]][0]
        findings.append(_of_wrong(accepted[0], step, len(accepted), len(wrong)))
        pictures.append(drawn(step))
    else:
        findings.append(Finding(True, f"None of {len(wrong)} wrong designs is accepted."))
    parted = None if refused or accepted else by_heart(answer, variant.rules)
    if parted is not None:
        findings.append(parted)
    findings.sort(key=lambda finding: finding.ok)
    return Judgement(float(all(finding.ok for finding in findings)), tuple(findings), tuple(pictures[:1]))


def by_heart(answer: Function, rules: Rules) -> Finding | None:
    """The finding on a check that tells right from wrong on the trees of the bank, and not on others that the same designs have made; or None."""
    names = {design.name for design in right_designs(rules)}
    found = sorted_out(answer, ((who, step, step) for who, step in mixed(rules, again=True)), names, "step")
    if isinstance(found, Finding):
        return found
    refused, caught = found
    wrong = bank(rules, again=True)
    what = ""
    if refused:
        name, step = next(iter(refused.items()))
        what = f"a right design is refused: {name}; {told(step)}"
    elif len(caught) < len(wrong):
        first = next(each for each in wrong if each not in caught)
        what = f"a wrong design is accepted: “{first.complaint}” A step of it: {told(elsewhere(wrong[first][0]))}"
    return (
        Finding(
            ok=False,
            seen=f"On other trees of the same designs, with other keys, rows, numbers and sizes, {what}.",
            expected="The same answer as on the trees before: the order names no key, no number and no size.",
            question="Which rule of the order does your check ask about here?",
            misconception="by-heart",
        )
        if what
        else None
    )


@cache
def mixed(rules: Rules, again: bool = False) -> tuple[tuple[str | Wrong, Step], ...]:
    """The steps of all designs, right ones (by name) and wrong ones, in an order that tells nothing; `again` on other trees."""
    asked: list[tuple[str | Wrong, Step]] = []
    asked += [(design.name, step) for design in right_designs(rules) for step in steps(design, rules, again)]
    asked += [(wrong, step) for wrong, made in bank(rules, again).items() for step in made]
    random.Random(f"{rules}{again}").shuffle(asked)
    return tuple((who, elsewhere(step)) for who, step in asked) if again else tuple(asked)


def told(step: Step) -> str:
    """What was asked for, in a line: insert(17, 40) gave True."""
    operation, result = step["operation"], step["result"]
    return f"{operation[0]}({', '.join(map(str, operation[1:]))}) gave {result}"


def _of_right(name: str, step: Step, count: int, right: int) -> Finding:
    return Finding(
        ok=False,
        seen=f"{count} of {right} right designs are refused. The first: {name}; {told(step)}.",
        expected="Each design is accepted that does what was ordered, however it is made.",
        question="What of this tree do you find fault with, and whom would it harm?",
        misconception="mine-alone",
    )


def _of_wrong(wrong: Wrong, step: Step, count: int, of: int) -> Finding:
    return Finding(
        ok=False,
        seen=f"{count} of {of} wrong designs are accepted. Users of the first say: “{wrong.complaint}” A step of it: {told(step)}.",
        expected="Each wrong design is refused at one of its steps at least.",
        question=QUESTIONS[wrong.belief],
        misconception=wrong.belief,
    )  # fmt: skip


QUESTIONS = {
    "find-suffices": "Which rows were there before, which must be there after, and where do you compare the two?",
    "keys-suffice": "An index leads from keys to rows: what of both do you compare?",
    "structure-suffices": "What must the result of this operation be, by the tree before it and by the order that was given?",
    "questions-are-harmless": "What may be different after a question was asked?",
    "rows-suffice": "All rows stand somewhere. What about this page makes a search, a range or the next write go wrong?",
    "forwards-suffices": "Which links does a range follow that is read from its end?",
    "leaves-suffice": "Begin at the root as a search does, with the bounds of each child: where does it arrive, and what do the pages on the way say?",
}  # fmt: skip


def drawn(step: Step) -> Any:
    """The tree after the step."""
    tree = step["after"]
    pages = {}
    for page in tree["pages"]:
        entries = tuple(
            Entry(entry["key"] or MINUS_INFINITY, entry["bytes"], entry["child"], () if page["level"] else ((1, 0),))
            for entry in page["entries"]
        )
        free = max(0, tree["page_bytes"] - 40 - sum(entry.bytes for entry in entries))
        pages[page["number"]] = Page(
            page["number"], page["level"], entries, tree["page_bytes"], free,
            page["high_key"], page["left"], page["right"], page["state"],
        )  # fmt: skip
    return picture(Snapshot(told(step), "teaching", tree["root"], tree["height"], pages, True, tree["page_bytes"]))


_THERE = {
    "added": "`True`; a key may have many rows, and one that is there already gets one more.",
    "refused": "`True`; or, where the key is there already, `False`, and nothing changes.",
    "replaced": "`True`; where the key is there already, its row is replaced.",
}
_DELETE = {
    "row": '`("delete", key, row)`: that row of the key is taken out, no other one; the result is how many that were, 1 or 0.',
    "key": '`("delete", key)`: all rows of the key are taken out; the result is how many that were.',
}


def brief(variant: Variant) -> str:
    rules = variant.rules
    left = (
        "to its `right` and its `left`, None where there is none"
        if rules.left
        else "to its `right`, None where there is none; `left` is always None, since nobody reads backwards"
    )
    empty = (
        "A leaf that was emptied may stay where it is, and may go at once or later."
        if rules.empty
        else "No page that is live may be empty, but for a lone root."
    )
    return (
        f"{variant.story}. An agent is to write the tree, and you write what decides whether it is taken: `{SIGNATURE}`, True or False for one step.\n\n"
        '```python\nstep = {"operation": ("insert", 5, 12), "result": True, "before": tree, "after": tree}\n'
        'tree = {"root": 3, "height": 2, "page_bytes": 160, "pages": [page, ...]}\n'
        'page = {"number": 1, "level": 0, "state": "live", "left": None, "right": 2, "high_key": (7,),\n        "entries": [{"key": (5, 12), "child": None, "bytes": 20}, ...]}\n```\n\n'
        "Keys and rows are whole numbers. On a leaf (level 0) the key of an entry is the pair (key, row). On an inner page it is a separator, the beginning of such a pair, `(7,)` or `(7, 31)`; the first "
        "entry has `()`. A key of an entry's child is above the entry's own and not above the next one (as Python compares tuples); nothing on a page or below it is above its `high_key`, and the last page of a "
        f"level has None. Each level is linked, {left}. A page has room for `page_bytes` - 40 bytes of entries.\n\nThe order:\n\n"
        f'- `("insert", key, row)`: {_THERE[rules.there]}\n- {_DELETE[rules.delete]}\n- `("find", key)`: the result is the list of its rows in ascending order.\n- All leaves are equally deep, `height` levels in '
        f"all. Each live page is named once from above. No split is under way, so that nobody who comes from the root has to move right. {empty}\n- All else is free: where a page is cut, how full it is, how a separator was chosen, how many "
        'levels there are, which numbers pages have, in which order they are listed, what still stands on pages whose `state` is "free".\n\n'
        f"The tree before is always right. Judged on a bank of {len(right_designs(rules))} right designs and {len(bank(rules))} wrong ones: all steps of a right one must be accepted, and of a wrong one at least one refused; and again on other trees of theirs, with other keys, rows, numbers and sizes. Each wrong one has a single fault."
    )


EXERCISE = register(
    Exercise(
        id="btrees-direct",
        lab="01_btrees",
        number=13,
        title="Direct: acceptance checks for an agent's B-tree",
        kind="R",
        declares="value",
        points=4,
        core=False,
        minutes=20,
        answer=f"a function, def {SIGNATURE}",
        accepts=accepts_rule(SIGNATURE),
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Who relies on what in this tree: a search from the root, a range, the next insert, whoever asked for this step?",
            lambda variant: (
                "Two halves. What the tree holds: gather the pairs on the leaves before and after, and say from the operation and the pairs before what result and which pairs must come of it. What "
                "the tree is: walk down from the root with the bounds that each child must keep, and gather the pages of each level on the way."
            ),
            lambda variant: (
                "walk(number, level, low, high): the page exists, is live, was not seen before, has this level; its entries' bytes fit; its keys ascend strictly; its high_key is the `high` that came from above (None at the "
                "right edge); on a leaf each key is above low and not above high; on an inner page the first key is () and each child is walked with its own key (for the first one `low`) and the next one (for the last one "
                "`high`). Afterwards: every live page was seen, "
                + ("no live page is empty but a lone root, " if not variant.rules.empty else "")
                + "the pages of each level, in the order in which they were walked, name one another to the right"
                + (" and to the left." if variant.rules.left else ".")
            ),
        ),
        judge=judge,
        why=lambda variant: (
            "The checks compare what must be with what is, in both halves: pairs and result by the order that was given, structure by what searches, ranges and writes rely upon. They say nothing of what was left free, "
            "and so they take trees that nobody here would have written. What would change it: another order ("
            + {"added": "a unique index refuses a key that is there", "refused": "an index that is no unique one adds a row to a key that is there", "replaced": "a unique index refuses instead of replacing"}[variant.rules.there]
            + "), readers beside the writer, who may meet a split under way and move right, and a crash between two writes."
        ),
        misconceptions={
            "mine-alone": "A right tree looks like the one that I would have written.",
            "by-heart": "A check that answers rightly for the trees that were shown is right.",
            "find-suffices": "An operation that reports success has done what was asked for, and no more.",
            "keys-suffice": "An index is right if it has the right keys.",
            "structure-suffices": "A tree whose structure is sound gives right answers.",
            "questions-are-harmless": "Only writes can break a tree.",
            "rows-suffice": "A tree that holds all rows is right.",
            "forwards-suffices": "Links that are right forwards are right backwards.",
            "leaves-suffice": "If the leaves are right, the tree is right.",
        },
    )
)  # fmt: skip
