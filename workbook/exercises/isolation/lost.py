"""A lost update: in which order does it happen, and against which mends in none?

    ana                     ben                     on_hand
    SELECT → seen 10                                  10
                            SELECT → seen 10          10
    UPDATE to seen - 3
    COMMIT                                             7
                            UPDATE to seen - 4
                            COMMIT                     6     ana's 3 are lost, and nobody was told

BEGIN makes two statements one transaction; it does not keep others out between them. So whoever reads, works the new
value out in the program and writes it, may write over somebody else. What mends it is a lock taken before the reading,
the reading and the writing in one look at the row, or a level that refuses the second writer. What looks like each of
these and is none (a subquery in the UPDATE, a lock behind the reading, a lock that is given back or that only one side
takes) is in the bank, too. 'There is no such order' is an answer, and is checked by running them all.

    >>> sent("SELECT n AS seen FROM t"), sent("UPDATE t SET n = :seen + 1")
    ("SELECT set_config('workbook.seen', n::text, false)::int AS seen FROM t", "UPDATE t SET n = current_setting('workbook.seen')::int + 1")
    >>> len(orders(bank("plain", STOCK))), losing(bank("plain", STOCK), "ana")[0]
    (20, 'ana ana ben ana ben ben')

The programs keep what they have read where programs do, outside the tables: `AS seen` is remembered in the session, and
`:seen` is what was remembered. Both commit, each has changed its row, and what is left is what one of them alone would
have left: that is a lost update. A session that was refused, or that changed 0 rows, has lost nothing: it was told.

Sources: Berenson and others, A Critique of ANSI SQL Isolation Levels, 1995 (P4); PostgreSQL's manual, 13.2.1 "Read
Committed Isolation Level" and 13.3.2 "Row-Level Locks". Left out: other engines; three sessions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from workbook.exercises.isolation.trial import stage
from workbook.exercises.isolation.writers import ACCOUNT, PAGE, RATING, SESSIONS, STOCK, Pair, World, bank
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.schedules import Run, Schedule, Step

NAMES = ("A", "B", "C", "D")
REMEMBERED = re.compile(r"\b(\w+) AS (seen\w*)")
RECALLED = re.compile(r":(seen\w*)")


@dataclass(frozen=True)
class Variant:
    """Four pairs by their kind, each with the session whose change is to be lost."""

    world: World
    asked: tuple[tuple[str, str], ...]

    @property
    def parts(self) -> list[tuple[str, Pair, str]]:
        """A to D: the name, the pair, the victim."""
        found = zip(NAMES, self.asked, strict=True)
        return [(name, bank(kind, self.world), victim) for name, (kind, victim) in found]


VARIANTS = (
    Variant(STOCK, (("plain", "ana"), ("atomic", "ben"), ("late lock", "ben"), ("repeatable", "ana"))),
    Variant(ACCOUNT, (("plain", "ana"), ("lock", "ana"), ("subquery", "ana"), ("one level", "ben"))),
    Variant(RATING, (("autocommit", "ana"), ("one atomic", "ana"), ("compare", "ben"), ("key lock", "ben"))),
    Variant(PAGE, (("whole row", "ana"), ("own columns", "ben"), ("whole row repeatable", "ana"), ("form in two requests", "ben"))),
    Variant(ACCOUNT, (("plain", "ana"), ("one atomic", "ben"), ("two requests", "ben"), ("share lock", "ana"))),
    Variant(STOCK, (("plain", "ben"), ("with", "ana"), ("one lock", "ben"), ("one level", "ana"))),
    Variant(RATING, (("autocommit", "ben"), ("late advisory", "ana"), ("advisory", "ana"), ("with lock", "ben"))),
)  # fmt: skip


# orders, and what they come to


def orders(pair: Pair) -> list[str]:
    """Every order of the turns of both, as text; those in which ana comes early stand first."""
    anas, every = pair.turns("ana"), pair.turns("ana") + pair.turns("ben")
    chosen = (set(places) for places in itertools.combinations(range(every), anas))
    return [" ".join("ana" if place in places else "ben" for place in range(every)) for places in chosen]


def sent(statement: str) -> str:
    """A statement as it is sent: what it remembers is kept in the session, and read from there."""

    def typed(name: str) -> str:
        return "text" if name.endswith("title") else "int"

    said = REMEMBERED.sub(
        lambda m: f"set_config('workbook.{m[2]}', {m[1]}::text, false)::{typed(m[2])} AS {m[2]}", statement
    )
    return RECALLED.sub(lambda m: f"current_setting('workbook.{m[1]}')::{typed(m[1])}", said)


def schedule(pair: Pair, turns: Sequence[str]) -> Schedule:
    """The schedule of an order, each BEGIN with the statement behind it; the text of its steps is what is sent."""
    left = {name: list(pair.program(name)) for name in SESSIONS}
    steps = []
    for name in turns:
        while left[name][0] == "BEGIN":
            steps.append(Step(name, left[name].pop(0)))
        steps.append(Step(name, sent(left[name].pop(0))))
    first, second = pair.levels
    if first == second:
        return Schedule("", pair.world.setup, tuple(steps), level=first)
    levels = dict(zip(SESSIONS, pair.levels, strict=True))
    return Schedule("", pair.world.setup, tuple(steps), levels={name: levels[name] for name in set(turns)})


def without_begins(pair: Pair, turns: list[str]) -> list[str]:
    """An order in which each BEGIN has a turn, as it is without these; any other as it is."""
    if any(turns.count(name) != len(pair.program(name)) for name in SESSIONS):
        return turns
    left = {name: iter(pair.program(name)) for name in SESSIONS}
    return [name for name in turns if name not in left or next(left[name]) != "BEGIN"]


def as_written(run: Run, pair: Pair, title: str) -> Run:
    """The run with the statements as the task shows them, for a picture with a title."""
    left = {name: iter(pair.program(name)) for name in SESSIONS}
    steps = tuple(replace(step, sql=next(left[step.session])) for step in run.schedule.steps)
    return replace(run, schedule=replace(run.schedule, title=title, steps=steps))


@dataclass(frozen=True)
class Outcome:
    """What an order came to: whose change is `lost` ('' where nobody's), who was `told` that it has not changed
    anything, and how (such as `ben is refused: 40001 ...`), the row that is `left`, and the run."""

    lost: str
    told: str
    left: tuple[Any, ...]
    run: Run


@cache
def alone(pair: Pair, first: str, then: str = "") -> tuple[Any, ...]:
    """The row that is left when a session runs alone, or one after the other."""
    turns = [name for name in (first, then) if name for _ in range(pair.turns(name))]
    return row(stage().run(schedule(pair, turns)), pair)


def row(run: Run, pair: Pair) -> tuple[Any, ...]:
    """The row that matters, without its key."""
    (found,) = run.final[pair.world.table]
    return found[1:]


def outcome(pair: Pair, order: str) -> Outcome:
    """Run an order, and say what became of it."""
    run = stage().run(schedule(pair, order.split()))
    left, told = row(run, pair), "; ".join(one for one in (refusal(run, name) for name in SESSIONS) if one)
    if told or left in (alone(pair, "ana", "ben"), alone(pair, "ben", "ana")):
        return Outcome("", told, left, run)
    lost = [name for name, other in zip(SESSIONS, reversed(SESSIONS), strict=True) if left == alone(pair, other)]
    return Outcome(lost[0], "", left, run)


def refusal(run: Run, session: str) -> str:
    """How a session was told that its change is not made; '' where it was not."""
    for index, step in enumerate(run.schedule.steps):
        event = run.end(index)
        if step.session == session and event is not None:
            if event.kind == "failed":
                return f"{session} is refused, {event.sqlstate} {event.message}"
            if event.rowcount == 0 and event.rows is None and " SET " in step.sql:
                return f"{session}'s UPDATE changes 0 rows"
    return ""


@cache
def losing(pair: Pair, victim: str) -> tuple[str, ...]:
    """The orders, of all that there are, that lose the victim's change."""
    return tuple(order for order in orders(pair) if _victims(pair)[order] == victim)


@cache
def _victims(pair: Pair) -> dict[str, str]:
    return {order: outcome(pair, order).lost for order in orders(pair)}


# judging


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict):
        return f"The answer is a dict with the keys 'A' to 'D'; this is {type(answer).__name__}."
    if set(answer) != set(NAMES):
        return f"The keys of the dict are 'A', 'B', 'C' and 'D'; these are {', '.join(map(repr, answer)) or 'none'}."
    for name in NAMES:
        turns = answer[name]
        listed = type(turns) in (list, tuple) and all(type(turn) is str for turn in turns)
        if turns is not None and type(turns) is not str and not listed:
            return f"{name!r} is an order, such as 'ana ben ben ana', or None; this is {_short(turns)}."
    return ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    if not any(answer[name] is not None for name in NAMES):
        return Judgement(0.0, (all_denied(variant),))
    findings: list[Finding] = []
    pictures: list[Any] = []
    for name, pair, victim in variant.parts:
        if answer[name] is None:
            findings.append(none_claimed(name, pair, victim))
            continue
        finding, run = order_given(name, pair, victim, without_begins(pair, _turns(answer[name])))
        findings.append(finding)
        if run is not None and not finding.ok and not pictures:
            pictures.append(as_written(run, pair, name).picture)
    findings.sort(key=lambda finding: finding.ok)
    return Judgement(float(all(finding.ok for finding in findings)), tuple(findings), tuple(pictures))


