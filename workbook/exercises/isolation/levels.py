"""What a level does: a rule that says it of schedules that nobody has shown you, at three levels.

    schedule ── decide(schedule, level) ──▶ what ana's reads see · what is left · who is refused · who waits
        │                                                      │ where do they part, and which belief
        └────── run on PostgreSQL at the level ──────────────▶ ┘ parts from the engine at the same places?

The names of the levels promise one thing and the engine does another: READ UNCOMMITTED reads nothing uncommitted, REPEATABLE READ shows no
phantoms and still lets write skew through, SERIALIZABLE puts nobody in a queue. Whoever wants to know has to say what is seen,
by whom, from which moment, and that is a rule. A variant asks one question of it. Six pairs of programs that the task does not show are
run in many orders at three levels, and each answer is compared with the engine's; of all that differ the shortest is drawn.

    >>> case = cases(VARIANTS[0])[0]
    >>> case.truth == VARIANTS[0].question.believed(case.schedule, case.level), len(cases(VARIANTS[0]))
    (True, 216)

No constant passes, nor a rule that leaves the level out where the level matters; where it does not (who waits), a rule that makes
something of its name fails. A table of what was asked, played on the engine beforehand, is no rule: in each check all is asked once more, with other
numbers, drawn at that moment, under which the engine does the same.

    >>> renamed(steps("ana", "set 1 11; add 1 3"), VARIANTS[2], random.Random(1))[0]
    [('ana', 'set', 1, 49), ('ana', 'add', 1, 77)]

Sources: PostgreSQL's manual, 13.2 "Transaction Isolation"; Berenson and others, A Critique of ANSI SQL
Isolation Levels, 1995. Left out: other engines, a level for each session, deadlocks.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from workbook.exercises.isolation.beliefs import START, Played, Step, played, steps
from workbook.exercises.isolation.trial import stage
from workbook.grading.answer import Function, FunctionFailed
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.schedules import Run, Schedule
from workbook.schedules import Step as Sent

SIGNATURE = "decide(schedule, level)"
ORDERS, LIKE = 12, 0.8
SETUP = f"CREATE TABLE test (id int PRIMARY KEY, value int NOT NULL);\nINSERT INTO test VALUES {', '.join(map(str, START.items()))}"
RU, RC, RR, SER = "read uncommitted", "read committed", "repeatable read", "serializable"
SQL = {
    "begin": "BEGIN",
    "commit": "COMMIT",
    "rollback": "ROLLBACK",
    "read": "SELECT value FROM test WHERE id = {0}",
    "count": "SELECT count(*) FROM test WHERE value >= {0}",
    "lock": "SELECT value FROM test WHERE id = {0} FOR UPDATE",
    "share": "SELECT value FROM test WHERE id = {0} FOR SHARE",
    "set": "UPDATE test SET value = {1} WHERE id = {0}",
    "add": "UPDATE test SET value = value + {1} WHERE id = {0}",
    "insert": "INSERT INTO test VALUES ({0}, {1})",
    "delete": "DELETE FROM test WHERE id = {0}",
}
"""What each action sends."""
VALUED = ("set", "insert", "count")
"""The actions whose last number is a value of a row."""


@dataclass(frozen=True)
class Question:
    """What is asked of a schedule: in words (`asks`), read off a run (`seen`) and off a played belief (`told`);
    `form` is what an answer looks like."""

    asks: str
    form: str
    seen: Callable[[Run], Any]
    told: Callable[[Played], Any]

    def believed(self, schedule: Sequence[Step], level: str, belief: str = "") -> Any:
        return self.told(played(schedule, level, belief))


def _told_ana(run: Run) -> list[int | None]:
    """What each read of ana's gave, None where she was refused."""
    found: list[int | None] = []
    for index, step in enumerate(run.schedule.steps):
        if step.session == "ana" and step.sql.startswith("SELECT"):
            event = run.end(index)
            found.append(event.rows[0][0] if event is not None and event.rows else None)
    return found


def _refused(run: Run) -> str | None:
    return next((name for name, outcome in run.outcomes.items() if outcome.startswith("aborted 4")), None)


