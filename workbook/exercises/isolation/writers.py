"""Two writers of one row: the programs of ana and ben, some of which lose an update, and some of which cannot.

    kind                 what is sent                                         a change is lost
    plain                SELECT, UPDATE to :seen - 3                          of either
    one atomic           ana: UPDATE to on_hand - 3; ben as above             of ana, never of ben
    late lock            SELECT, SELECT FOR UPDATE, UPDATE to :seen - 3       of either
    lock                 SELECT FOR UPDATE, UPDATE to :seen - 3               of nobody
    ...

A kind is a pattern, and a world is a table with the row that both change. What each kind loses is said nowhere: it is measured, in every
order (`lost.losing`), and `because` says why.

    >>> bank("atomic", STOCK).ben
    ('BEGIN', 'UPDATE stock SET on_hand = on_hand - 4 WHERE product_id = 40', 'COMMIT')
    >>> bank("two requests", STOCK).turns("ana")
    4

Source: PostgreSQL's manual, 13.2 "Transaction Isolation", 13.3 "Explicit Locking". Left out: constraints, which refuse what the row may not
become, whoever writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

SESSIONS = ("ana", "ben")
RC, RR = "read committed", "repeatable read"


@dataclass(frozen=True)
class World:
    """A table with one row that matters, and what each session changes about it: an end of `column = ...`."""

    setup: str
    table: str
    key: str
    column: str
    ana: str
    ben: str
    what: str

    def change(self, session: str) -> str:
        return self.ana if session == "ana" else self.ben


@dataclass(frozen=True)
class Pair:
    """The programs of ana and ben, BEGIN and COMMIT included, and the level of each; what a colleague `says` of them;
    `because`, why it loses or holds; the `belief` of somebody who finds no order where there is one, and the `question`
    to ask then ('' where there is none)."""

    world: World
    says: str
    ana: tuple[str, ...]
    ben: tuple[str, ...]
    levels: tuple[str, str]
    because: str
    belief: str = ""
    question: str = ""

    def program(self, session: str) -> tuple[str, ...]:
        return self.ana if session == "ana" else self.ben

    def turns(self, session: str) -> int:
        """How many turns a session has: BEGIN is sent together with the statement behind it."""
        return sum(statement != "BEGIN" for statement in self.program(session))


STOCK = World(
    "CREATE TABLE stock (product_id int PRIMARY KEY, on_hand int NOT NULL);\nINSERT INTO stock VALUES (40, 10)",
    "stock", "product_id = 40", "on_hand", "- 3", "- 4",
    "Ten lamps are on hand; ana takes three of them, ben four",
)  # fmt: skip
ACCOUNT = World(
    "CREATE TABLE account (account_id int PRIMARY KEY, euros int NOT NULL);\nINSERT INTO account VALUES (7, 100)",
    "account", "account_id = 7", "euros", "+ 50", "- 20",
    "100 euros are on the account; ana pays 50 in, ben draws 20",
)  # fmt: skip
RATING = World(
    "CREATE TABLE rating (talk_id int PRIMARY KEY, points int NOT NULL);\nINSERT INTO rating VALUES (5, 30)",
    "rating", "talk_id = 5", "points", "+ 5", "+ 3",
    "A talk has 30 points; ana gives it five more, ben three",
)  # fmt: skip
PAGE = World(
    "CREATE TABLE product (product_id int PRIMARY KEY, euros int NOT NULL, title text NOT NULL);\n"
    "INSERT INTO product VALUES (40, 20, 'Lamp')",
    "product", "product_id = 40", "euros, title", "25", "'Desk lamp'",
    "A product costs 20 euros and is called `Lamp`; ana sets the price to 25, ben the title to `Desk lamp`",
)  # fmt: skip

READ = "SELECT {column} AS seen FROM {table} WHERE {key}"
PUT = "UPDATE {table} SET {column} = :seen {change} WHERE {key}"
ADD = "UPDATE {table} SET {column} = {column} {change} WHERE {key}"
PAGE_READ = "SELECT euros AS seen_euros, title AS seen_title FROM {table} WHERE {key}"
PAGE_PUT = {
    "ana": "UPDATE product SET euros = 25, title = :seen_title WHERE product_id = 40",
    "ben": "UPDATE product SET euros = :seen_euros, title = 'Desk lamp' WHERE product_id = 40",
}


@dataclass(frozen=True)
class Kind:
    """A pair before its world is known; `lines` of both, or of ben where they differ from ana's."""

    says: str
    because: str
    belief: str
    question: str
    lines: tuple[str, ...]
    bens: tuple[str, ...] = ()
    levels: tuple[str, str] = (RC, RC)