def _turns(given: Any) -> list[str]:
    return re.split(r"[\s,]+", given.strip()) if isinstance(given, str) else [turn.strip() for turn in given]


def all_denied(variant: Variant) -> Finding:
    """The finding on the claim that none of the four loses anything; which of them do, it does not say."""
    every = sum(len(orders(pair)) for _, pair, _ in variant.parts)
    return Finding(
        ok=False,
        seen=f"You say None to all four. All {every} orders of the four pairs were run: it is not so.",
        expected="An order wherever there is one.",
        question="In which pair does a program write a value that it has read before, with nothing to keep the other one out in between?",
        misconception="none-at-all",
    )


def none_claimed(name: str, pair: Pair, victim: str) -> Finding:
    """The finding on a claim that no order loses the victim's change."""
    found, every = losing(pair, victim), len(orders(pair))
    if not found:
        return Finding(True, f"{name}: of all {every} orders none loses {victim}'s change.")
    return Finding(
        ok=False,
        seen=f"{name}: there are such orders. All {every} were run, and some of them lose {victim}'s change; nobody gets an error.",
        expected=f"An order in which {victim}'s change is lost.",
        question=pair.question,
        misconception=pair.belief,
    )


def order_given(name: str, pair: Pair, victim: str, turns: list[str]) -> tuple[Finding, Run | None]:
    """The finding on an order, and its run."""
    if wrong := unfit(pair, turns):
        expected = f"An order in which ana has {_times(pair, 'ana')} and ben {_times(pair, 'ben')}: one for each statement but BEGIN, which is sent with the one behind it."
        return Finding(False, f"{name}: {wrong}", expected, "Which statements does each of them send?"), None
    said = " ".join(turns)
    found = outcome(pair, said)
    if found.lost == victim:
        return Finding(
            True, f"{name}: `{said}` leaves {told(found.left)}: {victim}'s change is lost, without an error."
        ), found.run
    expected = f"An order that loses {victim}'s change, without an error; or None, where there is no such order."
    if found.lost:
        seen = f"{name}: `{said}` leaves {told(found.left)}: {found.lost}'s change is lost, and {victim}'s is there."
        question, belief = (
            "Whose change is lost: that of the one who writes first, or of the one who writes last?",
            "first-wins",
        )
    elif found.told:
        seen = f"{name}: `{said}` leaves {told(found.left)}, but {found.told}. That is an answer to the program, and no loss."
        question, belief = "What can a program do that gets this answer, and what one that gets none?", "error-is-loss"
    else:
        seen = f"{name}: `{said}` leaves {told(found.left)}: both changes are there."
        question = "Who has to have read what before whom, and does something keep that one waiting?"
        belief = "" if losing(pair, victim) else "always-possible"
    return Finding(False, seen, expected, question, belief), found.run