READS = Question(
    "what ana's reads give her",
    "a list of numbers, one for each of ana's reads, in order",
    _told_ana,
    lambda told: told.seen["ana"],
)
LOCKED = replace(
    READS,
    asks="what ana's reads give her, those that lock (`lock`) among them",
    form="a list, one entry for each `read` and `lock` of ana's, in order: the number, or `None` where PostgreSQL gives an error instead",
)
LEFT = Question(
    "what row 1 holds when both have ended",
    "a number",
    lambda run: dict(run.final["test"])[1],
    lambda told: told.left[1],
)
REFUSED = Question(
    "who of the two is refused, by an error after which nothing of that transaction is left",
    "`'ana'`, `'ben'`, or `None`",
    _refused,
    lambda told: told.refused[0] if told.refused else None,
)
WAITS = Question(
    "who of the two has to wait for the other one, at whichever step",
    "`'ana'`, `'ben'`, or `None`",
    lambda run: run.step(run.waits[0]).session if run.waits else None,
    lambda told: told.waited[0] if told.waited else None,
)


@dataclass(frozen=True)
class Variant:
    """A question, three levels, six pairs of programs and one more that is shown; the beliefs that are wrong here, and why it
    is as it is; the three `hints`."""

    story: str
    question: Question
    levels: tuple[str, str, str]
    pairs: tuple[tuple[str, str], ...]
    example: tuple[str, str]
    shown: str
    beliefs: tuple[str, ...]
    because: str
    nearly: str

    __hash__ = object.__hash__

    @property
    def actions(self) -> list[str]:
        """The actions that occur, BEGIN and the ends left out."""
        used = {step[1] for pair in (*self.pairs, self.example) for text in pair for step in steps("", text)}
        return [action for action in SQL if action in used]


