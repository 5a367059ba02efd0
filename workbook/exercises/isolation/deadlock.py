"""Programs that deadlock, and the smallest change after which they never do, and still go past each other where they may.

    ann   account 1 ──── account 2 ?               ann   account 1 ──── account 2 ──── ...
              ▲              │                                ▲
              │ ?            ▼                                │ ? waits, and then goes on
    ben   account 2 ──── account 1                 ben   account 1

Who takes locks in one order for all never closes a circle. What is in order is not always seen: an UPDATE of several rows takes them one
by one, in the order in which its plan meets them; a foreign key's look is a lock that a later statement may want stronger; a key that is not there
yet is waited for, too. The judge plays each program beside itself in every order, and beside work that shares nothing, where nobody may wait: one
big lock ends all deadlocks, and all concurrency. Where one statement takes several locks it is stopped half-way, by a third session that holds a row.

An ORDER BY inside an UPDATE binds nothing: the plan may join by a hash, and meet the rows as they stand in the table. It is refuted by plans that
differ: a large basket beside a small one, a table with statistics, a row that is changed (and stands last from then on) between two beginnings.
SELECT ... ORDER BY ... FOR UPDATE does bind: its plan locks above the sort. A CTE or a subquery that locks is never merged into what reads it, and an
UPDATE that joins with it comes to no row that it has not given; so the order is the CTE's, whatever the join.

    >>> [sorted(variant.given) for variant in VARIANTS][3:5]
    [['take'], ['refund', 'sell']]

Sources: PostgreSQL 18's manual, "Explicit Locking", "Deadlocks", and SELECT, "The Locking Clause"; Coffman, Elphick and Shoshani, "System
Deadlocks", 1971. Left out: to let them happen and to try again, which is right as well where they are rare.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Recipe
from workbook.engines.running import TOKEN, split
from workbook.exercises.isolation.trial import (
    Outcome,
    Rule,
    Trial,
    control,
    ends,
    kept,
    stage,
    statements,
    tried,
    understood,
)
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.schedules import Program, Run, Schedule, ScheduleTimeout, Step

LIMIT = 70
"""So many orders of two transactions of three statements there are; of longer ones, so many are drawn."""
APART_LIMIT = 20
"""So many, and the serial ones, tell whether calls that share nothing wait: one lock in common shows in most of them."""
FEW = 8
"""So many, and the serial ones, of each further pair."""
GIVES_UP = re.compile(r"\s*SET\s+(LOCAL\s+|SESSION\s+)?\w*_timeout\b", re.I)
SHARE = re.compile(r"\bFOR\s+(KEY\s+)?SHARE\b", re.I)
NOTICED = "20ms"
"""After so long one of three looks for a deadlock, and then it is always this one that is sacrificed."""
CLIENTS = ("ann", "ben", "cleo", "dan")
Values = Mapping[str, Any]
Call = tuple[str, Values]
Pair = tuple[Call, Call]


@dataclass(frozen=True)
class Stop:
    """A statement stopped half-way: what a third session has `held` while the calls of the `pair` begin, what a fourth one has `moved`
    until the second begins, and what was `done` to the world before; whom it refutes."""

    held: str
    pair: Pair
    belief: str = "all-at-once"
    moved: str = ""
    done: str = ""


@dataclass(frozen=True)
class Variant:
    """The world, the programs `given` by their names; pairs of calls that meet (`crossed`, of which the first deadlocks), pairs that
    share nothing (`apart`), what a third session holds while two crossed calls begin (`held`, '' where no statement takes several locks),
    further `stops`, and more than two calls that close a `circle`, where there are such."""

    story: str
    setup: str
    given: Mapping[str, str]
    crossed: tuple[Pair, ...]
    apart: tuple[Pair, ...]
    right: Mapping[str, str]
    because: str
    question: str
    belief: str
    held: str = ""
    stops: tuple[Stop, ...] = ()
    circle: tuple[Call, ...] = ()

    __hash__ = object.__hash__


def _calls(name: str, one: Values, two: Values) -> Pair:
    return (name, one), (name, two)


def _thrice(name: str, roles: str, values: str, more: Values) -> Pair:
    """Two calls with values for three roles each: `_thrice("pay", "payer seller courier", "1 2 3, 3 2 1", {})`."""
    one, two = (
        {
            role: int(value) if value.isdigit() else value
            for role, value in zip(roles.split(), each.split(), strict=True)
        }
        for each in values.split(", ")
    )
    return (name, {**one, **more}), (name, {**two, **more})


def _sell(item: int, till: int, cents: int) -> Call:
    return "sell", {"item": item, "till": till, "cents": cents}


def _refund(item: int, till: int, cents: int) -> Call:
    return "refund", {"item": item, "till": till, "cents": cents}


_ACCOUNTS = """CREATE TABLE accounts (account int PRIMARY KEY, cents int NOT NULL);
INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, 9) i;"""
_PAY = "UPDATE accounts SET cents = cents - :cents WHERE account = :payer"
_EARN = "UPDATE accounts SET cents = cents + :cents / 2 WHERE account = :{who}"
_ROLES, _PAGES = "payer seller courier", "first second third"
_UPSERT = "INSERT INTO visits VALUES (:{page}, 1) ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1"

SCHEDULE = (
    "To see what two sessions do to one another, write their statements down in the order of the turns, each session with its BEGIN, with values in place of the names:\n\n```python\n"
    'run(Schedule.read("""\nsetup:\n    CREATE TABLE ...; INSERT INTO ...\nann: BEGIN\nben: BEGIN\nann: UPDATE ...\nben: UPDATE ...\nann: COMMIT\nben: COMMIT\n"""))\n```'
)
"""How to play two sessions, for the task."""

VARIANTS = (
    Variant(
        "A payer pays, a seller and a courier get half each. Each of the three may be any account",
        _ACCOUNTS,
        {"pay": f"{_PAY};\n{_EARN.format(who='seller')};\n{_EARN.format(who='courier')}"},
        (_thrice("pay", _ROLES, "1 2 3, 3 2 1", {"cents": 40}), _thrice("pay", _ROLES, "3 4 9, 4 3 8", {"cents": 90}),
         _thrice("pay", _ROLES, "1 3 4, 4 3 2", {"cents": 10})),
        (_thrice("pay", _ROLES, "1 2 3, 6 5 4", {"cents": 40}), _thrice("pay", _ROLES, "1 2 4, 3 6 8", {"cents": 40})),
        {"pay": "SELECT FROM accounts WHERE account IN (:payer, :seller, :courier) ORDER BY account FOR NO KEY UPDATE;\n"
                f"{_PAY};\n{_EARN.format(who='seller')};\n{_EARN.format(who='courier')}"},
        "All three accounts are locked at the start, in the order of their numbers, whoever plays which part. After that each has what it needs, or waits without holding what the other one waits for.",
        "Which rows does each of the two hold at that moment, and in which order would neither hold what the other one wants next?",
        "by-lock-only",
        "SELECT FROM accounts WHERE account = 2 FOR NO KEY UPDATE",
        (Stop("SELECT FROM accounts WHERE account = 2 FOR NO KEY UPDATE", _thrice("pay", _ROLES, "1 2 3, 8 1 3", {"cents": 20}), "order-inside",
              "UPDATE accounts SET cents = cents + 5 WHERE account = 1", "ANALYZE accounts"),),
    ),
    Variant(
        "A seat of a trip is sold, if there is one",
        """CREATE TABLE trips (trip int PRIMARY KEY, seats int NOT NULL);
