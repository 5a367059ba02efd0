"""A child's insert waits for its parent's update, and there is nothing for which it would have to.

    lock on the parent's row     who takes it                                   goes with FOR KEY SHARE
    FOR KEY SHARE                a child's INSERT, by its foreign key           yes
    FOR SHARE                    whoever says so                                yes
    FOR NO KEY UPDATE            an UPDATE that leaves the keys alone           yes
    FOR UPDATE                   DELETE, a new key, an upsert that sets one     no: the INSERT waits

A new child needs one thing of its parent: that the key stays. So a foreign key locks the parent's row FOR KEY SHARE, and an UPDATE of
anything else goes past it. Whoever locks by habit, FOR UPDATE or all that a join reads, or writes a key anew although it stays, forbids more than is
meant. The judge plays the patched transaction beside a child's insert, beside itself, beside an UPDATE of somebody who knows of no agreement, and
beside itself for another row, in every order, and looks at who waited and what is left.

    >>> [len(variant.tables) for variant in VARIANTS]
    [3, 2, 2, 3]

Source: PostgreSQL 18's manual, "Explicit Locking", table 13.3; src/backend/access/heap/README.tuplock. Left out: a parent
whose key does change, where the child has to wait; locks on whole tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Recipe
from workbook.exercises.isolation.deadlock import APART_LIMIT, FEW, SCHEDULE, every, odd, written
from workbook.exercises.isolation.trial import Outcome, Rule, Trial, ends, kept, statements, tried, understood
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.schedules import Program, Step

NAMED = ("child", "again", "anew", "writer", "other", "new")
"""The programs whose findings are told one by one; further pairs are counted."""
LOCKING = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE|KEY\s+SHARE)\b", re.I)
"""A lock on rows that is asked for by name; it chooses between questions, and decides nothing."""
LIMIT = 70
"""So many orders of two transactions of three statements there are; of longer ones, so many are drawn."""
CUSTOMERS = """CREATE TABLE customers (customer_id int PRIMARY KEY, name text NOT NULL, points int NOT NULL);
INSERT INTO customers VALUES (1, 'Ada', 10), (2, 'Ben', 20), (3, 'Cy', 30), (40, 'Dee', 40), (53, 'Eve', 50);"""
ORDERS = """CREATE TABLE orders (order_id int PRIMARY KEY, customer_id int NOT NULL{key}, cents int NOT NULL);
INSERT INTO orders VALUES (100, 1, 500), (101, 1, 900), (102, 2, 700), (103, 2, 100), (140, 3, 300), (153, 1, 200);"""
CHILD = "INSERT INTO orders VALUES (110, {}, 900)"
KEY = " REFERENCES customers"
LATE = " REFERENCES customers DEFERRABLE INITIALLY DEFERRED"


@dataclass(frozen=True)
class Variant:
    """The world's `tables` (`{key}` stands for the foreign key), the transaction `given`, the UPDATE of another `writer`, who knows of no
    agreement; the values it is judged with: `mine`, those of a second call of the same parent (`again`), the pairs of keys (`others`) of calls
    that have nothing to do with each other, which must not wait, and those of two calls for a row that is not there yet (`new`)."""

    story: str
    tables: tuple[str, ...]
    given: str
    writer: str
    mine: Mapping[str, Any]
    again: Mapping[str, Any]
    other: Mapping[str, Any]
    right: str
    question: str
    belief: str
    because: str
    key: str = KEY
    others: tuple[tuple[int, int], ...] = ((1, 3), (2, 3), (1, 40), (3, 53), (2, 40))
    new: tuple[Mapping[str, Any], ...] = ()

    __hash__ = object.__hash__

    @property
    def child(self) -> str:
        """The insert of a child of the very parent of `mine`."""
        return CHILD.format(1)

    def setup(self, linked: bool) -> str:
        """The world, with its foreign keys or without."""
        return "\n".join(table.replace("{key}", self.key if linked else "") for table in self.tables)


VARIANTS = (
    Variant(
        "Points are added to a customer, and a log keeps how many there were before. While that runs, the customer orders something, and the order has to wait",
        (CUSTOMERS, ORDERS, "CREATE TABLE log (customer_id int NOT NULL, before int NOT NULL);"),
        "SELECT points FROM customers WHERE customer_id = :customer FOR UPDATE;\n"
        "INSERT INTO log SELECT customer_id, points FROM customers WHERE customer_id = :customer;\n"
        "UPDATE customers SET points = points + :points WHERE customer_id = :customer",
        "UPDATE customers SET points = points * 2 WHERE customer_id = 1",
        {"customer": 1, "points": 5},
        {"customer": 1, "points": 7},
        {"customer": 2, "points": 3},
        "SELECT points FROM customers WHERE customer_id = :customer FOR NO KEY UPDATE;\n"
        "INSERT INTO log SELECT customer_id, points FROM customers WHERE customer_id = :customer;\n"
        "UPDATE customers SET points = points + :points WHERE customer_id = :customer",
        "What does the INSERT need to be sure of in the customer's row, and which lock leaves it just that?",
        "locks-alike",
        "FOR UPDATE announces that the key may change or the row may go. FOR NO KEY UPDATE excludes its like, so that nothing is lost between the look and the write, and goes together "
        "with the FOR KEY SHARE of a foreign key.",
    ),
    Variant(
        "Customers arrive from another system, new ones and known ones; the code that an ORM wrote sets all columns. While it runs, a known customer orders something, and the order has to wait",
        (CUSTOMERS, ORDERS),
        "INSERT INTO customers VALUES (:customer, :name, :points)\n"
        "ON CONFLICT (customer_id) DO UPDATE SET customer_id = excluded.customer_id, name = excluded.name, points = customers.points + excluded.points",
        "UPDATE customers SET points = points * 2 WHERE customer_id = 1",
        {"customer": 1, "name": "Ada L.", "points": 5},
        {"customer": 1, "name": "A. Lovelace", "points": 7},
        {"customer": 2, "name": "Benno", "points": 3},
        "INSERT INTO customers VALUES (:customer, :name, :points)\n"
        "ON CONFLICT (customer_id) DO UPDATE SET name = excluded.name, points = customers.points + excluded.points",
        "The row is locked before its new values are known: by which of the columns after SET does PostgreSQL decide how strongly?",
        "same-is-nothing",
        "An upsert locks the row before it computes the new one, and so it goes by the columns that SET names: a key among them, and the lock is FOR UPDATE, whatever the value. "
        "(A plain UPDATE compares old and new, and takes the weaker lock if the key stays.)",
        new=({"customer": 9, "name": "Zoe", "points": 1}, {"customer": 9, "name": "Zoe B.", "points": 4}),
    ),
    Variant(
        "A customer's row is written anew: the old one is deleted, the new one inserted. While that runs, the customer orders something, and the order has to wait",
        (CUSTOMERS, ORDERS),
        "WITH gone AS (DELETE FROM customers WHERE customer_id = :customer RETURNING *)\n"
        "INSERT INTO customers SELECT customer_id, :name, points + :points FROM gone",
        "UPDATE customers SET points = points * 2 WHERE customer_id = 1",
        {"customer": 1, "name": "Ada L.", "points": 5},
        {"customer": 1, "name": "A. Lovelace", "points": 7},
        {"customer": 2, "name": "Benno", "points": 3},
        "UPDATE customers SET name = :name, points = points + :points WHERE customer_id = :customer",
        "Between which two steps has the order no parent, and which statement never takes the parent away?",
        "replace-is-update",
        "A DELETE locks FOR UPDATE: the row goes, and whoever wants to refer to it has to wait and see. An UPDATE that leaves the key alone never takes the parent away.",
        key=LATE,
    ),
    Variant(
        "A line's price is added to its order, and a log keeps the sum before and the customer. While that runs, the customer orders something else, and has to wait; so does the same work on another order "
        "of this customer",
        (CUSTOMERS, ORDERS, "CREATE TABLE log (order_id int NOT NULL, name text NOT NULL, before int NOT NULL);"),
        "SELECT o.cents, c.name FROM orders o JOIN customers c USING (customer_id) WHERE o.order_id = :order FOR UPDATE;\n"
        "INSERT INTO log SELECT o.order_id, c.name, o.cents FROM orders o JOIN customers c USING (customer_id) WHERE o.order_id = :order;\n"
        "UPDATE orders SET cents = cents + :cents WHERE order_id = :order",
        "UPDATE orders SET cents = cents * 2 WHERE order_id = 100",
        {"order": 100, "cents": 5},
        {"order": 100, "cents": 7},
        {"order": 101, "cents": 3},
        "SELECT o.cents, c.name FROM orders o JOIN customers c USING (customer_id) WHERE o.order_id = :order FOR NO KEY UPDATE OF o;\n"
        "INSERT INTO log SELECT o.order_id, c.name, o.cents FROM orders o JOIN customers c USING (customer_id) WHERE o.order_id = :order;\n"
        "UPDATE orders SET cents = cents + :cents WHERE order_id = :order",
        "The query reads of two tables. Rows of which are locked, and which of them does this transaction write?",
        "locks-alike",
        "A lock behind a join locks the rows of every table in it. OF o names the one that is written; the customer is only read, and nobody has to wait for that.",
        others=((100, 102), (101, 102), (100, 140), (102, 153), (101, 153)),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """What a program is to leave behind: the tables after each serial order of the transaction as it was given."""

    program: Program
    left: tuple[Mapping[str, Any], ...]

    def right(self, outcome: Outcome) -> bool:
        return dict(outcome.run.final) in [dict(one) for one in self.left]


def accepts(answer: Any) -> str:
    """'' for a text of SQL, or a list of its statements, else a sentence."""
    return accepts_sql(written(answer) or answer)


def recipe(variant: Variant) -> Recipe:
    """The world, to try on."""
    return Recipe(f"for isolation-parent: {variant.story[:40]}", variant.setup(True))


def programs(variant: Variant, sql: str) -> dict[str, Program]:
    """The answer beside a child's insert, beside itself, beside itself for another row, and alone for further values."""

    def steps(client: str, values: Mapping[str, Any]) -> tuple[Step, ...]:
        return tuple(Step(client, one) for one in statements(sql, values))

    linked, loose = variant.setup(True), variant.setup(False)
    made = {
        "child": Program(
            "", linked, {"update": steps("update", variant.mine), "child": (Step("child", variant.child),)}
        ),
        "stranger": Program(
            "Beside a child of another parent",
            linked,
            {"update": steps("update", variant.mine), "child": (Step("child", CHILD.format(3)),)},
        ),
        "again": Program(
            "Twice for the same row", loose, {"one": steps("one", variant.mine), "two": steps("two", variant.again)}
        ),
        "writer": Program(
            "Beside another writer",
            loose,
            {"update": steps("update", variant.mine), "writer": (Step("writer", variant.writer),)},
        ),
        "other": Program(
            "For two rows", loose, {"one": steps("one", variant.mine), "two": steps("two", variant.other)}
        ),
    }
    for one, two in variant.others:
        key = next(iter(variant.mine))
        first, second = {**variant.mine, key: one}, {**variant.other, key: two}
        made[f"{one} {two}"] = Program(
            f"For {one} and {two}", loose, {"one": steps("one", first), "two": steps("two", second)}
        )
    if variant.new:
        zoe, again = variant.new
        made["new"] = Program("For a row that is not there", loose, {"update": steps("update", zoe)})
        made["anew"] = Program(
            "Twice for a row that is not there", loose, {"one": steps("one", zoe), "two": steps("two", again)}
        )
    return made