VARIANTS = (
    Variant(
        "Ana reads, and in some programs writes as well, while Ben changes rows. They never write the same row",
        READS, (RU, RC, RR),
        (
            ("begin; read 1; read 1; commit", "begin; set 1 11; commit"),
            ("begin; read 1; read 2; commit", "begin; set 1 12; set 2 22; commit"),
            ("begin; read 2; read 1; commit", "begin; set 1 13; rollback"),
            ("begin; read 1; read 1; commit", "begin; set 1 14; set 1 15; commit"),
            ("begin; read 2; read 2; read 1; commit", "begin; set 2 26; commit"),
            ("begin; set 2 27; read 2; read 1; commit", "begin; set 1 17; commit"),
        ),
        ("begin; read 2; read 1; commit", "begin; set 2 29; set 1 19; commit"),
        "ana ben ana ben ben ben ana ana",
        ("begin", "dirty", "one-view", "repeats-only", "rolled-back"),
        "READ UNCOMMITTED is read committed by another name: each statement sees what was committed when it began, and what its own transaction has written. Repeatable read takes one "
        "such picture, at the first statement of the transaction (a write is one, too), not at BEGIN.",
        "Keep what is committed in a dict, and what each session has written in another. For ana's reads at the two lower levels look into what is committed now; at repeatable read into a copy that was made at "
        "ana's first statement behind BEGIN. What ana has written herself counts before both.",
    ),
    Variant(
        "Ana counts rows with a value of at least so much, while Ben puts rows in, takes them away and changes them",
        READS, (RC, RR, SER),
        (
            ("begin; count 20; count 20; commit", "begin; insert 3 30; commit"),
            ("begin; count 20; count 15; commit", "begin; delete 2; commit"),
            ("begin; count 15; count 15; commit", "begin; set 1 25; commit"),
            ("begin; count 5; count 5; commit", "begin; insert 4 40; rollback"),
            ("begin; count 20; count 25; commit", "begin; insert 3 30; delete 2; commit"),
            ("begin; count 15; count 25; count 5; commit", "begin; set 2 5; insert 4 40; commit"),
        ),
        ("begin; count 5; count 15; commit", "begin; insert 3 35; set 1 16; commit"),
        "ana ben ana ben ben ben ana ana",
        ("begin", "one-view", "phantoms", "rolled-back"),
        "PostgreSQL's repeatable read is a snapshot, and a snapshot holds no later rows, whether changed or new: no phantoms. Serializable sees the same; it only watches more. At read committed each "
        "statement has a snapshot of its own.",
        "Play ben's transaction on a dict of rows, and let it count from his COMMIT on (never, where he rolls back). At read committed ana counts in what is committed now, at the other two in a copy that was "
        "made at her first count.",
    ),
    Variant(
        "Both change row 1: some set it to a number, some add to it, some give up again",
        LEFT, (RC, RR, SER),
        (
            ("begin; read 1; set 1 13; commit", "begin; read 1; set 1 14; commit"),
            ("begin; add 1 3; commit", "begin; add 1 4; commit"),
            ("begin; read 1; set 1 30; commit", "begin; add 1 5; commit"),
            ("begin; add 1 6; rollback", "begin; read 1; add 1 7; commit"),
            ("begin; read 1; add 1 8; commit", "begin; read 1; set 1 35; rollback"),
            ("begin; read 2; add 1 2; commit", "begin; set 1 16; commit"),
        ),
        ("begin; read 1; add 1 1; commit", "begin; read 1; set 1 12; commit"),
        "ana ben ana ben ana ben ana ben",
        ("begin", "last-wins", "weak-refuses", "rolled-back"),
        "The second writer waits until the first has ended. If the first has rolled back, it goes on as if nothing had been. If the first has committed, read committed lets it write over what is there now "
        "(an addition adds to that); the other two refuse it, where the first one's commit is not in its snapshot, which was taken at its first statement.",
        "Go through the steps; whoever writes while the other one has written and not ended is put off until that one's end. At repeatable read and serializable note for each session what row 1 held at its first "
        "statement: if it holds something else that was committed since, when the session comes to write, the session is refused.",
    ),
    Variant(
        "Both read and write two rows, at times the same ones. A program that is refused is not run again",
        REFUSED, (RC, RR, SER),
        (
            ("begin; read 1; set 1 11; commit", "begin; read 1; set 1 12; commit"),
            ("begin; read 1; set 2 21; commit", "begin; read 2; set 1 13; commit"),
            ("begin; read 1; read 2; commit", "begin; set 1 14; set 2 24; commit"),
            ("begin; read 1; set 1 15; commit", "begin; read 2; set 2 25; commit"),
            ("begin; read 1; set 2 26; commit", "begin; set 1 16; commit"),
            ("begin; set 1 17; read 2; commit", "begin; set 2 27; read 1; commit"),
        ),
        ("begin; read 1; read 2; set 1 18; commit", "begin; read 2; add 1 1; commit"),
        "ana ben ana ana ben ana ben ana ben",
        ("begin", "last-wins", "weak-refuses", "suffices", "no-more", "one-sided"),
        "Read committed refuses nobody here. Repeatable read refuses who writes a row that somebody else has changed and committed since the snapshot. Serializable refuses besides, of two at the same time that have each read "
        "what the other one wrote, the one that commits second; to read only, or to be read only, is harmless.",
        "Two are at the same time where each has its first statement before the other one's COMMIT. Then: if both write one row, the second to write it is refused, from repeatable read on; else, at serializable, if ana reads "
        "what ben writes and ben reads what ana writes, the second to commit.",
    ),
    Variant(
        "Some read, some write, some lock what they read, for themselves (`lock`) or together with others (`share`)",
        WAITS, (RC, RR, SER),
        (
            ("begin; set 1 11; commit", "begin; read 1; read 2; commit"),
            ("begin; read 1; set 1 12; commit", "begin; add 1 1; commit"),
            ("begin; lock 1; read 2; commit", "begin; read 1; set 2 23; commit"),
            ("begin; share 1; read 1; commit", "begin; share 1; read 2; commit"),
            ("begin; share 1; commit", "begin; read 1; set 1 15; commit"),
            ("begin; set 2 26; lock 1; commit", "begin; lock 1; rollback"),
        ),
        ("begin; lock 2; set 1 17; commit", "begin; read 1; add 2 2; commit"),
        "ana ben ana ben ana ben ana ben",
        ("two-phase", "readers-wait", "share-excludes"),
        "A level changes what is seen and who is refused, and makes nobody wait: not even serializable queues. A plain read waits for no row, and no row waits for it. What writes or says FOR UPDATE keeps out "
        "what writes or locks; FOR SHARE goes together with FOR SHARE.",
        "Keep a dict from row to who holds it and how (alone by `set`, `add`, `lock`; together by `share`), and take a session's rows out at its end. The first who wants a row that the other one holds, unless both only share it, "
        "is the answer; `read` neither holds nor waits. The level does not come up.",
    ),
    Variant(
        "Ana reads row 1, with and without a lock, while Ben changes it",
        LOCKED, (RC, RR, SER),
        (
            ("begin; read 1; lock 1; commit", "begin; set 1 11; commit"),
            ("begin; lock 1; read 1; commit", "begin; set 1 12; commit"),
            ("begin; read 2; lock 1; read 1; commit", "begin; set 1 13; rollback"),
            ("begin; read 1; lock 1; read 1; commit", "begin; set 1 14; commit"),
            ("begin; lock 2; read 1; commit", "begin; set 1 15; commit"),
            ("begin; lock 1; commit", "begin; add 1 3; add 1 3; commit"),
        ),
        ("begin; read 2; lock 1; read 2; commit", "begin; add 1 7; set 2 27; commit"),
        "ana ben ana ben ana ben ben ana ana",
        ("begin", "one-view", "lock-reads-old", "last-wins", "rolled-back"),
        "FOR UPDATE gives the newest row, and waits until there is one that stays. At read committed it may so be newer than what a plain SELECT of a moment ago has seen. From repeatable read on a row that is newer than the "
        "snapshot is not given but refused, 40001, and with it everything up to the end of the transaction.",
        "Let `lock` wait for the end of ben, if he has written row 1; then it gives what is committed. At repeatable read and serializable compare that with the copy from ana's first statement: if ben has committed row 1 "
        "since, this `lock` and all reads behind it are None.",
    ),
)  # fmt: skip