INSERT INTO trips VALUES (1, 1), (2, 5), (3, 1);
CREATE TABLE tickets (ticket int PRIMARY KEY, trip int NOT NULL);""",
        {"sell": "SELECT seats FROM trips WHERE trip = :trip FOR SHARE;\n"
                 "INSERT INTO tickets SELECT :ticket, trip FROM trips WHERE trip = :trip AND seats > 0;\n"
                 "UPDATE trips SET seats = seats - 1 WHERE trip = :trip AND seats > 0"},
        (_calls("sell", {"trip": 1, "ticket": 10}, {"trip": 1, "ticket": 11}), _calls("sell", {"trip": 2, "ticket": 20}, {"trip": 2, "ticket": 31})),
        (_calls("sell", {"trip": 2, "ticket": 10}, {"trip": 3, "ticket": 11}), _calls("sell", {"trip": 1, "ticket": 10}, {"trip": 3, "ticket": 12}),
         _calls("sell", {"trip": 1, "ticket": 10}, {"trip": 2, "ticket": 12})),
        {"sell": "SELECT seats FROM trips WHERE trip = :trip FOR NO KEY UPDATE;\n"
                 "INSERT INTO tickets SELECT :ticket, trip FROM trips WHERE trip = :trip AND seats > 0;\n"
                 "UPDATE trips SET seats = seats - 1 WHERE trip = :trip AND seats > 0"},
        "Who will write takes the lock of a writer at once. FOR SHARE is held by both, and then each wants more than the other one's share allows.",
        "Both hold the same row. Which lock on it goes together with its like, and which will each of them want next?",
        "upgrade",
        stops=(Stop("SELECT FROM trips WHERE trip = 1 FOR SHARE", _calls("sell", {"trip": 1, "ticket": 10}, {"trip": 1, "ticket": 11}), "upgrade"),),
    ),
    Variant(
        "A line is added to an order, whose sum is kept in the order",
        """CREATE TABLE orders (order_id int PRIMARY KEY, cents int NOT NULL);
