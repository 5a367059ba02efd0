"""The lowest level that suffices, for five stories: each decision with the order that breaks the next lower level.

    "C": ("repeatable read", "T1 T2 T2 T2 T1 T1")        read committed ── the order is run ──▶ the rule is broken: a witness
                                                         repeatable read ── every order is run ──▶ the rule holds

Who takes serializable everywhere pays for it in transactions that are ended and sent again, and is wrong all the same where the rule
spans two transactions; who takes the default everywhere loses money. A decision has a reason, and here the reason is an order that
can be run. The judge looks at the story's rule alone: not each history that is no serial one does harm.

    >>> [STORIES[key].level for key in VARIANTS[0].keys]
    ['serializable', 'read committed', 'none', 'repeatable read', 'read committed']
    >>> judge({name: ("read committed", "") for name in NAMES}, VARIANTS[0]).score
    0.4

Sources: Fekete and others, "Making Snapshot Isolation Serializable", 2005; Bailis and others, "Feral Concurrency Control", 2015. Left out: levels
that differ from session to session, and other engines, whose levels are others by the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbook.errors import Misuse
from workbook.exercises.isolation.stories import LEVELS, NONE, STORIES, TRIES, Story, at, breaking, fault, lower
from workbook.exercises.isolation.trial import Outcome, as_level, as_order, played
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

NAMES = ("A", "B", "C", "D", "E")
CHOICES = (*LEVELS, NONE)


@dataclass(frozen=True)
class Variant:
    """Five stories by their keys in `STORIES`, from A to E."""

    keys: tuple[str, ...]

    def named(self) -> list[tuple[str, Story]]:
        return [(name, STORIES[key]) for name, key in zip(NAMES, self.keys, strict=True)]


VARIANTS = (
    Variant(("duty", "views", "form", "sums", "sum")),
    Variant(("lost", "seat", "locked", "archive", "covered")),
    Variant(("stock", "listed", "shift", "lost", "form")),
    Variant(("seat", "sum", "archive", "colours", "duty")),
    Variant(("sums", "name", "lost", "form", "shift")),
    Variant(("colours", "covered", "listed", "locked", "seat")),
)


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict) or set(answer) != set(NAMES):
        return "The answer is a dict with the keys 'A' to 'E'."
    for name in NAMES:
        pair = answer[name]
        if type(pair) not in (tuple, list) or len(pair) != 2 or as_order(pair[1]) is None:
            return f"{name!r} is a pair of texts: a level, and an order ('' where no level is lower)."
        if plain(pair)[0] not in CHOICES:
            return f"The level of {name!r} is one of {', '.join(CHOICES)}; this is {pair[0]!r}."
    return ""


def plain(pair: Sequence[Any]) -> tuple[Any, str]:
    """A decision as two texts: levels may be written in capitals, `none` as None, and an order as a list."""
    return NONE if pair[0] is None else as_level(pair[0]), as_order(pair[1]) or ""


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    decisions = [decided(name, story, *plain(answer[name])) for name, story in variant.named()]
    decisions.sort(key=lambda one: one.finding.ok)
    pictures = [one.picture for one in decisions if one.picture is not None]
    score = sum(one.finding.ok for one in decisions) / len(decisions)
    return Judgement(score, tuple(one.finding for one in decisions), tuple(pictures[:1]))


@dataclass(frozen=True)
class Decision:
    """What became of one decision. A picture is of an order that the learner gave: the one that breaks a level is the next one's reason."""

    finding: Finding
    picture: Any = None


def decided(name: str, story: Story, level: str, order: str) -> Decision:
    """Run every order at the level, and the order that is given at the next lower one."""
    if level != NONE and breaking(story, level):
        return Decision(too_low(name, story, level))
    below = lower(level)
    if not below:
        return Decision(at_the_lowest(name, story, order))
    try:
        outcome = played(story.program, order, below, tries=TRIES)
    except Misuse as mistake:
        outcome, said = None, mistake.what
    if outcome is not None and (how := fault(story, outcome)):
        return Decision(Finding(True, f"{name}: {_kept(story, level)}at {below} your order breaks it: {how}."))
    if breaking(story, below) is None:
        return Decision(too_high(name, story, level, below))
    if outcome is None:
        return Decision(no_order(name, story, order, said))
    return Decision(no_witness(name, story, level, below, outcome), outcome.run.picture)