@cache
def wanted(variant: Variant) -> dict[str, World]:
    """What the transaction as it was given leaves behind, one client after the other."""
    found = {}
    for name, program in programs(variant, variant.given).items():
        found[name] = World(program, tuple(one.run.final for one in tried(program, limit=1).serial))
    return found


def judge(answer: Any, variant: Variant) -> Judgement:
    sql = written(answer)
    if refused := odd(sql, tuple(variant.mine), "The answer"):
        return Judgement(0.0, (refused,))
    worlds = wanted(variant)
    findings: list[Finding] = []
    for name, program in programs(variant, sql).items():
        trial = tried(program, limit={"other": APART_LIMIT}.get(name, LIMIT if name in NAMED else FEW))
        found, pictures = kept(trial, *rules(name, variant, trial, worlds[name]))
        if name in NAMED:
            findings += found[2:]  # that each statement runs, and that each order ends, is worth no word if it is so
        if not all(finding.ok for finding in found):
            wrong = [finding for finding in found if not finding.ok]
            return Judgement(0.0, (*wrong, *(finding for finding in findings if finding.ok)), tuple(pictures))
    further = f"Nor does anybody wait beside the child of another parent, or in further pairs of rows: {len(variant.others)} were tried."
    findings.append(Finding(True, further))
    return Judgement(1.0, tuple(findings))