INSERT INTO orders VALUES (1, 0), (2, 0), (3, 0);
CREATE TABLE lines (line int PRIMARY KEY, order_id int NOT NULL REFERENCES orders, cents int NOT NULL);""",
        {"add": "INSERT INTO lines VALUES (:line, :order, :cents);\n"
                "SELECT cents FROM orders WHERE order_id = :order FOR UPDATE;\n"
                "UPDATE orders SET cents = (SELECT sum(l.cents) FROM lines l WHERE l.order_id = :order) WHERE order_id = :order"},
        (_calls("add", {"order": 1, "line": 10, "cents": 5}, {"order": 1, "line": 11, "cents": 7}),
         _calls("add", {"order": 3, "line": 20, "cents": 8}, {"order": 3, "line": 31, "cents": 2})),
        (_calls("add", {"order": 2, "line": 10, "cents": 5}, {"order": 3, "line": 11, "cents": 7}), _calls("add", {"order": 1, "line": 10, "cents": 5}, {"order": 3, "line": 12, "cents": 7}),
         _calls("add", {"order": 1, "line": 10, "cents": 5}, {"order": 2, "line": 12, "cents": 7})),
        {"add": "INSERT INTO lines VALUES (:line, :order, :cents);\n"
                "SELECT cents FROM orders WHERE order_id = :order FOR NO KEY UPDATE;\n"
                "UPDATE orders SET cents = (SELECT sum(l.cents) FROM lines l WHERE l.order_id = :order) WHERE order_id = :order"},
        "The INSERT has locked the order FOR KEY SHARE, by its foreign key, and FOR UPDATE is more than that goes together with. FOR NO KEY UPDATE excludes its like, and lets the "
        "shares of the foreign key be; to lock the order before the INSERT is as good.",
        "The first statement names no lock and no order. Which row has it locked all the same, and how?",
        "foreign-keys-look",
    ),
    Variant(
        "The items of a basket are taken from the stock, in one statement. Baskets may overlap in part, and be of any size; the stock grows and is changed",
        """CREATE TABLE stock (item int PRIMARY KEY, pieces int NOT NULL);