def _kept(story: Story, level: str) -> str:
    return "" if level == NONE else f"at {level} each of {len(at(story, level).outcomes)} orders keeps the rule, and "


def too_low(name: str, story: Story, level: str) -> Finding:
    orders = at(story, level).outcomes
    wrong = [how for one in orders if (how := fault(story, one))]
    return Finding(
        ok=False,
        seen=f"{name} at {level}: {len(wrong)} of {len(orders)} orders break the rule. After one of them {wrong[0]}.",
        expected=f"A level at which every order keeps it: {story.rule}",
        question=_LOW[level],
        misconception=_BELIEFS[level] if level != "read committed" else story_belief(story),
    )


def story_belief(story: Story) -> str:
    """The belief that leads to read committed: of a story whose own belief is about a higher level, the usual one."""
    return story.belief if story.belief in ("one-snapshot", "begin-protects") else "begin-protects"


_LOW = {
    "read committed": "Which statement can see, or write over, what the other one has committed in between?",
    "repeatable read": "Which row does each of the two write, and what has each of them read of the other's?",
    "serializable": "Where does the first transaction of each client end, and what is still watched after it?",
}
_BELIEFS = {"repeatable read": "rr-is-serializable", "serializable": "covers-all"}


def too_high(name: str, story: Story, level: str, below: str) -> Finding:
    kept = at(story, below)
    costs = (
        ""
        if level == NONE
        else f", and {kept.retries} transactions are sent again; at {level} {at(story, level).retries}"
    )
    return Finding(
        ok=False,
        seen=f"{name} at {below}: in each of {len(kept.outcomes)} orders the rule holds{costs}.",
        expected="The lowest level that suffices." if level != NONE else "'none' only where an order breaks the rule at serializable.",
        question=f"Which statement of {name} would have to see, or miss, something that it does not at {below}?",
        misconception=_TOO_HIGH[level],
    )  # fmt: skip


_TOO_HIGH = {"repeatable read": "two-statements", "serializable": "serializable-everywhere", NONE: "no-level"}


def at_the_lowest(name: str, story: Story, order: str) -> Finding:
    if order.strip():
        return Finding(
            False, f"{name} at {LEVELS[0]}: the order `{order.strip()[:60]}` is given, and there is no lower level.", "'' as the order.",
            "What does PostgreSQL do at read uncommitted?", "dirty",
        )  # fmt: skip
    return Finding(True, f"{name}: {_kept(story, LEVELS[0])}PostgreSQL has no lower level.")


def no_order(name: str, story: Story, order: str, why_not: str) -> Finding:
    units = ", ".join(f"{client} {count} times" for client, count in turns(story).items())
    return Finding(
        False, f"{name}: {order.strip()[:60]!r} is no order of the story: {why_not}", f"An order that names {units}.",
        "Whose statement, or COMMIT, comes first, and whose next?",
    )  # fmt: skip


def no_witness(name: str, story: Story, level: str, below: str, outcome: Outcome) -> Finding:
    return Finding(
        False, f"{name}: {_kept(story, level)}in the order `{outcome.order}` the rule holds at {below} as well.", f"An order that breaks it at {below}.",
        "Between which two statements of one client must the other one have committed, or not yet?", "any-overlap",
    )  # fmt: skip


def turns(story: Story) -> dict[str, int]:
    """How often an order names each client: once a statement and once a COMMIT."""
    return {
        name: sum(not step.begins for step in steps) for name, steps in story.program.sessions.items()
    }  # fmt: skip


def right(variant: Variant) -> dict[str, tuple[str, str]]:
    """The lowest levels, each with the first order that breaks the next lower one."""
    found = {}
    for name, story in variant.named():
        wrong = breaking(story, story.lower) if story.lower else None
        found[name] = (story.level, wrong[0].order if wrong else "")
    return found


