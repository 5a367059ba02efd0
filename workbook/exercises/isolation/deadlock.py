"""Programs that deadlock, and the smallest change after which they never do, and still go past each other where they may.

    ann   account 1 ──── account 2 ?               ann   account 1 ──── account 2 ──── ...
              ▲              │                                ▲
              │ ?            ▼                                │ ? waits, and then goes on
    ben   account 2 ──── account 1                 ben   account 1

Who takes locks in one order for all never closes a circle. What is in order is not always seen: an UPDATE of several rows takes them one
by one, in the order in which its plan meets them; a foreign key's look is a lock that a later statement may want stronger; a key that is not there
yet is waited for, too. The judge plays each program beside itself in every order, with a third session that holds the middle row where
one statement takes several, and beside work that shares nothing, where nobody may wait: one big lock ends all deadlocks, and all concurrency.

    >>> [sorted(variant.given) for variant in VARIANTS][3:5]
    [['take'], ['refund', 'sell']]

Source: PostgreSQL 18's manual, "Explicit Locking", "Deadlocks"; Coffman, Elphick and Shoshani, "System Deadlocks", 1971. Left out: to let them
happen and to try again, which is right as well where they are rare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Recipe
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
NOTICED = "20ms"
"""After so long one of three looks for a deadlock, and then it is always this one that is sacrificed."""
Values = Mapping[str, Any]
Call = tuple[str, Values]
Pair = tuple[Call, Call]


@dataclass(frozen=True)
class Variant:
    """The world, the programs `given` by their names; pairs of calls that deadlock (`crossed`), a pair that shares nothing
    (`apart`), and what a third session holds while two calls begin (`held`, '' where no statement takes several locks)."""

    story: str
    setup: str
    given: Mapping[str, str]
    crossed: tuple[Pair, ...]
    apart: Pair
    right: Mapping[str, str]
    because: str
    question: str
    belief: str
    held: str = ""

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


_ACCOUNTS = """CREATE TABLE accounts (account int PRIMARY KEY, cents int NOT NULL);
INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, 9) i;"""
_PAY = "UPDATE accounts SET cents = cents - :cents WHERE account = :payer"
_EARN = "UPDATE accounts SET cents = cents + :cents / 2 WHERE account = :{who}"
_ROLES, _PAGES = "payer seller courier", "first second third"
_UPSERT = "INSERT INTO visits VALUES (:{page}, 1) ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1"

VARIANTS = (
    Variant(
        "A payer pays, a seller and a courier get half each. Each of the three may be any account",
        _ACCOUNTS,
        {"pay": f"{_PAY};\n{_EARN.format(who='seller')};\n{_EARN.format(who='courier')}"},
        (_thrice("pay", _ROLES, "1 2 3, 3 2 1", {"cents": 40}), _thrice("pay", _ROLES, "1 2 3, 2 1 8", {"cents": 40})),
        _thrice("pay", _ROLES, "1 2 3, 6 5 4", {"cents": 40}),
        {"pay": "SELECT FROM accounts WHERE account IN (:payer, :seller, :courier) ORDER BY account FOR NO KEY UPDATE;\n"
                f"{_PAY};\n{_EARN.format(who='seller')};\n{_EARN.format(who='courier')}"},
        "All three rows are locked at the start, in the order of their numbers, whoever plays which part. After that each has what it needs, or waits without holding what the other one waits for.",
        "Which rows does each of the two hold at that moment, and in which order would neither hold what the other one wants next?",
        "by-lock-only",
        "SELECT FROM accounts WHERE account = 2 FOR UPDATE",
    ),
    Variant(
        "A seat of a trip is sold, if there is one",
        """CREATE TABLE trips (trip int PRIMARY KEY, seats int NOT NULL);
INSERT INTO trips VALUES (1, 1), (2, 5), (3, 1);
CREATE TABLE tickets (ticket int PRIMARY KEY, trip int NOT NULL);""",
        {"sell": "SELECT seats FROM trips WHERE trip = :trip FOR SHARE;\n"
                 "INSERT INTO tickets SELECT :ticket, trip FROM trips WHERE trip = :trip AND seats > 0;\n"
                 "UPDATE trips SET seats = seats - 1 WHERE trip = :trip AND seats > 0"},
        (_calls("sell", {"trip": 1, "ticket": 10}, {"trip": 1, "ticket": 11}),),
        _calls("sell", {"trip": 2, "ticket": 10}, {"trip": 3, "ticket": 11}),
        {"sell": "SELECT seats FROM trips WHERE trip = :trip FOR NO KEY UPDATE;\n"
                 "INSERT INTO tickets SELECT :ticket, trip FROM trips WHERE trip = :trip AND seats > 0;\n"
                 "UPDATE trips SET seats = seats - 1 WHERE trip = :trip AND seats > 0"},
        "Who will write takes the lock of a writer at once. FOR SHARE is held by both, and then each wants more than the other one's share allows.",
        "Both hold the same row. Which lock on it goes together with its like, and which will each of them want next?",
        "upgrade",
    ),
    Variant(
        "A line is added to an order, whose sum is kept in the order",
        """CREATE TABLE orders (order_id int PRIMARY KEY, cents int NOT NULL);