INSERT INTO stock SELECT i, 50 FROM generate_series(1, 300) i;""",
        {"take": "UPDATE stock SET pieces = pieces - 1 FROM unnest(:items::int[]) AS wanted(item) WHERE stock.item = wanted.item"},
        (_calls("take", {"items": [30, 70, 90]}, {"items": [90, 70, 30]}), _calls("take", {"items": [30, 70, 90, 99]}, {"items": [95, 90, 70, 20]})),
        (_calls("take", {"items": [30, 70, 90]}, {"items": [95, 75, 35]}), _calls("take", {"items": [30, 70, 90]}, {"items": [130, 170, 290]})),
        {"take": "SELECT FROM stock WHERE item = ANY (:items::int[]) ORDER BY item FOR NO KEY UPDATE;\n"
                 "UPDATE stock SET pieces = pieces - 1 FROM unnest(:items::int[]) AS wanted(item) WHERE stock.item = wanted.item"},
        "One statement locks its rows one after the other, as its plan meets them: in the order of the basket, of a hash, of the table, as the planner likes. UPDATE knows no ORDER BY, and an order in its subquery "
        "or its array binds no plan. What binds: SELECT ... ORDER BY ... FOR NO KEY UPDATE, in front or in a CTE that the UPDATE reads; an INSERT of sorted rows; advisory locks, one an item, taken sorted.",
        "In which order does the plan of this one statement come to its rows?",
        "all-at-once",
        "SELECT FROM stock WHERE item = 70 FOR NO KEY UPDATE",
        (Stop("SELECT FROM stock WHERE item = 101 FOR NO KEY UPDATE", _calls("take", {"items": [30, 80, *range(101, 119)]}, {"items": [80, 30]}), "order-inside",
              done="UPDATE stock SET pieces = 50 WHERE item = 30"),
         Stop("SELECT FROM stock WHERE item = 80 FOR NO KEY UPDATE", _calls("take", {"items": [30, 80, 130]}, {"items": [30, 130]}), "order-inside",
              "UPDATE stock SET pieces = pieces + 1 WHERE item = 30", "ANALYZE stock")),
    ),
    Variant(
        "Something is sold at a till, or taken back; two teams have written the two",
        """CREATE TABLE stock (item int PRIMARY KEY, pieces int NOT NULL);
INSERT INTO stock VALUES (1, 50), (2, 50), (3, 50);
CREATE TABLE tills (till int PRIMARY KEY, cents int NOT NULL);
INSERT INTO tills VALUES (1, 0), (2, 0), (3, 0);""",
        {"sell": "UPDATE stock SET pieces = pieces - 1 WHERE item = :item;\nUPDATE tills SET cents = cents + :cents WHERE till = :till",
         "refund": "UPDATE tills SET cents = cents - :cents WHERE till = :till;\nUPDATE stock SET pieces = pieces + 1 WHERE item = :item"},
        ((_sell(1, 1, 500), _refund(1, 1, 300)), (_refund(1, 1, 300), _refund(1, 1, 200)), (_sell(2, 2, 400), _sell(2, 2, 700)), (_refund(2, 1, 300), _refund(2, 3, 200)),
         (_sell(3, 2, 400), _sell(1, 2, 700)), (_sell(2, 3, 400), _refund(2, 1, 250))),
        ((_sell(1, 1, 500), _refund(2, 2, 300)), (_sell(1, 2, 500), _sell(3, 1, 200)), (_sell(1, 1, 500), _refund(3, 3, 100)), (_refund(2, 1, 500), _refund(3, 2, 100))),
        {"sell": "UPDATE stock SET pieces = pieces - 1 WHERE item = :item;\nUPDATE tills SET cents = cents + :cents WHERE till = :till",
         "refund": "UPDATE stock SET pieces = pieces + 1 WHERE item = :item;\nUPDATE tills SET cents = cents - :cents WHERE till = :till"},
        "Each of the two is right alone. The order is a matter of all programs that touch the two tables, and only one of them has to change.",
        "Which table does each of the two go to first?",
        "mine-is-right",
        stops=(Stop("SELECT FROM stock WHERE item = 1 FOR NO KEY UPDATE", (_sell(1, 1, 500), _refund(1, 1, 300))),
               Stop("SELECT FROM stock WHERE item = 1 FOR NO KEY UPDATE", (_refund(1, 1, 300), _sell(1, 1, 500)))),
        circle=(_sell(1, 1, 500), _refund(2, 1, 300), _sell(2, 2, 200), _refund(1, 2, 100)),
    ),
    Variant(
        "A visitor has seen three pages, and the visits are counted. A page that nobody has seen has no row yet",
        """CREATE TABLE visits (page text PRIMARY KEY, visits int NOT NULL);