QUESTIONS = {
    "begin": "Which is the first step of a transaction that needs a snapshot, and is BEGIN one?",
    "dirty": "From where does a reader take a row that somebody is changing: what becomes of the old version of it?",
    "one-view": "How many snapshots does a transaction of two statements take at read committed?",
    "repeats-only": "Is the snapshot of repeatable read one of the rows that were read, or of all?",
    "phantoms": "Would a row that was put in later be in a snapshot that was taken before?",
    "last-wins": "What does repeatable read do with a writer whose snapshot holds an older version of the row than the one that is committed?",
    "weak-refuses": "What does a statement at read committed do with a row that was changed while it waited for it?",
    "suffices": "Which rows does repeatable read compare: those that were written, or also those that were read?",
    "no-more": "Each has read what the other one wrote: could one of them have run after the other one?",
    "one-sided": "One has read what the other one changed, and not the other way round: in which order could they have run?",
    "two-phase": "Is a row locked that somebody has read with a plain SELECT?",
    "readers-wait": "Which version of a row is there for a reader while a writer is not done with it?",
    "share-excludes": "What goes together with a lock that says FOR SHARE?",
    "rolled-back": "What is left, after ROLLBACK, of what the transaction has written?",
    "lock-reads-old": "Which version of a row can be locked: the one of the snapshot, or the newest?",
}


def _line(schedule: Sequence[Step]) -> str:
    return ", ".join(" ".join(map(str, step)) for step in schedule)


@dataclass(frozen=True, eq=False)
class Case:
    """A schedule at a level, what the engine made of it, and the answer to the question."""

    schedule: tuple[Step, ...]
    level: str
    truth: Any
    run: Run

    @property
    def told(self) -> str:
        """The schedule in a line."""
        return _line(self.schedule)


@cache
def asked_of(variant: Variant) -> tuple[tuple[tuple[Step, ...], str], ...]:
    """What a rule is asked: the six pairs in some orders each, at each of the levels."""
    chance = random.Random(f"levels of {variant.story}")
    orders = [order for pair in variant.pairs for order in telling(pair, variant, chance)]
    return tuple((order, level) for order in orders for level in variant.levels)


@cache
def cases(variant: Variant) -> tuple[Case, ...]:
    """What a rule is asked, run on the engine."""
    return tuple(case(variant, order, level) for order, level in asked_of(variant))


def telling(pair: tuple[str, str], variant: Variant, chance: random.Random) -> list[tuple[Step, ...]]:
    """Some orders of two programs, of each kind first one, then another: those are of a kind that all beliefs answer alike,
    and the kinds on which they are most divided come first. Most orders tell nobody apart."""
    anas, every = (len(steps("", text)) for text in (pair[0], ";".join(pair)))
    kinds: dict[str, list[tuple[Step, ...]]] = {}
    divided, beliefs = Counter[str](), ("", *variant.beliefs)
    for places in itertools.combinations(range(every), anas):
        order = ordered(pair, " ".join("ana" if place in places else "ben" for place in range(every)))
        said = [[repr(variant.question.believed(order, level, one)) for one in beliefs] for level in variant.levels]
        kinds.setdefault(str(said), []).append(order)
        divided[str(said)] = sum(answer != answers[0] for answers in said for answer in answers)
    for kind in kinds.values():
        chance.shuffle(kind)
    ranks = itertools.zip_longest(*(kinds[kind] for kind in sorted(kinds, key=lambda kind: -divided[kind])))
    return [order for rank in ranks for order in rank if order is not None][:ORDERS]