def rules(name: str, variant: Variant, trial: Trial, world: World) -> list[Rule]:
    """What is asked of one of the programs."""
    orders = every(trial)
    found = [ends, understood, _failing(name, trial), _same(name, trial, world)]
    if name in ("child", "stranger"):
        found.insert(2, Rule(
            _waits, f"Neither waits for the other, in {orders}.",
            "The insert goes past, wherever it falls, and so does the update.", variant.question, variant.belief,
        ))  # fmt: skip
    elif name not in ("again", "anew", "writer", "new"):
        found.insert(2, Rule(
            _waits, f"Work on another row goes past, in {orders}.",
            f"Two that have nothing to do with each other go past each other{_keys(name)}.",
            "Which rows, or which one thing, do both of them lock?", "one-for-all",
        ))  # fmt: skip
    return found


def _keys(name: str) -> str:
    return "" if name in NAMED else f", here {name.replace(' ', ' and ')}"


def _same(name: str, trial: Trial, world: World) -> Rule:
    orders = every(trial)
    alone = any(not world.right(one) for one in trial.serial)
    question, belief = _lead(name, trial, world, alone)
    return Rule(
        lambda outcome: "" if world.right(outcome) else "other rows are left than the transaction as it was given leaves"
        + (", even if nobody else is there" if alone else ""),
        {"child": f"Beside a child's insert the same rows are left as before, in {orders}.",
         "again": f"Two calls for the same row come out as one after the other, in {orders}.",
         "anew": f"So do two calls for the same new row, in {orders}.",
         "writer": f"Beside another writer it comes out as one after the other, in {orders}.",
         "other": f"Two calls for other rows come out rightly, in {orders}.",
         "new": "Where there is no such row, one is made."}.get(name, "Two calls for other rows come out rightly."),
        "The same work as before, and nothing lost where two do it at the same time.",
        question, belief,
    )  # fmt: skip