INSERT INTO visits VALUES ('home', 7);""",
        {"count": ";\n".join(_UPSERT.format(page=page) for page in ("first", "second", "third"))},
        (_thrice("count", _PAGES, "a b c, c b a", {}), _thrice("count", _PAGES, "a b c, b a h", {}), _thrice("count", _PAGES, "a c d, d c b", {})),
        (_thrice("count", _PAGES, "a b c, f e d", {}), _thrice("count", _PAGES, "a c e, k i g", {})),
        {"count": "INSERT INTO visits SELECT page, 1 FROM unnest(ARRAY[:first, :second, :third]) AS page ORDER BY page\n"
                  "ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1"},
        "A row that is not there cannot be locked beforehand; whoever inserts a key waits for another one who is inserting it. What is left is the order of the inserts: sorted.",
        "No row was there to be locked. What does an INSERT wait for, and what decides in which order the keys are inserted?",
        "only-rows",
        "INSERT INTO visits VALUES ('b', 1) ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1",
        (Stop("INSERT INTO visits VALUES ('c', 1) ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1", _thrice("count", _PAGES, "a b c, a b d", {}), "order-inside"),),
    ),
)  # fmt: skip


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict):
        return f"The answer is a dict, each program's name to its SQL as text; this is {type(answer).__name__}."
    for name, sql in answer.items():
        if not isinstance(name, str) or not (text := written(sql)):
            return f"The programs are texts of SQL (or lists of statements) by their names; {name!r:.40} is {type(sql).__name__}."
        if not split(text):
            return f"The program {name!r:.40} is empty."
    return "" if answer else "The dict is empty: name each program."


def written(sql: Any) -> str:
    """A program as one text: it may be handed in as a list of its statements. '' where it is neither.

    >>> written(["SELECT 1", "SELECT 2 -- two"])
    'SELECT 1\\n;\\nSELECT 2 -- two'
    """
    if isinstance(sql, str):
        return sql or " "
    if isinstance(sql, list | tuple) and all(isinstance(one, str) for one in sql):
        return "\n;\n".join(sql) or " "
    return ""


def odd(sql: str, names: Collection[str], what: str) -> Finding | None:
    """The finding on a program (`what` names it) that sets a time to give up, controls its transaction, or has a `:name` that is none of
    `names`; None where it does nothing of the kind."""
    for one in split(sql):
        if GIVES_UP.match(one):
            return Finding(
                False, f"{what} says `{' '.join(one.split())[:60]}`: whoever has waited so long gives up, and is aborted.",
                "To give up is not to mend: everybody commits, whoever has to wait, waits, and the settings of the session stay.",
                "Who would send again what was given up, and what would it meet then?", "fails-instead",
            )  # fmt: skip
    if refused := control(sql, what):
        return refused
    found = [token.group(2) for one in split(sql) for token in TOKEN.finditer(one) if token.group(2)]
    unknown = next((name for name in found if name not in names), "")
    if not unknown:
        return None
    return Finding(
        False, f"{what} says `:{unknown}`, and there is no such value.",
        f"The names are {', '.join(f'`:{name}`' for name in names)}.", "Which of them is meant?",
    )  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The world, to try on."""
    return Recipe(f"for isolation-deadlock: {variant.story[:40]}", variant.setup)


def program(variant: Variant, sql: Mapping[str, str], calls: Sequence[Call]) -> Program:
    """Calls beside one another."""
    sessions = {
        client: tuple(Step(client, one) for one in statements(sql[name], values))
        for client, (name, values) in zip(CLIENTS, calls, strict=False)
    }
    return Program(" beside ".join(name for name, _ in calls), variant.setup, sessions)


def pairs(variant: Variant) -> list[tuple[Pair, bool, int]]:
    """The pairs of calls, whether they share nothing, and how many of their orders are played: those that meet, then the others."""
    crossed = [(pair, False, FEW if place else LIMIT) for place, pair in enumerate(variant.crossed)]
    return crossed + [(pair, True, FEW if place else APART_LIMIT) for place, pair in enumerate(variant.apart)]