def as_text(story: Story) -> str:
    """The story as `Schedule.read` reads it, one client after the other."""
    lanes = [f"{client}: {step.sql}" for client, steps in story.program.sessions.items() for step in steps]
    setup = "\n".join(f"    {line}" for line in story.setup.split("\n"))
    return "\n".join(("setup:", setup, "", *lanes))


def brief(variant: Variant) -> str:
    told = []
    for name, story in variant.named():
        units = ", ".join(f"{client} {count} times" for client, count in turns(story).items())
        told.append(
            f"**{name}** {story.told}. *Rule: {story.rule}* (An order names {units}.)\n\n```text\n{as_text(story)}\n```"
        )
    stories = "\n\n".join(told)
    return (
        "Five programs, two clients each, on PostgreSQL. What a program remembers stands in `my.seen`. Each client "
        f"sends its transactions again when one is ended by 40001 or 40P01, until it is through.\n\n{stories}\n\n"
        f"For each story: which is the **lowest** level ({', '.join(LEVELS)}) at which no order of the statements breaks the rule, or is it `none` of them? And which order breaks it at the next lower one (for "
        "`none`: at serializable)? Hand in a dict from each letter to a pair, such as `('repeatable read', 'T2 T1 ...')`. The order names the clients as they take turns, once a "
        "statement and once a COMMIT; BEGIN goes with the statement after it (an order with a turn for each BEGIN is taken as well). Below read committed there is nothing: `('read committed', '')`.\n\n"
        "The judge runs every order at your level, and your order at the next lower one, and asks for the rule alone: whether each history is serializable is another question. "
        "Each story is a text that `Schedule.read(...)` of `workbook.schedules` reads, and `run(Schedule.read(...), level='read committed')` plays, in the order in which "
        "its lines stand (leave BEGIN away, and each statement is a transaction of its own). `explore(Schedule.read(...), levels='read committed')` shows all orders; it gives BEGIN a turn of its own, so that there are more of them, "
        "and counts those that are as good as one after the other, which is not the rule."
    )


def third_hint(variant: Variant) -> str:
    lines = [f"{name}: {story.because}" for name, story in variant.named()]
    return " ".join(line[:1] + line[1:] for line in lines)


def why(variant: Variant) -> str:
    parts = [f"{name} ({story.level}): {story.because}" for name, story in variant.named()]
    return (
        " ".join(parts)
        + " What would change it: another engine. MySQL's repeatable read lets the UPDATE of a lost update through, DuckDB has one level, and "
        "SQLite's writers come one after the other; and a lock or a key in the program lets a lower level do."
    )


EXERCISE = register(
    Exercise(
        id="isolation-lowest",
        lab="03_isolation",
        number=10,
        title="The lowest level that suffices, for five stories",
        kind="D",
        declares="value",
        points=4,
        core=False,
        minutes=15,
        answer="a dict from 'A' to 'E' to pairs of a level and an order, such as ('repeatable read', 'T2 T1 ...')",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "For each story: which statement relies on something that another statement, or another transaction, has read before?",
            lambda variant: "Where one statement does it all, or a lock or a key holds it, read committed does. Where two statements must see one state, or write what they have read of the same row, repeatable read does. Where each "
            "writes what the other one has only read, it takes serializable. Where the reading has been committed before the writing begins, no level knows of it.",
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "serializable-everywhere": "Serializable everywhere is the safe choice, and costs nothing.",
            "two-statements": "At read committed a transaction of two statements is never safe beside another one.",
            "begin-protects": "Between BEGIN and COMMIT nobody else changes what a transaction has read.",
            "one-snapshot": "A transaction at read committed sees one state from its first statement to its last.",
            "rr-is-serializable": "Repeatable read is as good as one after the other, since each transaction has one snapshot.",
            "covers-all": "At serializable a program is safe, however many transactions it takes.",
            "no-level": "What two programs do to one another must be mended in the programs; levels do not help.",
            "any-overlap": "As soon as two transactions overlap, the rule is broken.",
            "dirty": "At read uncommitted PostgreSQL reads what is not committed.",
        },
    )
)  # fmt: skip