def told(left: tuple[Any, ...]) -> str:
    """The values of a row.

    >>> told((6,)), told((20, "Desk lamp"))
    ('6', "20 and 'Desk lamp'")
    """
    return " and ".join(map(repr, left))


def _times(pair: Pair, session: str) -> str:
    return f"{pair.turns(session)} turns"


def unfit(pair: Pair, turns: list[str]) -> str:
    """Why these turns are no order of the two programs; '' where they are one."""
    if strange := [turn for turn in turns if turn not in SESSIONS]:
        return f"{_short(strange[0])} is neither ana nor ben." if strange[0] else "the order is empty."
    wrong = [name for name in SESSIONS if turns.count(name) != pair.turns(name)]
    return f"{wrong[0]} has {turns.count(wrong[0])} of {_times(pair, wrong[0])}." if wrong else ""


# texts


def brief(variant: Variant) -> str:
    ana, ben = (told(alone(variant.parts[0][1], name)) for name in SESSIONS)
    _, first, _ = variant.parts[0]
    example = " ".join(["ana"] * first.turns("ana") + ["ben"] * first.turns("ben"))
    return (
        f"{variant.world.what}.\n\n```sql\n{variant.world.setup};\n```\n\n"
        "Four pairs of programs do it. `AS seen` is remembered by the program, and `:seen` is what it has remembered. **A change is lost** when both programs come through without an error, each "
        f"UPDATE has changed its row, and what is left is what the other program alone would have left: {ben} if ana's change is lost, {ana} if ben's is.\n\n"
        f"{_listings(variant)}\n\n"
        "Hand in a dict with the keys `'A'` to `'D'`: an order that loses the change, or `None` where there is no such order. An order names whose turn it is, a statement a turn (BEGIN goes with the one behind it): "
        f"`'{example}'` is an order of A (one after the other). Who has to wait takes the turns up later. The judge runs the order, and for "
        "`None` all that there are. To try one, hand it in: the order is drawn."
    )