@cache
def wanted(variant: Variant) -> list[list[dict[str, Any]]]:
    """What is left after the calls of each pair, one after the other, of the programs as they were given."""
    serial = [tried(program(variant, variant.given, pair), limit=1).serial for pair, _, _ in pairs(variant)]
    return [[dict(one.run.final) for one in outcomes] for outcomes in serial]


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    if set(answer) != set(variant.given):
        return Judgement(0.0, (_names(answer, variant),))
    sql = {name: written(one) for name, one in answer.items()}
    for name, text in sql.items():
        known = next(values for called, values in itertools.chain(*variant.crossed) if called == name)
        if refused := odd(text, known, f"`{name}`"):
            return Judgement(0.0, (refused,))
    shown: list[Finding] = []
    played = 0
    for (pair, apart, limit), left in zip(pairs(variant), wanted(variant), strict=True):
        trial = tried(program(variant, sql, pair), limit=limit)
        findings, pictures = kept(trial, *rules(apart, pair, variant, left, trial))
        if not all(finding.ok for finding in findings):
            wrong = [finding for finding in findings if not finding.ok]
            return Judgement(0.0, (*wrong, *shown), tuple(pictures))
        played += len(trial.outcomes)
        shown += [finding for finding in findings[2:] if finding.seen not in [one.seen for one in shown]]
    for looked in [*[stalled] * bool(variant.held or variant.stops), *[closed] * bool(variant.circle)]:
        finding, run = looked(sql, variant)
        if not finding.ok:
            return Judgement(0.0, (finding, *shown), (run.picture,) if run else ())
        shown.append(finding)
    shown.append(
        Finding(True, f"Played: {played} orders of {len(pairs(variant))} pairs of calls, with other values each.")
    )
    return Judgement(1.0, tuple(shown))


def _names(answer: Mapping[str, str], variant: Variant) -> Finding:
    told = " and ".join(f"`{name}`" for name in variant.given)
    said = [f"`{name}` is missing" for name in variant.given if name not in answer]
    said += [f"`{name:.30}` is none of the programs" for name in sorted(set(answer) - set(variant.given))]
    return Finding(
        False, f"{', '.join(said)}.", f"A dict with {told}, no more and no less.", "What are the programs of the task called?"
    )  # fmt: skip


def rules(apart: bool, pair: Pair, variant: Variant, left: list[dict[str, Any]], trial: Trial) -> list[Rule]:
    """What is asked of two calls beside one another: of calls that share nothing (`apart`), of others."""
    (first, ours), (second, theirs) = pair
    same = Rule(
        lambda outcome: "" if dict(outcome.run.final) in left else "other rows are left than the programs as given leave, one after the other",
        "The same work is done as before.", "The same rows as after one call, then the other.",
        "What did the programs do that they do not do now, or what did the other one do in between?", "less-is-mended",
    )  # fmt: skip
    if apart:
        waits = Rule(
            _waits, "Calls that share nothing wait for nothing.",
            f"`{first}` ({_told(ours)}) and `{second}` ({_told(theirs)}) touch different rows, and go past each other.",
            "Which lock do the two have in common, though they touch no common row?", "one-big-lock",
        )  # fmt: skip
        return [ends, understood, waits, same]
    question, belief = variant.question, variant.belief
    if belief not in ("upgrade", "foreign-keys-look") and _shared(trial):
        question, belief = (
            "Which lock do both hold on one row at that moment, and which one do they want next?",
            "upgrade",
        )
    dead = Rule(
        lambda outcome: "the two deadlock, and one is aborted with 40P01" if "40P01" in _codes(outcome) else "",
        f"No deadlock of `{first}` and `{second}`.",
        f"No order of `{first}` ({_told(ours)}) beside `{second}` ({_told(theirs)}) ends in a deadlock.", question, belief,
    )  # fmt: skip
    failing = Rule(
        lambda outcome: f"a call is aborted with {_codes(outcome)[0]}" if _codes(outcome) else "",
        "Nobody is aborted.", "Every call commits: whoever cannot have a lock waits for it.",
        "Who would have to send the call again, and what would it meet then?", "fails-instead",
    )  # fmt: skip
    return [ends, understood, dead, failing, same]


def every(trial: Trial) -> str:
    """`all of 70 orders`, or `each of 72 orders drawn from 252`."""
    count = len(trial.outcomes)
    return f"all of {count} orders" if count == trial.of else f"each of {count} orders drawn from {trial.of:,}"


def _shared(trial: Trial) -> bool:
    """Whether a lock that goes with its like was asked for in the first deadlock: then both hold it, and want a stronger one."""
    dead = next((one for one in trial.outcomes if "40P01" in _codes(one)), None)
    return dead is not None and any(SHARE.search(step.sql) for step in dead.run.schedule.steps)