def ordered(pair: tuple[str, str], order: str) -> tuple[Step, ...]:
    """The programs of ana and ben in an order such as `ana ben ben ana`."""
    left = {name: iter(steps(name, text)) for name, text in zip(("ana", "ben"), pair, strict=True)}
    return tuple(next(left[name]) for name in order.split())


def case(variant: Variant, schedule: tuple[Step, ...], level: str) -> Case:
    """What the engine makes of a schedule at a level."""
    sent = tuple(Sent(step[0], SQL[step[1]].format(*step[2:])) for step in schedule)
    run = stage().run(Schedule("", SETUP, sent), level)
    return Case(schedule, level, variant.question.seen(run), run)


def accepts(answer: Any) -> str:
    told = f"The answer is a function, `def {SIGNATURE}`, handed in without calling it; this is "
    return "" if isinstance(answer, Function) else f"{told}{type(answer).__name__}."


def judge(answer: Function, variant: Variant) -> Judgement:
    said = answered(answer, asked_of(variant))
    again = asked_again(answer, variant)
    asked = cases(variant)
    wrong = [number for number, one in enumerate(asked) if not alike(said[number], one.truth)]
    if wrong:
        first = min(wrong, key=lambda number: len(asked[number].schedule))
        return Judgement(0.0, (parted(said, asked, wrong, first, variant),), (asked[first].run.picture,))
    by_heart = [one for one in again if not alike(one.said, one.translated(asked[one.number].truth))]
    if by_heart:
        return Judgement(0.0, (unknown(min(by_heart, key=lambda one: len(one.schedule)), asked),))
    told = f"{len(asked) // len(variant.levels)} schedules of {len(variant.pairs)} pairs of programs, at {len(variant.levels)} levels: each as on the engine, with other numbers too."
    return Judgement(1.0, (Finding(True, told),))


def answered(answer: Function, asked: Sequence[tuple[tuple[Step, ...], str]]) -> list[Any]:
    """What a rule says of each; it is asked before the engine is, and where no schedule runs meanwhile."""
    return [plain(answer([*schedule], level)) for schedule, level in asked]


@dataclass(frozen=True, eq=False)
class Again:
    """A case that is asked once more with other numbers: its place among the cases, what a number has become, and what was said."""

    number: int
    schedule: list[Step]
    known: Mapping[int, int]
    said: Any

    def translated(self, truth: Any) -> Any:
        """The truth of the case, in the other numbers."""
        if isinstance(truth, list):
            return [self.translated(one) for one in truth]
        return self.known.get(truth, truth) if type(truth) is int else truth


def asked_again(answer: Function, variant: Variant) -> list[Again]:
    """What a rule says of all the cases with other numbers, in another order, drawn anew each time; up to the first at which it fails."""
    chance, found = random.Random(), []  # type: random.Random, list[Again]
    asked = list(enumerate(asked_of(variant)))
    for number, (schedule, level) in chance.sample(asked, len(asked)):
        other, known = renamed(schedule, variant, chance)
        try:
            said = plain(answer([*other], level))
        except FunctionFailed as failure:
            return [*found, Again(number, other, known, failure)]
        found.append(Again(number, other, known, said))
    return found


def renamed(schedule: Sequence[Step], variant: Variant, chance: random.Random) -> tuple[list[Step], dict[int, int]]:
    """A schedule with other numbers, under which the engine does the same, and what each number that may be seen has become. Values are
    others (in their order, where they are counted), new rows too; where only a session is asked for, the rows may change places."""
    counted = "count" in variant.actions
    said = {step[-1] for step in schedule if step[1] in VALUED}
    values = {one: one for one in START.values()} | (_between if counted else _drawn)(said, chance)
    adds = _drawn({step[-1] for step in schedule if step[1] == "add"}, chance)
    swapped = variant.question in (REFUSED, WAITS) and chance.random() < 0.5
    rows = {1: 2, 2: 1} if swapped else {3: chance.randint(5, 9), 4: 10}

    def other(step: Step) -> Step:
        session, action, *numbers = step
        if action == "count":
            return (session, action, values[numbers[0]])
        row = [rows.get(one, one) for one in numbers[:1]]
        return (session, action, *row, *((adds if action == "add" else values)[one] for one in numbers[1:]))

    sums = [(0, 0)]
    for step in schedule:
        sums += [(old + step[-1], new + adds[step[-1]]) for old, new in sums] if step[1] == "add" else []
    known = {value + old: new_value + new for value, new_value in values.items() for old, new in sums}
    return [other(step) for step in schedule], {} if counted else known