def _lead(name: str, trial: Trial, world: World, alone: bool) -> tuple[str, str]:
    """The question, and the belief, where other rows are left: by who had to wait in the first such order, and at which statement."""
    if alone:
        return (
            "Run it twice, one after the other, with other values than those you have seen: what was written before, and what is now?",
            "these-values",
        )
    wrong = next((one for one in trial.outcomes if not world.right(one)), None)
    if wrong is not None and any(LOCKING.search(wrong.run.step(event).sql) for event in wrong.run.waits):
        return "It waited for the lock, had it, and went on: from which moment is what it has read?", "lock-refreshes"
    if name == "writer":
        return "Which lock does the other writer's UPDATE wait for, and does it ask for yours?", "only-mine"
    if wrong is not None and any(LOCKING.search(step.sql) for step in wrong.run.schedule.steps):
        return (
            "Between the first look at the row and the last write: what does the lock keep out, and from when on?",
            "any-lock",
        )
    return "What may another transaction change between the first look at the row and the last write?", "no-lock"


def _failing(name: str, trial: Trial) -> Rule:
    met = {
        "child": "beside a child's insert",
        "stranger": "beside the insert of another parent's child",
        "writer": "beside another writer",
        "again": "in two calls for the same row",
        "anew": "in two calls for a row that is not there yet",
        "new": "where the row is new",
    }
    where = met.get(name, "in two calls for other rows")
    deadlock = any("40P01" in _failed(one) for one in trial.outcomes)
    question, belief = (
        "Who would have to send the transaction again, and is that written in the answer?",
        "fails-instead",
    )
    if any("23505" in _failed(one) for one in trial.outcomes):
        question, belief = (
            "At the moment when the second one looks for the row, where is the first one's?",
            "look-first",
        )
    if deadlock:
        question, belief = (
            "Which lock do both hold at that moment, and which one does each of them want next?",
            "upgrade",
        )
    return Rule(
        lambda outcome: f"{failed} ({where})" if (failed := _failed(outcome)) else "",
        f"Nobody is aborted {where}.",
        "Every transaction commits: whoever cannot have a lock waits for it, and two that wait do not wait for each other.",
        question, belief,
    )  # fmt: skip