INSERT INTO orders VALUES (1, 0), (2, 0), (3, 0);
CREATE TABLE lines (line int PRIMARY KEY, order_id int NOT NULL REFERENCES orders, cents int NOT NULL);""",
        {"add": "INSERT INTO lines VALUES (:line, :order, :cents);\n"
                "SELECT cents FROM orders WHERE order_id = :order FOR UPDATE;\n"
                "UPDATE orders SET cents = (SELECT sum(l.cents) FROM lines l WHERE l.order_id = :order) WHERE order_id = :order"},
        (_calls("add", {"order": 1, "line": 10, "cents": 5}, {"order": 1, "line": 11, "cents": 7}),),
        _calls("add", {"order": 2, "line": 10, "cents": 5}, {"order": 3, "line": 11, "cents": 7}),
        {"add": "INSERT INTO lines VALUES (:line, :order, :cents);\n"
                "SELECT cents FROM orders WHERE order_id = :order FOR NO KEY UPDATE;\n"
                "UPDATE orders SET cents = (SELECT sum(l.cents) FROM lines l WHERE l.order_id = :order) WHERE order_id = :order"},
        "The INSERT has locked the order FOR KEY SHARE, by its foreign key, and FOR UPDATE is more than that goes together with. FOR NO KEY UPDATE excludes its like, and lets the "
        "shares of the foreign key be; to lock the order before the INSERT is as good.",
        "The first statement names no lock and no order. Which row has it locked all the same, and how?",
        "foreign-keys-look",
    ),
    Variant(
        "The items of a basket are taken from the stock, in one statement",
        """CREATE TABLE stock (item int PRIMARY KEY, pieces int NOT NULL);
INSERT INTO stock SELECT i, 50 FROM generate_series(1, 3000) i;
ANALYZE stock;""",
        {"take": "UPDATE stock SET pieces = pieces - 1 FROM unnest(:items::int[]) AS wanted(item) WHERE stock.item = wanted.item"},
        (_calls("take", {"items": [30, 70, 90]}, {"items": [90, 70, 30]}),),
        _calls("take", {"items": [30, 70, 90]}, {"items": [95, 75, 35]}),
        {"take": "SELECT FROM stock WHERE item = ANY (:items::int[]) ORDER BY item FOR NO KEY UPDATE;\n"
                 "UPDATE stock SET pieces = pieces - 1 FROM unnest(:items::int[]) AS wanted(item) WHERE stock.item = wanted.item"},
        "One statement locks its rows one after the other, as its plan meets them: here, in the order of the basket. UPDATE knows no ORDER BY; a SELECT with FOR NO KEY UPDATE in front does.",
        "In which order does the plan of this one statement come to its rows?",
        "all-at-once",
        "SELECT FROM stock WHERE item = 70 FOR UPDATE",
    ),
    Variant(
        "Something is sold at a till, or taken back; two teams have written the two",
        """CREATE TABLE stock (item int PRIMARY KEY, pieces int NOT NULL);
INSERT INTO stock VALUES (1, 50), (2, 50);
CREATE TABLE tills (till int PRIMARY KEY, cents int NOT NULL);
INSERT INTO tills VALUES (1, 0), (2, 0);""",
        {"sell": "UPDATE stock SET pieces = pieces - 1 WHERE item = :item;\nUPDATE tills SET cents = cents + :cents WHERE till = :till",
         "refund": "UPDATE tills SET cents = cents - :cents WHERE till = :till;\nUPDATE stock SET pieces = pieces + 1 WHERE item = :item"},
        ((("sell", {"item": 1, "till": 1, "cents": 500}), ("refund", {"item": 1, "till": 1, "cents": 300})),),
        (("sell", {"item": 1, "till": 1, "cents": 500}), ("refund", {"item": 2, "till": 2, "cents": 300})),
        {"sell": "UPDATE stock SET pieces = pieces - 1 WHERE item = :item;\nUPDATE tills SET cents = cents + :cents WHERE till = :till",
         "refund": "UPDATE stock SET pieces = pieces + 1 WHERE item = :item;\nUPDATE tills SET cents = cents - :cents WHERE till = :till"},
        "Each of the two is right alone. The order is a matter of all programs that touch the two tables, and only one of them has to change.",
        "Which table does each of the two go to first?",
        "mine-is-right",
    ),
    Variant(
        "A visitor has seen three pages, and the visits are counted. A page that nobody has seen has no row yet",
        """CREATE TABLE visits (page text PRIMARY KEY, visits int NOT NULL);