def _drawn(numbers: set[int], chance: random.Random) -> dict[int, int]:
    """To each number another one, which stands in no schedule."""
    return dict(zip(sorted(numbers), chance.sample(range(41, 99), len(numbers)), strict=True))


def _between(numbers: set[int], chance: random.Random) -> dict[int, int]:
    """To each number another one, which lies between the same numbers of the table; their order stays."""
    found: dict[int, int] = {}
    for first, last in itertools.pairwise((0, *sorted(START.values()), 99)):
        within = sorted(one for one in numbers if first < one < last)
        others = [one for one in range(first + 1, last) if one not in within]
        found |= dict(zip(within, sorted(chance.sample(others, len(within))), strict=True))
    return found


def unknown(one: Again, asked: Sequence[Case]) -> Finding:
    """The finding on a rule that is right, and with other numbers is not."""
    met = asked[one.number]
    failed = str(one.said).rpartition("` ")[2][:60].rstrip(".") if isinstance(one.said, FunctionFailed) else ""
    return Finding(
        False,
        f"`{met.told}`, at {met.level}, is answered as the engine has it. The same with other numbers is not: `{_line(one.schedule)}`: the function {failed or f'gives {_shown(one.said)}'}.",
        f"{_shown(one.translated(met.truth))}: other numbers are drawn in each check, and the engine does the same with them.",
        "What does the function go by: what each step does, or the schedules that it has met before?", "by-heart",
    )  # fmt: skip


def plain(value: Any) -> Any:
    """What a rule gave, in the form in which it is compared: a tuple is as good as a list, '' as None."""
    return list(value) if isinstance(value, tuple) else None if value == "" else value


def alike(said: Any, truth: Any) -> bool:
    """Whether a rule's answer is the engine's, in type as in value.

    >>> alike([10, None], [10, None]), alike(True, 1), alike([1], [True])
    (True, False, False)
    """
    if isinstance(truth, list):
        return isinstance(said, list) and len(said) == len(truth) and all(map(alike, said, truth))
    return type(said) is type(truth) and bool(said == truth)


def parted(said: Sequence[Any], asked: Sequence[Case], wrong: Sequence[int], first: int, variant: Variant) -> Finding:
    """The finding on the shortest case at which the rule and the engine part."""
    one, belief = asked[first], kin(said, asked, variant)
    levels, each = Counter(asked[number].level for number in wrong), len(asked) // len(variant.levels)
    counts = ", ".join(f"{levels[level]} of {each} at {level}" for level in variant.levels)
    question, of = QUESTIONS.get(belief, ""), variant.question
    if not question and not formed(said[first], one.truth):
        question = f"Does each way through the function give {of.form}?"
    return Finding(
        False, f"`{one.told}`, at {one.level}: the function gives {_shown(said[first])}. Wrong answers: {counts}.",
        f"{_shown(one.truth)}, as the engine has it. Asked is {of.asks}.",
        question or "Go through the drawn schedule step by step: what is committed at each, and what does each session know of it?", belief,
    )  # fmt: skip


def formed(said: Any, truth: Any) -> bool:
    """Whether an answer has the form of the truth."""
    if isinstance(truth, list):
        return isinstance(said, list) and len(said) == len(truth)
    if isinstance(truth, int):
        return type(said) is int
    return said in (None, "ana", "ben")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def kin(said: Sequence[Any], asked: Sequence[Case], variant: Variant) -> str:
    """The belief that answers as the rule does, wherever one of the two is wrong: at four of five such places; '' where none does."""
    best, most = "", LIKE
    for belief, believed in believing(variant).items():
        places = enumerate(zip(said, believed, asked, strict=True))
        wrong = [n for n, (*both, one) in places if not all(alike(each, one.truth) for each in both)]
        share = sum(alike(said[number], believed[number]) for number in wrong) / len(wrong)
        if share > most:
            best, most = belief, share
    return best