def _codes(outcome: Outcome) -> list[str]:
    return [code for client in outcome.run.outcomes if (code := outcome.failed(client))]


def _waits(outcome: Outcome) -> str:
    for event in outcome.run.waits:
        said = " ".join(outcome.run.step(event).sql.split())
        return f"`{said[:50]}{' ...' if len(said) > 50 else ''}` waits for `{event.waits_for[0]}` ({event.waits_on})"
    return ""


def stalled(answer: Mapping[str, str], variant: Variant) -> tuple[Finding, Run | None]:
    """Calls that begin while a clerk holds what they need: where one statement takes several locks, it is stopped half-way."""
    crossed = [Stop(variant.held, pair) for pair in variant.crossed] if variant.held else []
    for stop in (*crossed, *variant.stops):
        sessions = program(variant, answer, stop.pair).sessions
        clerk = _opened("clerk", stop.held)
        mover = _opened("mover", stop.moved) if stop.moved else ()
        first = (*clerk[:2], *mover[:2], *_noticing(sessions["ann"]), *mover[2:])
        run = _run("and a clerk", variant, (*first, *sessions["ben"], *clerk[2:]), stop.done)
        if run is None or any(outcome.startswith("aborted") for outcome in run.outcomes.values()):
            return _half_way(stop, variant) if run else _wedged("a third session that holds one row for a while"), run
    return Finding(True, "No deadlock either where each statement is stopped half-way by a third session."), None


def _opened(session: str, sql: str) -> tuple[Step, ...]:
    return tuple(Step(session, one) for one in ("BEGIN", sql, "COMMIT"))


def closed(answer: Mapping[str, str], variant: Variant) -> tuple[Finding, Run | None]:
    """The calls of the `circle` side by side: the first statement of each, the second of each, and so on."""
    sessions = program(variant, answer, variant.circle).sessions
    sent = [_noticing(steps) if client == CLIENTS[0] else steps for client, steps in sessions.items()]
    rounds = (step for turn in itertools.zip_longest(*sent) for step in turn if step is not None)
    run = _run("", variant, tuple(rounds))
    told = ", ".join(f"`{name}` ({_told(values)})" for name, values in variant.circle)
    if run is None:
        return _wedged(f"{told} side by side"), None
    if not any(outcome.startswith("aborted") for outcome in run.outcomes.values()):
        return Finding(True, f"No deadlock of four: {told}."), None
    return Finding(
        False,
        f"Any two of them come to an end. Four of them close a circle, each with a statement in turn: {told}; each waits for the next one, and the last one for the first.",
        "No circle of two, and none of more.",
        "Each has one thing and waits for another one: in which order would all of them have to take the two?", "pairs-suffice",
    ), run  # fmt: skip