def _listings(variant: Variant) -> str:
    """A to D: what is to be lost, where, in how many turns, and both programs; what stood there before is named only."""
    shown, pairs, bens = [], {}, {}  # type: list[str], dict[tuple[tuple[str, ...], tuple[str, ...]], str], dict[tuple[str, ...], str]
    for name, pair, victim in variant.parts:
        levels = pair.levels[0] if len(set(pair.levels)) == 1 else f"ana at {pair.levels[0]}, ben at {pair.levels[1]}"
        ana, ben = pair.turns("ana"), pair.turns("ben")
        turns = f"{ana} turns each" if ana == ben else f"ana has {ana} turns, ben {ben}"
        head = f"**{name}**: lose **{victim}'s** change ({levels}; {turns}). *“{pair.says}”*"
        known, bens_known = pairs.setdefault((pair.ana, pair.ben), name), bens.setdefault(pair.ben, name)
        code = _code(pair, "" if bens_known == name else bens_known)
        shown.append(f"{head} The programs are those of {known}." if known != name else f"{head}\n\n{code}")
    return "\n\n".join(shown)


def _code(pair: Pair, bens: str) -> str:
    """Both programs, a turn a line; `bens` is the part where ben's has stood already, '' for none."""
    ana, ben = (re.sub(r"BEGIN;\s+", "BEGIN; ", ";\n".join(pair.program(name))) + ";" for name in SESSIONS)
    if _alike(pair):
        return f"```sql\n-- ana; ben the same with {pair.world.ben}\n{ana}\n```"
    if bens:
        return f"```sql\n-- ana; ben as in {bens}\n{ana}\n```"
    return f"```sql\n-- ana\n{ana}\n\n-- ben\n{ben}\n```"


def _alike(pair: Pair) -> bool:
    change = f" {pair.world.ana}"
    return pair.world is not PAGE and tuple(line.replace(change, f" {pair.world.ben}") for line in pair.ana) == pair.ben


def nearly(variant: Variant) -> str:
    said = []
    for name, pair, victim in variant.parts:
        other = "ben" if victim == "ana" else "ana"
        way = f"{other} looks before {victim} has committed, and writes after it" if losing(pair, victim) else "None"
        said.append(f"{name}: {way}.")
    return " ".join(said)


def why(variant: Variant) -> str:
    counts = "; ".join(
        f"{name}: {len(losing(pair, victim))} of {len(orders(pair))}" for name, pair, victim in variant.parts
    )
    because = " ".join(f"{name}: {pair.because}" for name, pair, _ in variant.parts)
    return (
        f"{because} Counted over all orders: {counts}. What would change it: another engine. DuckDB refuses the second writer at once, MariaDB loses the update at repeatable read as "
        "PostgreSQL does at read committed, and SQLite lets one transaction write at a time."
    )


EXERCISE = register(
    Exercise(
        id="isolation-lost",
        lab="03_isolation",
        number=3,
        title="A lost update, or none",
        kind="W",
        declares="value",
        points=3,
        core=True,
        minutes=10,
        answer="a dict with the keys 'A', 'B', 'C' and 'D', each an order as text ('ana ben ...') or None",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "An update is written over by somebody who does not know of it. From when is the number that they write, and what could have kept them from having it?",
            lambda variant: (
                "Go through each pair: which statement looks at the row for the value that is written, and which writes it? If the victim's COMMIT can fall between these two statements of the other one, or "
                "while the other one waits with an old number in the hand, there is an order. A plain SELECT never waits for a row."
            ),
            nearly,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "begin": "BEGIN prevents lost updates: what is in one transaction is not disturbed.",
            "statement": "Each statement is atomic, so nothing can be lost between two of them.",
            "one-statement": "Whatever is one statement sees and writes the same moment.",
            "any-lock": "A row that is locked is safe, whichever lock it is and whenever it is taken.",
            "lock-lasts": "A row that was locked stays locked until the program is done with it.",
            "one-side": "If one side is careful, it is safe from the other.",
            "my-level": "A level protects a transaction, whatever the level of the others.",
            "other-columns": "Two who change different columns cannot lose anything.",
            "none-at-all": "A transaction in the database is enough to keep changes from being lost.",
            "first-wins": "Of two who write, the change of the first one stays.",
            "error-is-loss": "A transaction that is refused is an update that is lost.",
            "always-possible": "Wherever two write the same row, some order loses an update.",
        },
    )
)  # fmt: skip