@cache
def believing(variant: Variant) -> Mapping[str, tuple[Any, ...]]:
    """What each belief answers to all cases."""
    return {
        belief: tuple(variant.question.believed(one.schedule, one.level, belief) for one in cases(variant))
        for belief in variant.beliefs
    }


@cache
def examples(variant: Variant) -> tuple[Case, ...]:
    """The schedule that is shown, at each level."""
    return tuple(case(variant, ordered(variant.example, variant.shown), level) for level in variant.levels)


def waiting(variant: Variant) -> bool:
    """Whether somebody has to wait in a schedule that is asked."""
    return any(played(schedule, level).waited for schedule, level in asked_of(variant))


def why(variant: Variant) -> str:
    named = "; PostgreSQL has three behind four names" if RU in variant.levels else ""
    return (
        f"{variant.because} The standard names levels by what may not be seen, and leaves engines free to allow less{named}. What would change it: another engine. MariaDB's repeatable "
        "read lets the second writer overwrite, SQLite lets one write at a time, and DuckDB has one level."
    )


def brief(variant: Variant) -> str:
    of, shown = variant.question, examples(variant)
    sent = {action: SQL[action].format("N" if action == "count" else "ROW", "N") for action in variant.actions}
    known = "\n".join(f"| `{action}` | `{sql}` |" for action, sql in sent.items())
    lines = ",\n ".join(map(repr, shown[0].schedule))
    outcomes = "\n".join(f"| {one.level} | `{one.truth!r}` |" for one in shown)
    return (
        f"{variant.story}.\n\n```sql\n{SETUP};\n```\n\n"
        f"Write `{SIGNATURE}`, which says **{of.asks}**: {of.form}. `level` is {', '.join(f'`{level!r}`' for level in variant.levels)}, for both sessions. `schedule` is a list of steps in the order in which they are "
        f"sent, each a tuple of the session (`'ana'`, `'ben'`), what it does, and the numbers for it, as in\n\n```python\n[{lines}]\n```\n\n| action | SQL |\n|---|---|\n{known}\n\n"
        f"PostgreSQL's answer to this one:\n\n| level | |\n|---|---|\n{outcomes}\n\n"
        f"The function is asked of {len(variant.pairs)} other pairs of programs, {ORDERS} orders each, at the three levels, and of the same ones with other numbers, drawn in each check; what is right is what the engine does. It reckons with its arguments and asks no database. Each session "
        f"runs one transaction.{' Where a session has to wait, its further steps are held back until it goes on. There are no deadlocks.' if waiting(variant) else ' Nobody has to wait.'}"
    )


EXERCISE = register(
    Exercise(
        id="isolation-levels",
        lab="03_isolation",
        number=1,
        title="What a level does",
        kind="R",
        declares="value",
        points=4,
        core=True,
        minutes=12,
        answer=f"a function, def {SIGNATURE}",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "From which moment is what a statement sees: when it was sent, when its transaction began, when its transaction first looked? Is it the same at each level?",
            lambda variant: "Go through the steps once, and keep as plain data what is committed, what each session has written and not committed, and what each has seen first. "
            "The example differs from level to level only where it has to: explain each difference, or why there is none, before you write the rule.",
            lambda variant: variant.nearly,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "begin": "The snapshot is taken at BEGIN.",
            "dirty": "READ UNCOMMITTED reads what is not committed.",
            "one-view": "A transaction sees one state of the database, at every level.",
            "repeats-only": "Repeatable read repeats what was read, and what is read first is up to date.",
            "phantoms": "Repeatable read allows phantoms, as the standard says.",
            "last-wins": "Who writes last wins, at every level.",
            "weak-refuses": "Read committed refuses a transaction whose row somebody else has changed.",
            "suffices": "Repeatable read is serializable.",
            "no-more": "Serializable refuses what repeatable read refuses, and no more.",
            "one-sided": "Serializable refuses whoever has read what somebody else has changed.",
            "two-phase": "Serializable makes transactions wait for one another.",
            "readers-wait": "Readers wait for writers.",
            "share-excludes": "A locked row is locked for everybody.",
            "rolled-back": "Whatever ends a transaction, ROLLBACK too, lets the others see what it wrote.",
            "by-heart": "Who knows these schedules by heart knows the rule.",
            "lock-reads-old": "FOR UPDATE reads what a SELECT would read, and locks it.",
        },
    )
)  # fmt: skip