def _noticing(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps of a session that is the first to look for a deadlock."""
    begin, *rest = steps
    return (begin, Step(begin.session, f"SET LOCAL deadlock_timeout = '{NOTICED}'", "patience"), *rest)


def _run(title: str, variant: Variant, steps: Sequence[Step], done: str = "") -> Run | None:
    """The steps in this order, in a world to which something was done before; None where they come to no end."""
    bare = tuple(Step(step.session, step.sql) for step in steps)
    try:
        return stage().run(Schedule(title, f"{variant.setup}\n{done}".strip(), bare), "read committed")
    except ScheduleTimeout:
        return None


def _half_way(stop: Stop, variant: Variant) -> Finding:
    (first, ours), (second, theirs) = stop.pair
    if stop.belief == "order-inside":
        before = f"After `{stop.done}` a" if stop.done else "A"
        moved = f"a fourth one, which had run `{stop.moved}`, commits, " if stop.moved else ""
        elsewhere = (
            "; a row that was changed stands elsewhere in its table" if stop.moved or "UPDATE" in stop.done else ""
        )
        return Finding(
            False,
            f"{before} third session holds one row (`{stop.held}`), `{first}` ({_told(ours)}) begins, {moved}`{second}` ({_told(theirs)}) begins, and the third commits. "
            f"Then the two deadlock: their plans have met the rows in different orders{elsewhere}.",
            "No deadlock, whatever the plan: for few rows and many, with statistics and without, for rows that were changed.",
            "Which part of the statement says in which order rows are locked, and which order is the planner's to choose?", stop.belief,
        )  # fmt: skip
    upgrade = stop.belief == "upgrade"
    return Finding(
        False,
        f"A third session holds one row (`{stop.held}`) while `{first}` ({_told(ours)}) and `{second}` ({_told(theirs)}) begin, and commits. Then the two deadlock, although each "
        f"statement stands alone: it has taken {'one lock' if upgrade else 'some of its rows'}, and waits for the next.",
        "No deadlock, however long a statement takes to come by its rows.",
        variant.question if upgrade else VARIANTS[3].question, stop.belief,
    )  # fmt: skip


def _wedged(beside: str) -> Finding:
    seen = f"With {beside} the sessions come to no end, and were cancelled."
    return Finding(False, seen, ends.expected, ends.question)


def brief(variant: Variant) -> str:
    given = "\n\n".join(f"**{name}**\n\n```sql\n{sql};\n```" for name, sql in variant.given.items())
    names = ", ".join(f'"{name}": "..."' for name in variant.given)
    (first, ours), (second, theirs) = variant.crossed[0]
    judged = ["each program beside itself, with these values and others"]
    judged += ["the two beside one another, and four at a time"] * bool(variant.circle)
    judged += ["beside a third session that holds one of the rows for a while"] * bool(variant.held or variant.stops)
    listed = "\n".join(f"- {one}" for one in judged)
    return (
        f"{variant.story}.\n\n```sql\n{variant.setup}\n```\n\n{given}\n\nEach runs between BEGIN and COMMIT at READ COMMITTED, with values for `:name`. Now and then two of them deadlock: `{first}` with {_told(ours)} and `{second}` with {_told(theirs)}, for one.\n\n"
        f"Mend it: hand in `{{{names}}}`, the statements without BEGIN and COMMIT, with the same names; each is one text, its statements separated by `;`, or a list of statements. It is run in many orders:\n\n{listed}\n\nIn each of them:\n\n"
        "- No deadlock, and nobody aborted for any other reason.\n- The same work: what is left is what the programs leave as they are, one after the other.\n- Two calls that touch different rows **never wait** for each other.\n\n"
        f'`engine = practice("isolation-deadlock")` gives you the tables. {SCHEDULE}'
    )


def _told(values: Values) -> str:
    """The values of a call; of a long list its beginning."""
    return ", ".join(
        f"{name} {f'{str(value[:4])[:-1]}, and {len(value) - 4} more]' if isinstance(value, list) and len(value) > 6 else value}"
        for name, value in values.items()
    )


EXERCISE = register(
    Exercise(
        id="isolation-deadlock",
        lab="03_isolation",
        number=5,
        title="Remove the deadlocks",
        kind="P",
        declares="value",
        points=3,
        core=True,
        minutes=8,
        answer="a dict, each program's name to its statements as text",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Draw the two calls of the task side by side, and write at each statement which lock it takes, a foreign key's look and a key that is inserted among them. Where does each stop?",
            lambda variant: "A circle needs two who hold one thing and want another one. Let all take what they need in one order that they can all compute (a number, a name, a table before the other), "
            "and as strongly as they will need it, from the first time on.",
            lambda variant: variant.because,
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} One big lock would do, too, and everybody would wait for everybody. What would change it: locks whose order cannot be known beforehand, as when one row names the next; there "
            "one lets deadlocks happen, and sends the transaction again after 40P01."
        ),
        misconceptions={
            "by-lock-only": "Only who locks explicitly can deadlock.",
            "upgrade": "The weak lock first, and the strong one when it is needed: that is the careful way.",
            "foreign-keys-look": "An INSERT locks nothing but its own row.",
            "all-at-once": "One statement takes its locks all at once.",
            "order-inside": "What is in order inside a statement (a subquery, an array, a GROUP BY) is locked in that order.",
            "mine-is-right": "A program that is right by itself takes part in no deadlock.",
            "pairs-suffice": "Where no two can deadlock, nobody can.",
            "only-rows": "Where there is no row yet, there is nothing to wait for.",
            "one-big-lock": "One big lock is the safest mend.",
            "fails-instead": "To fail at once is better than to wait.",
            "less-is-mended": "What no longer deadlocks is mended.",
        },
    )
)  # fmt: skip