def _failed(outcome: Outcome) -> str:
    for client in outcome.run.outcomes:
        if code := outcome.failed(client):
            return f"a transaction is aborted with {code}"
    return ""


def _waits(outcome: Outcome) -> str:
    """Who waits for whom, on what, in the first wait of an order."""
    for event in outcome.run.waits:
        step = outcome.run.step(event)
        said = " ".join(step.sql.split())
        return f"`{said[:50]}{' ...' if len(said) > 50 else ''}` waits for `{event.waits_for[0]}` ({event.waits_on})"
    return ""


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}.\n\n```sql\n{variant.setup(True)}\n```\n\nThe transaction, between BEGIN and COMMIT at READ COMMITTED (`:name` stands for values; it is judged with several):\n\n```sql\n"
        f"{variant.given};\n```\n\nThe child's insert: `{variant.child}`. Another program, which writes, too: `{variant.writer}`. Both stay as they are.\n\n"
        "Hand in the mended statements, with the same names, as one text separated by `;`. In every order:\n\n"
        f"- The child's insert and the transaction do not wait for each other.\n- The same work is done as before; two calls for the same row{', or for the same new one' if variant.new else ''}, or one and the other program, come out as one after the other, and nobody is aborted."
        "\n- The same call for another row waits for nothing.\n\n"
        f'`engine = practice("isolation-parent")` gives you the tables. {SCHEDULE}'
    )


EXERCISE = register(
    Exercise(
        id="isolation-parent",
        lab="03_isolation",
        number=6,
        title="A child does not wait for its parent",
        kind="P",
        declares="value",
        points=3,
        core=True,
        minutes=6,
        answer="the statements of the transaction as text, without BEGIN and COMMIT",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "A foreign key makes an INSERT look at its parent. What must not happen to the parent until the child has committed, and what may?",
            lambda variant: "There are four locks on a row, and a table in the manual says which go together (Explicit Locking). Which is the strongest that lets FOR KEY SHARE past "
            "and still excludes its like, and what in the transaction asks for a stronger one?",
            lambda variant: variant.because,
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} Before PostgreSQL 9.3 there was no FOR KEY SHARE, and every child waited. What would change it: a key that does change, the deletion of the parent, a unique column of the parent that is "
            "updated (any unique index that a foreign key could refer to counts as key). InnoDB knows only shared and exclusive locks on a row: there, a child's insert waits for any update of its parent."
        ),
        misconceptions={
            "locks-alike": "A lock on a row is a lock on a row: FOR UPDATE is the one for an update.",
            "same-is-nothing": "To set a column to the value that it has is to leave it alone.",
            "replace-is-update": "To delete a row and insert it anew is an UPDATE in two words.",
            "only-mine": "A lock that my program takes keeps all the others out.",
            "no-lock": "What must not wait needs no lock.",
            "any-lock": "A row that is locked is safe, whichever lock it is and whenever it is taken.",
            "lock-refreshes": "Whoever has the lock has read what is there now.",
            "look-first": "Whoever has looked, and found no row, may insert it.",
            "upgrade": "The weak lock first, and the strong one when it is needed: that is the careful way.",
            "these-values": "What is right for the values of the task is right.",
            "fails-instead": "Whoever fails at once does not wait.",
            "one-for-all": "One lock for all is the simple way.",
        },
    )
)  # fmt: skip