WHO_WAS_THERE = "What may have become of the row between the statement that looks at it and the one that writes it?"
PLAIN = ("BEGIN", READ, PUT, "COMMIT")
KINDS = {
    "plain": Kind(
        "It runs in a transaction.",
        "BEGIN keeps nobody out between the reading and the writing.",
        "begin", WHO_WAS_THERE, PLAIN,
    ),
    "autocommit": Kind(
        "Each statement is atomic by itself.",
        "What was read is old as soon as somebody else has written, with BEGIN and without.",
        "statement", WHO_WAS_THERE, (READ, PUT),
    ),
    "repeatable": Kind(
        "The same, one level up.",
        "At repeatable read the second writer of a row is refused with 40001 as soon as the first has committed: there is an error, and no loss.",
        "", "", PLAIN, levels=(RR, RR),
    ),
    "one level": Kind(
        "The one with the important change runs at repeatable read: ben.",
        "A level protects its own transaction from writing over others, and not from being written over: ana's session at read committed compares nothing.",
        "my-level", "Whom does ben's level refuse: ben, or somebody who writes over him?", PLAIN, levels=(RC, RR),
    ),
    "atomic": Kind(
        "The database does the sum.",
        "An UPDATE that had to wait looks at the row again, and works on what it finds there.",
        "", "", ("BEGIN", ADD, "COMMIT"),
    ),
    "subquery": Kind(
        "One statement, so nobody comes in between.",
        "An UPDATE that had to wait looks again at the row that it writes, and at nothing else: the subquery keeps what it saw when the statement began.",
        "one-statement", "When the UPDATE has waited and looks at its row again, from which moment is the number that its subquery gave?",
        ("BEGIN", "UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE {key}) {change} WHERE {key}", "COMMIT"),
    ),
    "with": Kind(
        "The reading and the writing are one statement.",
        "What WITH reads is of the statement's beginning; only the row that is written is looked at again after the wait.",
        "one-statement", "When the UPDATE has waited and looks at its row again, from which moment is the number that WITH gave?",
        ("BEGIN", "WITH now AS (SELECT {column} FROM {table} WHERE {key})\n  UPDATE {table} SET {column} = now.{column} {change} FROM now WHERE {key}", "COMMIT"),
    ),
    "with lock": Kind(
        "One statement, and what it reads it locks.",
        "FOR UPDATE waits inside WITH, and hands on the row as it is when the lock is had.",
        "", "",
        ("BEGIN", "WITH now AS (SELECT {column} FROM {table} WHERE {key} FOR UPDATE)\n  UPDATE {table} SET {column} = now.{column} {change} FROM now WHERE {key}", "COMMIT"),
    ),
    "lock": Kind(
        "What is read is locked.",
        "The second reader waits for the lock, and then reads what the first has left.",
        "", "", ("BEGIN", READ + " FOR UPDATE", PUT, "COMMIT"),
    ),
    "share lock": Kind(
        "What is read is locked, but readers do not wait for one another.",
        "Both may share the lock, and then each waits for the other one to give it up: a deadlock, in which one is refused with 40P01. That is no mend to be proud of, and no loss either.",
        "", "", ("BEGIN", READ + " FOR SHARE", PUT, "COMMIT"),
    ),
    "key lock": Kind(
        "What is read is locked, with the lock that is cheapest.",
        "FOR KEY SHARE only keeps the row from being deleted and its key from being changed: an UPDATE of another column goes past.",
        "any-lock", "Which statements does a FOR KEY SHARE keep waiting?", ("BEGIN", READ + " FOR KEY SHARE", PUT, "COMMIT"),
    ),
    "late lock": Kind(
        "Before it writes, it locks the row.",
        "The lock comes behind the reading: whoever gets it has a number from before in the hand.",
        "any-lock", "When the lock is had at last, how old is the number that the program has in its hand?",
        ("BEGIN", READ, "SELECT 1 FROM {table} WHERE {key} FOR UPDATE", PUT, "COMMIT"),
    ),
    "two requests": Kind(
        "What is read is locked; the form is sent with the next request.",
        "A row's lock is given back at the COMMIT of its transaction, and what the program writes later is as old as that.",
        "lock-lasts", "Until when is the row locked?",
        ("BEGIN", READ + " FOR UPDATE", "COMMIT", "BEGIN", PUT, "COMMIT"),
    ),
    "one lock": Kind(
        "ana's program locks what it reads, so ben's has to wait.",
        "A plain SELECT asks for no lock: ben reads beside ana, and may write over her. Ana has the lock when she reads, so she never writes over ben.",
        "one-side", "Which statement of ben's does ana's lock keep waiting, and which not?", ("BEGIN", READ + " FOR UPDATE", PUT, "COMMIT"), PLAIN,
    ),
    "one atomic": Kind(
        "ana's part does the sum in the database.",
        "ana's UPDATE works on what is there, so it never writes over ben's; ben puts back a number that he read before it.",
        "one-side", "Whose number may be out of date when it is written, and whose may not?", ("BEGIN", ADD, "COMMIT"), PLAIN,
    ),
    "compare": Kind(
        "It only writes if nothing has changed, and looks at the number of rows.",
        "The UPDATE compares in the same look at the row in which it writes; who comes second changes 0 rows, and knows it.",
        "", "", ("BEGIN", READ, PUT + " AND {column} = :seen", "COMMIT"),
    ),
    "advisory": Kind(
        "One at a time: whoever wants to change it takes a lock first.",
        "The lock is taken before anything is read, and is given back with the COMMIT.",
        "", "", ("BEGIN", "SELECT pg_advisory_xact_lock(40)", READ, PUT, "COMMIT"),
    ),
    "late advisory": Kind(
        "One at a time: whoever wants to write takes a lock first.",
        "The lock comes behind the reading: whoever gets it has a number from before in the hand.",
        "any-lock", "When the lock is had at last, how old is the number that the program has in its hand?",
        ("BEGIN", READ, "SELECT pg_advisory_xact_lock(40)", PUT, "COMMIT"),
    ),
    "whole row": Kind(
        "The form is loaded, one field is changed, the form is saved; ana and ben change different fields.",
        "What is saved is the whole row: ana's title is the one that she read, and ben's price is.",
        "other-columns", "What does the UPDATE write into the column that its user has not touched?",
        ("BEGIN", PAGE_READ, PAGE_PUT["ana"], "COMMIT"), ("BEGIN", PAGE_READ, PAGE_PUT["ben"], "COMMIT"),
    ),
    "whole row repeatable": Kind(
        "The form as before, one level up.",
        "The second who writes the row, whichever columns, is refused with 40001 at repeatable read: there is an error, and no loss.",
        "", "",
        ("BEGIN", PAGE_READ, PAGE_PUT["ana"], "COMMIT"), ("BEGIN", PAGE_READ, PAGE_PUT["ben"], "COMMIT"), levels=(RR, RR),
    ),
    "own columns": Kind(
        "Only the field that was changed is saved.",
        "Who comes second waits, and then changes its own column in the row as it is.",
        "", "",
        ("BEGIN", PAGE_READ, "UPDATE product SET euros = 25 WHERE {key}", "COMMIT"),
        ("BEGIN", PAGE_READ, "UPDATE product SET title = 'Desk lamp' WHERE {key}", "COMMIT"),
    ),
    "form in two requests": Kind(
        "The row is locked while the form is loaded.",
        "A row's lock is given back at the COMMIT of its transaction, and the form that is saved later is as old as that.",
        "lock-lasts", "Until when is the row locked?",
        ("BEGIN", PAGE_READ + " FOR UPDATE", "COMMIT", "BEGIN", PAGE_PUT["ana"], "COMMIT"),
        ("BEGIN", PAGE_READ + " FOR UPDATE", "COMMIT", "BEGIN", PAGE_PUT["ben"], "COMMIT"),
    ),
}  # fmt: skip


@cache
def bank(kind: str, world: World) -> Pair:
    """A kind's programs in a world."""
    found = KINDS[kind]

    def written(lines: tuple[str, ...], session: str) -> tuple[str, ...]:
        said = {"table": world.table, "key": world.key, "column": world.column, "change": world.change(session)}
        return tuple(line.format(**said) for line in lines)

    ana, ben = written(found.lines, "ana"), written(found.bens or found.lines, "ben")
    return Pair(world, found.says, ana, ben, found.levels, found.because, found.belief, found.question)
