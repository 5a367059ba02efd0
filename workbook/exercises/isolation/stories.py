"""Stories of two clients and a rule that must hold: what each of them sends, and the orders that break the rule at each level.

    story      two clients, a rule           read committed   repeatable read   serializable
    views      a counter, counted up              holds             holds            holds
    sums       a report of two reads              broken            holds            holds
    duty       somebody stays on duty             broken            broken           holds
    form       shown, then saved                  broken            broken           broken    two transactions: no level knows

What a client remembers from one statement to the next stands in a variable of its session: `set_config('my.seen', ...)` keeps it, and
`current_setting('my.seen')` is what the program calls `seen`. A client sends a transaction again that ended with 40001 or 40P01, until it
is through, and the rule is asked of what is left then, and of what was read.

    >>> sorted({story.level for story in STORIES.values()}), len(STORIES)
    (['none', 'read committed', 'repeatable read', 'serializable'], 15)
    >>> trial = at(STORIES["duty"], "repeatable read")
    >>> sum(bool(STORIES["duty"].broken(one)) for one in trial.outcomes), len(trial.outcomes)
    (18, 20)

A rule may hold although the transactions are as good as no serial order (`views` at read committed: the number that was shown is old). Sources:
Berenson and others, "A Critique of ANSI SQL Isolation Levels", 1995; PostgreSQL 18's manual, "Transaction Isolation". Left out: stories of three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from workbook.exercises.isolation.trial import Outcome, Trial, tried, world
from workbook.schedules import Program

LEVELS = ("read committed", "repeatable read", "serializable")
NONE = "none"
TRIES = 4


@dataclass(frozen=True)
class Story:
    """What two clients do, and the `rule`; `broken` says of an outcome how the rule is broken ('' where it holds). `level`: the
    lowest that suffices. `belief`: the key of the belief that leads to the next lower one. `because`: why it is so."""

    key: str
    told: str
    rule: str
    setup: str
    clients: Mapping[str, Sequence[str]] = field(hash=False)
    broken: Callable[[Outcome], str] = field(hash=False)
    level: str
    belief: str
    because: str

    @property
    def program(self) -> Program:
        return world(self.setup, self.clients, title=self.told)

    @property
    def lower(self) -> str:
        """The next lower level; '' where there is none."""
        places = (*LEVELS, NONE)
        return lower(places[places.index(self.level)])


def lower(level: str) -> str:
    """The next lower level of PostgreSQL; below `none` stands the highest; '' below the lowest."""
    places = ("", *LEVELS, NONE)
    return places[places.index(level) - 1]


@cache
def at(story: Story, level: str) -> Trial:
    """Every order of a story at a level, with clients that try again."""
    return tried(story.program, level, tries=TRIES)


def breaking(story: Story, level: str) -> tuple[Outcome, str] | None:
    """The first order that breaks the rule at a level, and how; None where the rule holds in all."""
    return next(((one, how) for one in at(story, level).outcomes if (how := fault(story, one))), None)


def fault(story: Story, outcome: Outcome) -> str:
    """How an outcome breaks the rule: a client that never gets through does, too."""
    if outcome.stuck:
        return "the sessions come to no end"
    if code := next((code for name in outcome.run.outcomes if (code := outcome.failed(name))), ""):
        return f"a client gives up with {code} after {TRIES} tries"
    return story.broken(outcome)


def _only(table: str, column: str, wanted: int, said: str) -> Callable[[Outcome], str]:
    """A rule: the rows of a table have this sum in a column."""

    def broken(outcome: Outcome) -> str:
        found = sum(row[column] for row in outcome.rows(table))
        return "" if found == wanted else said.format(found)

    return broken


def _sums(outcome: Outcome) -> str:
    found = sum(value for name in ("T1.2", "T1.3") for row in outcome.saw(name) for value in row)
    return "" if found == 100 else f"the report has read {found} cents in all, where there are always 100"


def _one_sum(outcome: Outcome) -> str:
    found = [row[0] for row in outcome.saw("T1.2")]
    return "" if found == [100] else f"the report has read {found} cents, where there are always 100"


def _listed(outcome: Outcome) -> str:
    (count,), rows = outcome.saw("T1.2")[0], outcome.saw("T1.3")
    return "" if count == len(rows) else f"the page says {count} orders, and lists {len(rows)}"


def _kept(outcome: Outcome) -> str:
    jobs = sorted(row["job_id"] for table in ("job", "archive") for row in outcome.rows(table))
    gone = [job for job in (1, 2, 3) if job not in jobs]
    twice = [job for job in (1, 2, 3) if jobs.count(job) > 1]
    return f"job {gone[0]} is in neither table" if gone else f"job {twice[0]} is in both tables" if twice else ""


def _duty(outcome: Outcome) -> str:
    return "" if any(row["on_call"] for row in outcome.rows("doctor")) else "nobody is on call"


def _covered(outcome: Outcome) -> str:
    total = sum(row["cents"] for row in outcome.rows("account"))
    return "" if total >= 0 else f"the two accounts have {total} cents together"


def _hours(outcome: Outcome) -> str:
    total = sum(row["hours"] for row in outcome.rows("shift") if row["day"] == 5)
    return "" if total <= 8 else f"day 5 has {total} hours, of 8"


def _one_colour(outcome: Outcome) -> str:
    colours = {row["colour"] for row in outcome.rows("ball")}
    return "" if len(colours) == 1 else "the balls have exchanged their colours"


def _one_member(outcome: Outcome) -> str:
    count = len(outcome.rows("member"))
    return "" if count == 1 else f"{count} members have the name"


def _one_seat(outcome: Outcome) -> str:
    count = len(outcome.rows("booking"))
    return "" if count == 1 else f"the seat is booked {count} times"


ACCOUNT = "CREATE TABLE account (account_id int PRIMARY KEY, cents int NOT NULL);\nINSERT INTO account VALUES {};"
BALANCE = "SELECT set_config('my.seen', cents::text, {}) FROM account WHERE account_id = 1"
SPENT = "UPDATE account SET cents = current_setting('my.seen')::int - {} WHERE account_id = 1"
TRANSFER = (
    "UPDATE account SET cents = cents - 10 WHERE account_id = 1",
    "UPDATE account SET cents = cents + 10 WHERE account_id = 2",
)
LOST = _only("account", "cents", 50, "{} cents are left, where 100 - 30 - 20 is 50")


def _off_duty(name: str) -> tuple[str, str]:
    return (
        "SELECT set_config('my.seen', count(*)::text, true) FROM doctor WHERE on_call",
        f"UPDATE doctor SET on_call = false WHERE name = '{name}' AND current_setting('my.seen')::int > 1",
    )


def _draws(account: int) -> tuple[str, str]:
    return (
        "SELECT set_config('my.seen', sum(cents)::text, true) FROM account",
        f"UPDATE account SET cents = cents - 100 WHERE account_id = {account} AND current_setting('my.seen')::int >= 100",
    )


def _works(who: str) -> tuple[str, str]:
    return (
        "SELECT set_config('my.seen', sum(hours)::text, true) FROM shift WHERE day = 5",
        f"INSERT INTO shift SELECT 5, '{who}', 4 WHERE current_setting('my.seen')::int + 4 <= 8",
    )


def _takes(seat: int, who: str) -> tuple[str, ...]:
    return (
        "BEGIN",
        f"SELECT set_config('my.seen', count(*)::text, false) FROM booking WHERE seat = {seat}",
        "COMMIT",
        "BEGIN",
        f"INSERT INTO booking SELECT {seat}, '{who}' WHERE current_setting('my.seen') = '0'",
        "COMMIT",
    )


_ALL = (
    Story(
        "views", "Two readers open a page; each is shown how often it was read, and counts one up", "Two readers more are counted: 42.",
        "CREATE TABLE page (page_id int PRIMARY KEY, views int NOT NULL);\nINSERT INTO page VALUES (1, 40);",
        dict.fromkeys(("T1", "T2"), ("SELECT views FROM page WHERE page_id = 1", "UPDATE page SET views = views + 1 WHERE page_id = 1")),
        _only("page", "views", 42, "{} are counted, of 42"), LEVELS[0], "",
        "an UPDATE that counts from the row itself waits for the other one, and then counts from the row as it is by then; the number that was shown is old, which no rule forbids.",
    ),
    Story(
        "stock", "Two customers are shown a stock of 1, and each buys one where there is one", "The stock ends at 0, and never below.",
        "CREATE TABLE stock (item int PRIMARY KEY, n int NOT NULL);\nINSERT INTO stock VALUES (3, 1);",
        dict.fromkeys(("T1", "T2"), ("SELECT n FROM stock WHERE item = 3", "UPDATE stock SET n = n - 1 WHERE item = 3 AND n > 0")),
        _only("stock", "n", 0, "the stock is {}"), LEVELS[0], "",
        "the UPDATE that had to wait looks at its condition again, with the row as the other one has left it.",
    ),
    Story(
        "locked", "Two payments of 30 and 20 from one account: the program reads with FOR UPDATE, subtracts, and writes", "100 - 30 - 20: 50 cents are left.",
        ACCOUNT.format("(1, 100)"),
        {name: (BALANCE.format("true") + " FOR UPDATE", SPENT.format(cents)) for name, cents in (("T1", 30), ("T2", 20))},
        LOST, LEVELS[0], "",
        "the row is there, and FOR UPDATE keeps it from the read to the COMMIT: the second one reads when the first one has ended.",
    ),
    Story(
        "sum", "A report adds up the accounts in one statement, while 10 cents are moved from one to the other", "The report reads 100 cents.",
        ACCOUNT.format("(1, 60), (2, 40)"),
        {"T1": ("SELECT sum(cents) FROM account", "SELECT count(*) FROM account"), "T2": TRANSFER},
        _one_sum, LEVELS[0], "",
        "one statement has one snapshot, at each level.",
    ),
    Story(
        "name", "Two people sign up with one name; each is told whether it is free, and the key is left to decide", "One member has the name.",
        "CREATE TABLE member (name text PRIMARY KEY, who text NOT NULL);",
        {name: ("SELECT who FROM member WHERE name = 'lee'", f"INSERT INTO member VALUES ('lee', '{name}') ON CONFLICT DO NOTHING") for name in ("T1", "T2")},
        _one_member, LEVELS[0], "",
        "a primary key is asked about rows of others that are not committed, too, at each level.",
    ),
    Story(
        "sums", "A report reads one account, then the other, while 10 cents are moved from one to the other", "The two numbers of the report make 100.",
        ACCOUNT.format("(1, 60), (2, 40)"),
        {"T1": ("SELECT cents FROM account WHERE account_id = 1", "SELECT cents FROM account WHERE account_id = 2"), "T2": TRANSFER},
        _sums, LEVELS[1], "one-snapshot",
        "at read committed each statement has a snapshot of its own, and a COMMIT falls between the two; at repeatable read both share the first one's.",
    ),
    Story(
        "lost", "Two payments of 30 and 20 from one account: the program reads, subtracts, and writes", "100 - 30 - 20: 50 cents are left.",
        ACCOUNT.format("(1, 100)"),
        {name: (BALANCE.format("true"), SPENT.format(cents)) for name, cents in (("T1", 30), ("T2", 20))},
        LOST, LEVELS[1], "begin-protects",
        "at read committed the later UPDATE writes over what it has not read; at repeatable read it is ended with 40001, because the row has changed since the snapshot, and reads anew.",
    ),
    Story(
        "listed", "A page says how many orders there are of day 3, and then lists them, while one more comes in", "The page lists as many as it says.",
        "CREATE TABLE orders (order_id int PRIMARY KEY, day int NOT NULL);\nINSERT INTO orders VALUES (1, 3), (2, 3), (3, 4);",
        {"T1": ("SELECT count(*) FROM orders WHERE day = 3", "SELECT order_id FROM orders WHERE day = 3 ORDER BY order_id"), "T2": ("INSERT INTO orders VALUES (9, 3)", "SELECT count(*) FROM orders")},
        _listed, LEVELS[1], "one-snapshot",
        "the second statement at read committed sees a row that the first one did not; PostgreSQL's repeatable read is a snapshot, and shows no phantoms.",
    ),
    Story(
        "archive", "A nightly run copies what is done into the archive and then deletes what is done, while a job gets done", "Each job is in one of the two tables.",
        "CREATE TABLE job (job_id int PRIMARY KEY, done boolean NOT NULL);\nCREATE TABLE archive (LIKE job INCLUDING ALL);\nINSERT INTO job VALUES (1, true), (2, false), (3, false);",
        {"T1": ("INSERT INTO archive SELECT * FROM job WHERE done", "DELETE FROM job WHERE done"), "T2": ("UPDATE job SET done = true WHERE job_id = 2", "SELECT count(*) FROM job WHERE done")},
        _kept, LEVELS[1], "one-snapshot",
        "the DELETE at read committed sees a job that the copying did not; with one snapshot for both, what gets done in between stays where it is.",
    ),
    Story(
        "duty", "Two doctors go off duty; each does where more than one is on call", "Somebody stays on call.",
        "CREATE TABLE doctor (name text PRIMARY KEY, on_call boolean NOT NULL);\nINSERT INTO doctor VALUES ('ann', true), ('ben', true);",
        {"T1": _off_duty("ann"), "T2": _off_duty("ben")},
        _duty, LEVELS[2], "rr-is-serializable",
        "each reads what the other one changes, and they write different rows, so that no row shows the conflict; only serializable looks at what was read.",
    ),
    Story(
        "covered", "100 cents are drawn from each of a customer's two accounts, where both together cover it", "The two accounts together are not below 0.",
        ACCOUNT.format("(1, 60), (2, 60)"),
        {"T1": _draws(1), "T2": _draws(2)},
        _covered, LEVELS[2], "rr-is-serializable",
        "the rule is about two rows, and each transaction writes one of them: write skew, which a snapshot does not see.",
    ),
    Story(
        "shift", "Two people take four hours each of day 5, which has three taken, where the day does not get more than eight", "Day 5 has eight hours at most.",
        "CREATE TABLE shift (day int NOT NULL, who text NOT NULL, hours int NOT NULL);\nINSERT INTO shift VALUES (5, 'eve', 3), (6, 'eve', 8);",
        {"T1": _works("ann"), "T2": _works("ben")},
        _hours, LEVELS[2], "rr-is-serializable",
        "each adds a row that the other one's sum would have seen; there is no row that both write.",
    ),
    Story(
        "colours", "One program paints all white balls black, another one all black balls white", "All balls have one colour in the end.",
        "CREATE TABLE ball (ball_id int PRIMARY KEY, colour text NOT NULL);\nINSERT INTO ball VALUES (1, 'white'), (2, 'black');",
        {"T1": ("UPDATE ball SET colour = 'black' WHERE colour = 'white'", "SELECT count(*) FROM ball WHERE colour = 'black'"), "T2": ("UPDATE ball SET colour = 'white' WHERE colour = 'black'", "SELECT count(*) FROM ball WHERE colour = 'white'")},
        _one_colour, LEVELS[2], "rr-is-serializable",
        "each finds its rows in a snapshot without the other one's work, and they touch different rows: write skew by a condition.",
    ),
    Story(
        "form", "Two clerks open a form that shows the balance, and save it later, in a second transaction, less 30 and less 20", "100 - 30 - 20: 50 cents are left.",
        ACCOUNT.format("(1, 100)"),
        {name: ("BEGIN", BALANCE.format("false"), "COMMIT", "BEGIN", SPENT.format(cents), "COMMIT") for name, cents in (("T1", 30), ("T2", 20))},
        LOST, NONE, "covers-all",
        "what was read in one transaction is written in another: between the two nothing is watched, at any level. A version number in the UPDATE's condition would tell.",
    ),
    Story(
        "seat", "Two customers are shown that seat 12 is free, and book it in a second transaction, where it was", "The seat is booked once.",
        "CREATE TABLE booking (seat int NOT NULL, who text NOT NULL);",
        {"T1": _takes(12, "T1"), "T2": _takes(12, "T2")},
        _one_seat, NONE, "covers-all",
        "the look and the booking are two transactions, each of which is serializable by itself. A unique key would refuse the second one.",
    ),
)  # fmt: skip
STORIES = {story.key: story for story in _ALL}