INSERT INTO visits VALUES ('home', 7);""",
        {"count": ";\n".join(_UPSERT.format(page=page) for page in ("first", "second", "third"))},
        (_thrice("count", _PAGES, "a b c, c b a", {}), _thrice("count", _PAGES, "a b c, b a h", {})),
        _thrice("count", _PAGES, "a b c, f e d", {}),
        {"count": "INSERT INTO visits SELECT page, 1 FROM unnest(ARRAY[:first, :second, :third]) AS page ORDER BY page\n"
                  "ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1"},
        "A row that is not there cannot be locked beforehand; whoever inserts a key waits for another one who is inserting it. What is left is the order of the inserts: sorted.",
        "No row was there to be locked. What does an INSERT wait for, and what decides in which order the keys are inserted?",
        "only-rows",
        "INSERT INTO visits VALUES ('b', 1) ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1",
    ),
)  # fmt: skip


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict):
        return f"The answer is a dict, each program's name to its SQL as text; this is {type(answer).__name__}."
    for name, sql in answer.items():
        if not isinstance(name, str) or not isinstance(sql, str):
            return f"The programs are texts of SQL by their names; {name!r:.40} is {type(sql).__name__}."
        if not sql.strip():
            return f"The program {name!r:.40} is empty."
    return "" if answer else "The dict is empty: name each program."


def recipe(variant: Variant) -> Recipe:
    """The world, to try on."""
    return Recipe(f"for isolation-deadlock: {variant.story[:40]}", variant.setup)


def program(variant: Variant, sql: Mapping[str, str], calls: Sequence[Call]) -> Program:
    """Two calls beside one another."""
    sessions = {
        client: tuple(Step(client, one) for one in statements(sql[name], values))
        for client, (name, values) in zip(("ann", "ben"), calls, strict=True)
    }
    return Program(f"{calls[0][0]} beside {calls[1][0]}", variant.setup, sessions)


def pairs(variant: Variant) -> list[Pair]:
    """The pairs of calls: those that deadlock, then the one that shares nothing."""
    return [*variant.crossed, variant.apart]


@cache
def wanted(variant: Variant) -> list[list[dict[str, Any]]]:
    """What is left after the calls of each pair, one after the other, of the programs as they were given."""
    serial = [tried(program(variant, variant.given, pair), limit=1).serial for pair in pairs(variant)]
    return [[dict(one.run.final) for one in outcomes] for outcomes in serial]


def judge(answer: dict[str, str], variant: Variant) -> Judgement:
    if set(answer) != set(variant.given):
        return Judgement(0.0, (_names(answer, variant),))
    for name, sql in answer.items():
        if refused := control(sql, f"`{name}`"):
            return Judgement(0.0, (refused,))
    shown: list[Finding] = []
    for pair, left in zip(pairs(variant), wanted(variant), strict=True):
        trial = tried(program(variant, answer, pair), limit=APART_LIMIT if pair is variant.apart else LIMIT)
        findings, pictures = kept(trial, *rules(pair is variant.apart, variant, trial, left))
        if not all(finding.ok for finding in findings):
            wrong = [finding for finding in findings if not finding.ok]
            return Judgement(0.0, (*wrong, *shown), tuple(pictures))
        shown += [finding for finding in findings[2:] if finding.seen not in [one.seen for one in shown]]
    if variant.held:
        finding, run = stalled(answer, variant)
        if not finding.ok:
            return Judgement(0.0, (finding, *shown), (run.picture,) if run else ())
        shown.append(finding)
    return Judgement(1.0, tuple(shown))


def _names(answer: Mapping[str, str], variant: Variant) -> Finding:
    told = " and ".join(f"`{name}`" for name in variant.given)
    return Finding(
        False, f"The answer names {', '.join(f'`{name:.30}`' for name in sorted(answer))}.", f"A dict with {told}, no more and no less.",
        "What are the programs of the task called?",
    )  # fmt: skip


def rules(apart: bool, variant: Variant, trial: Trial, left: list[dict[str, Any]]) -> list[Rule]:
    """What is asked of two calls beside one another: of calls that share nothing (`apart`), of others."""
    orders = every(trial)
    same = Rule(
        lambda outcome: "" if dict(outcome.run.final) in left else "other rows are left than the programs as given leave, one after the other",
        f"The same work is done as before, in {orders}.", "The same rows as after one call, then the other.",
        "What did the programs do that they do not do now, or what did the other one do in between?", "less-is-mended",
    )  # fmt: skip
    if apart:
        waits = Rule(
            _waits, f"Calls that share nothing wait for nothing, in {orders}.", "Two calls that touch different rows go past each other.",
            "Which lock do the two have in common, though they touch no common row?", "one-big-lock",
        )  # fmt: skip
        return [ends, understood, waits, same]
    dead = Rule(
        lambda outcome: "the two deadlock, and one is aborted with 40P01" if "40P01" in _codes(outcome) else "",
        f"No deadlock, in {orders} of two calls that met in one before.", "No order ends in a deadlock.",
        variant.question, variant.belief,
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


def _codes(outcome: Outcome) -> list[str]:
    return [code for client in outcome.run.outcomes if (code := outcome.failed(client))]


def _waits(outcome: Outcome) -> str:
    for event in outcome.run.waits:
        said = " ".join(outcome.run.step(event).sql.split())
        return f"`{said[:50]}{' ...' if len(said) > 50 else ''}` waits for `{event.waits_for[0]}` ({event.waits_on})"
    return ""


def stalled(answer: Mapping[str, str], variant: Variant) -> tuple[Finding, Run | None]:
    """Two crossed calls that begin while a clerk holds what both need in the middle: where one statement takes several locks, it
    is stopped half-way."""
    pair = program(variant, answer, variant.crossed[0])
    noticed = Step("ann", f"SET LOCAL deadlock_timeout = '{NOTICED}'", "patience")
    (begin, *rest) = pair.sessions["ann"]
    clerk = (Step("clerk", "BEGIN"), Step("clerk", variant.held))
    steps = (*clerk, begin, noticed, *rest, *pair.sessions["ben"], Step("clerk", "COMMIT"))
    bare = tuple(Step(step.session, step.sql) for step in steps)
    try:
        run = stage().run(Schedule(f"{pair.title}, and a clerk", variant.setup, bare), "read committed")
    except ScheduleTimeout as error:
        if error.run is None:
            raise
        return _wedged(), error.run
    if not any(outcome.startswith("aborted") for outcome in run.outcomes.values()):
        return Finding(True, "No deadlock either where each statement is stopped half-way by a third session."), None
    return Finding(
        False,
        f"A third session holds one row (`{variant.held}`) while both calls begin, and commits. Then the two deadlock, although each statement stands alone: it has taken some of its rows, and waits for the next.",
        "No deadlock, however long a statement takes to come by its rows.",
        VARIANTS[3].question, "all-at-once",
    ), run  # fmt: skip


def _wedged() -> Finding:
    return Finding(
        False, "With a third session that holds one row for a while the sessions come to no end, and were cancelled.", ends.expected,
        ends.question,
    )  # fmt: skip


def brief(variant: Variant) -> str:
    given = "\n\n".join(f"**{name}**\n\n```sql\n{sql};\n```" for name, sql in variant.given.items())
    names = ", ".join(f'"{name}": "..."' for name in variant.given)
    (first, ours), (second, theirs) = variant.crossed[0]
    further = ", and where a third session makes a statement stop half-way" if variant.held else ""
    return (
        f"{variant.story}.\n\n```sql\n{variant.setup}\n```\n\n{given}\n\nEach runs between BEGIN and COMMIT at READ COMMITTED, with values for `:name`. Now and then two of them deadlock: `{first}` with {_told(ours)} and `{second}` with {_told(theirs)}, for one.\n\n"
        f"Mend it with as little as you can: hand in `{{{names}}}`, the statements without BEGIN and COMMIT, with the same names. Judged with these values and others, in every order of the statements{further}:\n\n"
        "- No deadlock, and nobody aborted for any other reason.\n- The same work: what is left is what the programs leave as they are, one after the other.\n- Two calls that touch different rows **never wait** for each other.\n\n"
        '`engine = practice("isolation-deadlock")` gives you the tables, and `workbook schedule FILE` draws what two sessions do to one another.'
    )


def _told(values: Values) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


EXERCISE = register(
    Exercise(
        id="isolation-deadlock",
        lab="03_isolation",
        number=10,
        title="Remove the deadlocks",
        kind="P",
        declares="value",
        points=3,
        core=False,
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
            "mine-is-right": "A program that is right by itself takes part in no deadlock.",
            "only-rows": "Where there is no row yet, there is nothing to wait for.",
            "one-big-lock": "One big lock is the safest mend.",
            "fails-instead": "To fail at once is better than to wait.",
            "less-is-mended": "What no longer deadlocks is mended.",
        },
    )
)  # fmt: skip
