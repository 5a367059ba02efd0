"""An agent's 'safe' transfer, whose tests pass: the order that breaks it, and the smallest patch.

    tests of the agent        one after the other           every one passes
    one  reads 60, that is enough for 40 ...
    two  reads 60, that is enough for 50 ...                no test has ever run this order
    one, two: UPDATE, UPDATE, COMMIT                        the account has -30 cents

A test that runs one call after the other says nothing about two at once, however many there are. So the answer is two things: two
transfers and an order of their statements that break the rules, though one after the other they keep them; and a patch of at most
two changes, judged by pairs of transfers that are chosen to hurt: from one account, in opposite directions, to itself, more than
there is, and of four different accounts, where nobody may wait. The pair that broke the transfer is made in every order, the others
in orders that are drawn.

    >>> [variant.loop for variant in VARIANTS]
    [True, False, False, True, True, False]
    >>> at = VARIANTS[0]
    >>> print(fault(at, played_with(at, ((1, 2, 40), (1, 3, 50)), "one two one one one two two two"), ((1, 2, 40), (1, 3, 50))))
    account 1 has -30 cents
    >>> changes(at, at.shipped.replace("DELETE", "delete"), at.level), changes(at, at.patch, at.patched_level)
    (0, 1)

Sources: PostgreSQL 18's manual, "Explicit Locking" (deadlocks) and "Transaction Isolation"; Bernstein and Newcomer, "Principles of Transaction
Processing", 2009, chapter 6. Left out: a lost COMMIT, which another exercise is about.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from workbook.engines import Recipe
from workbook.errors import Misuse
from workbook.exercises.isolation.trial import (
    Outcome,
    Rule,
    as_level,
    as_order,
    as_sql,
    control,
    ends,
    kept,
    played,
    statements,
    tried,
    understood,
    world,
)
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.schedules import Program

CLIENTS = ("one", "two")
LEVELS = ("read committed", "repeatable read", "serializable")
REFUSALS = ("23505", "23514", "P0001")
STATEMENTS_MAX, CHANGES_MAX, TRIES = 4, 2, 3
ACCOUNTS, START, CENTS_MAX = range(1, 9), 60, 1_000
ORDERS, EVERY, FEW = 20, 252, 4
"""In how many orders a pair of transfers is made; the one that a variant is about; and further strangers."""
Transfer = tuple[Any, ...]
"""(from, to, cents); with a key in front where the variant has keys."""


@dataclass(frozen=True)
class Variant:
    """The transfer as the agent `shipped` it, at a `level`, with or without a client's `loop`; a `patch` and the level it takes.

    `books`: where the cents stand (`account`, or the sum of `entry`); `covers`: whether an account alone or all of its owner's must
    cover a transfer; `keyed`: a transfer has a key, and is done once. `pairs`: further pairs of transfers, by what they have in common;
    `about`: the pair that breaks what was shipped.
    """

    story: str
    setup: str
    shipped: str
    patch: str
    because: str
    nearly: str
    level: str = "read committed"
    patched_level: str = "read committed"
    loop: bool = False
    books: Literal["account", "entry"] = "account"
    covers: Literal["account", "owner"] = "account"
    keyed: bool = False
    pairs: tuple[tuple[str, tuple[Transfer, Transfer]], ...] = ()
    about: str = "from one account, which covers one of them"


BALANCES = f"""CREATE TABLE account (account_id int PRIMARY KEY, cents int NOT NULL);
INSERT INTO account SELECT n, {START} FROM generate_series(1, {len(ACCOUNTS)}) n;"""
ENTRIES = f"""CREATE TABLE account (account_id int PRIMARY KEY);
CREATE TABLE entry (account_id int NOT NULL, cents int NOT NULL);
INSERT INTO account SELECT generate_series(1, {len(ACCOUNTS)});
INSERT INTO entry SELECT account_id, {START} FROM account;"""
OWNERS = f"""CREATE TABLE account (account_id int PRIMARY KEY, owner int NOT NULL, cents int NOT NULL);
INSERT INTO account SELECT n, (n + 1) / 2, {START} FROM generate_series(1, {len(ACCOUNTS)}) n;"""
KEYS = BALANCES + "\nCREATE TABLE transfer (key text PRIMARY KEY, cents int NOT NULL);"

_LOOK = "SELECT set_config('my.balance', cents::text, true) FROM account WHERE account_id = :from"
_MOVE = """UPDATE account SET cents = cents - :cents
    WHERE account_id = :from AND current_setting('my.balance')::int >= :cents;
UPDATE account SET cents = cents + :cents
    WHERE account_id = :to AND current_setting('my.balance')::int >= :cents"""
_BOTH = """WITH held AS (SELECT * FROM account WHERE account_id IN (:from, :to) ORDER BY account_id FOR UPDATE)
SELECT set_config('my.balance', cents::text, true) FROM held WHERE account_id = :from"""
_WRITE = """UPDATE account SET cents = current_setting('my.balance_' || :from)::int - :cents
    WHERE account_id = :from AND :from <> :to AND current_setting('my.balance_' || :from)::int >= :cents;
UPDATE account SET cents = current_setting('my.balance_' || :to)::int + :cents
    WHERE account_id = :to AND :from <> :to AND current_setting('my.balance_' || :from)::int >= :cents"""
_LOOK_BOTH = "SELECT set_config('my.balance_' || account_id, cents::text, true) FROM account\n    WHERE account_id IN (:from, :to)"
_OWNED = """SELECT set_config('my.balance', sum(cents)::text, true) FROM account
    WHERE owner = (SELECT owner FROM account WHERE account_id = :from)"""
_DONE = "SELECT set_config('my.done', count(*)::text, true) FROM transfer WHERE key = :key"
_ONCE = """WITH taken AS (UPDATE account SET cents = cents - :cents
    WHERE account_id = :from AND :from <> :to AND cents >= :cents AND current_setting('my.done') = '0' RETURNING account_id)
UPDATE account SET cents = cents + :cents WHERE account_id = :to AND EXISTS (SELECT FROM taken)"""
_KEPT = "INSERT INTO transfer SELECT :key, :cents WHERE current_setting('my.done') = '0'"
_SUM = "SELECT set_config('my.balance', sum(cents)::text, true) FROM entry WHERE account_id = :from"
_BOOK = """INSERT INTO entry SELECT :from, -:cents WHERE current_setting('my.balance')::int >= :cents;
INSERT INTO entry SELECT :to, :cents WHERE current_setting('my.balance')::int >= :cents"""

VARIANTS = (
    Variant(
        "Checks the balance, then moves the money",
        BALANCES, f"{_LOOK};\n{_MOVE}", f"{_LOOK} FOR UPDATE;\n{_MOVE}",
        "What was read may be old by the time of the UPDATE: at read committed nothing keeps the row as it was. FOR UPDATE holds it until the COMMIT. Two transfers in opposite directions then meet in a deadlock, one is ended, and "
        "this client sends it again.",
        "One statement is to hold what it reads; or a level at which an UPDATE of a row that has changed is ended, and sent again.",
        loop=True,
    ),
    Variant(
        "Locks the account that pays with FOR UPDATE, then moves the money",
        BALANCES, f"{_LOOK} FOR UPDATE;\n{_MOVE}", f"{_BOTH};\n{_MOVE}",
        "Each of two transfers in opposite directions holds the row that the other one wants next. Where everybody takes the locks in one order, by number, nobody can wait in a circle, and no loop is needed.",
        "Both rows are to be locked before anything else, by everybody in one order: `ORDER BY account_id FOR UPDATE`.",
        about="in opposite directions",
    ),
    Variant(
        "Reads both balances, computes the new ones, and writes them",
        BALANCES, f"{_LOOK_BOTH};\n{_WRITE}", f"{_LOOK_BOTH} ORDER BY account_id FOR UPDATE;\n{_WRITE}",
        "A number that the program has computed from an old balance writes over what others have written since. Both rows are to be held from the read to the COMMIT, in one order; this client has no loop, so that a level which ends transactions is no help.",
        "Hold both rows where they are read, in the order of their numbers.",
        pairs=(("to one account", ((1, 3, 10), (2, 3, 25))), ("from one account, which covers both", ((1, 2, 20), (1, 4, 25)))),
        about="to one account",
    ),
    Variant(
        "An account may go below zero as long as its owner's accounts (1 and 2, 3 and 4, ...) cover the transfer together; runs at repeatable read, to be on the safe side",
        OWNERS, f"{_OWNED};\n{_MOVE}", f"{_OWNED};\n{_MOVE}",
        "The rule is about two rows, and each of two transfers writes another one of them: write skew. Repeatable read ends a transaction whose row was changed by another one, and here no row is; serializable looks at what was read, too. This client has a loop.",
        "No row is written by both. Which level looks at what was read? (Or let both of them meet: lock all of the owner's rows where they are read.)",
        level="repeatable read", patched_level="serializable", loop=True, covers="owner",
        pairs=(("from two accounts of one owner, who covers one of them", ((1, 5, 80), (2, 6, 90))),),
        about="from two accounts of one owner, who covers one of them",
    ),
    Variant(
        "A transfer has a key, and one that is sent twice is done once",
        KEYS, f"{_DONE};\n{_ONCE};\n{_KEPT} ON CONFLICT DO NOTHING", f"{_DONE};\n{_ONCE};\n{_KEPT}",
        "Both look for the key, and neither is there yet. The second INSERT waits for the first one and would fail with 23505, which would undo the second transfer as well; ON CONFLICT DO NOTHING says that it does no harm. Three words less, and the key keeps its promise.",
        "Which statement knows that the transfer was made already, and what is it told to do about it?",
        loop=True, keyed=True,
        pairs=(("sent twice with one key", (("k1", 1, 2, 20), ("k1", 1, 2, 20))),),
        about="sent twice with one key",
    ),
    Variant(
        "Books two entries; a balance is the sum of its entries",
        ENTRIES, f"{_SUM};\n{_BOOK}", f"SELECT 1 FROM account WHERE account_id = :from FOR UPDATE;\n{_SUM};\n{_BOOK}",
        "No row of the balance is written, entries only come: there is nothing that two transfers would have to wait for. They can meet at the row of the account that pays, locked by a statement of its own; at read committed the sum is then taken after the wait. (FOR UPDATE on the "
        "entries waits as well, and adds up those that were there before.)",
        "There is a row for the account that pays, though nobody writes it: lock it first, in a statement of its own.",
        books="entry",
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The accounts, with 60 cents each."""
    return Recipe(variant.story, variant.setup)


PAIRS: dict[str, tuple[Transfer, Transfer]] = {
    "from one account, which covers one of them": ((1, 2, 35), (1, 3, 45)),
    "in opposite directions": ((1, 2, 10), (2, 1, 25)),
    "from an account to itself, and from it to another": ((4, 4, 30), (4, 5, 50)),
    "more than there is, and one that would help": ((2, 3, 75), (5, 2, 40)),
    "of four different accounts": ((3, 4, 20), (7, 8, 20)),
}
STRANGERS = "of four different accounts"
OTHER_STRANGERS = (((2, 6, 20), (3, 7, 20)), ((4, 8, 15), (5, 1, 15)), ((1, 3, 25), (7, 5, 15)))
"""As far apart as a patch may take for one: neighbours and distant ones, of one amount or of two."""


@dataclass(frozen=True)
class Pair:
    """Two transfers, what they have in common in words, and in how many orders they are made (drawn, where there are more)."""

    told: str
    transfers: tuple[Transfer, Transfer]
    orders: int = ORDERS

    @property
    def said(self) -> str:
        return " and ".join(f"({', '.join(map(str, one))})" for one in self.transfers)


@cache
def pairs(variant: Variant) -> tuple[Pair, ...]:
    """Pairs of transfers to judge by: the one that the variant is about first, in every order."""
    keyed = {
        told: (("a1", *first), ("a2", *second)) if variant.keyed else (first, second)
        for told, (first, second) in PAIRS.items()
    }
    found = [Pair(told, pair) for told, pair in {**dict(variant.pairs), **keyed}.items()]
    found.sort(key=lambda pair: pair.told != variant.about)
    for first, second in OTHER_STRANGERS:
        found.append(Pair(STRANGERS, (("a1", *first), ("a2", *second)) if variant.keyed else (first, second), FEW))
    return (Pair(found[0].told, found[0].transfers, EVERY), *found[1:])


def names(variant: Variant) -> tuple[str, ...]:
    """What a transfer consists of, in order."""
    return ("key", "from", "to", "cents") if variant.keyed else ("from", "to", "cents")


def program(variant: Variant, sql: str, transfers: Sequence[Transfer]) -> Program:
    """A client for each transfer."""
    sent = {
        client: statements(sql, dict(zip(names(variant), one, strict=True)))
        for client, one in zip(CLIENTS, transfers, strict=False)
    }
    return world(variant.setup, sent, title=variant.story)


def played_with(variant: Variant, transfers: Sequence[Transfer], order: str) -> Outcome:
    """The shipped transfer in one order. Raises `Misuse` for an order that is none."""
    return played(
        program(variant, variant.shipped, transfers), order, variant.level, tries=TRIES if variant.loop else 1
    )


def model(variant: Variant, transfers: Sequence[Transfer]) -> dict[int, int]:
    """The balances after these transfers, one after the other: one that is not covered, or has a known key, moves nothing."""
    cents, known = dict.fromkeys(ACCOUNTS, START), set()
    for one in transfers:
        given = dict(zip(names(variant), one, strict=True))
        paid_by, key = given["from"], given.get("key", object())
        purse = [paid_by] if variant.covers == "account" else [paid_by, paid_by + 1 if paid_by % 2 else paid_by - 1]
        if key not in known and sum(cents[account] for account in purse) >= given["cents"]:
            cents[paid_by] -= given["cents"]
            cents[given["to"]] += given["cents"]
        known.add(key)
    return cents


def balances(variant: Variant, outcome: Outcome) -> dict[int, int] | None:
    """What is left in each account; None where the books cannot be read any more."""
    if not outcome.has(variant.books, "account_id", "cents"):
        return None
    found = dict.fromkeys(ACCOUNTS, 0) if variant.books == "entry" else {}
    for row in outcome.rows(variant.books):
        if type(row["cents"]) is not int:
            return None
        found[row["account_id"]] = found.get(row["account_id"], 0) + row["cents"]
    return found


def fault(variant: Variant, outcome: Outcome, transfers: Sequence[Transfer]) -> str:
    """What is wrong with an outcome, as a clause; '' where it is that of one transfer after the other."""
    if code := refused(outcome):
        return f"a client is shown {code}" + (f" after {TRIES} tries" if variant.loop else "")
    left = balances(variant, outcome)
    if left is None or set(left) != set(ACCOUNTS):
        return "the accounts are others than before, or hold no cents"
    wanted = [model(variant, order) for order in itertools.permutations(transfers)]
    if left in wanted:
        return ""
    total, below = sum(left.values()), [account for account, cents in left.items() if cents < 0]
    if total != START * len(ACCOUNTS):
        return f"the accounts have {total} cents together, of {START * len(ACCOUNTS)}"
    if below and variant.covers == "account":
        return f"account {below[0]} has {left[below[0]]} cents"
    changed = ", ".join(f"{account} {cents}" for account, cents in left.items() if cents != START) or f"all {START}"
    return f"the balances ({changed}) are those of no order of the two"


def refused(outcome: Outcome) -> str:
    """The first error that a client cannot read as an answer; '' where there is none."""
    codes = (outcome.failed(client) for client in outcome.run.outcomes)
    return next((code for code in codes if code and code not in REFUSALS), "")


def changes(variant: Variant, sql: str, level: str) -> int:
    """How many statements are changed or added, and the level, where it is another one. To leave out what is no longer
    needed counts only where nothing else is changed."""
    was, now = ([" ".join(one.lower().split()) for one in statements(text)] for text in (variant.shipped, sql))
    edits = difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes()
    count = sum(n - m for tag, _, _, m, n in edits if tag != "equal") + (level != variant.level)
    return count or int(was != now)


@cache
def own_tests(variant: Variant) -> list[tuple[str, str]]:
    """The agent's tests: pairs of transfers one after the other; each with what is wrong ('' where it passes)."""
    return [(pair.told, alone(variant, pair.transfers)) for pair in pairs(variant) if pair.orders != FEW]


def alone(variant: Variant, transfers: tuple[Transfer, Transfer]) -> str:
    """What is wrong after two shipped transfers that are made one after the other, either way round; '' where nothing is."""
    made = program(variant, variant.shipped, transfers)
    turns = [[client] * (len(statements(variant.shipped)) + 1) for client in CLIENTS]
    orders = (" ".join(first + second) for first, second in itertools.permutations(turns))
    outcomes = (played(made, order, variant.level) for order in orders)
    return next((wrong for one in outcomes if (wrong := fault(variant, one, transfers))), "")


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict) or not {"witness", "transfer"} <= set(answer) <= {"witness", "transfer", "level"}:
        return "The answer is a dict with the keys 'witness', 'transfer' and, where it is another one, 'level'."
    witness = answer["witness"]
    if type(witness) not in (tuple, list) or len(witness) != 3 or not as_order(witness[2]):
        return "'witness' is a tuple of two transfers and an order, which is a text."
    if any(type(one) not in (tuple, list) for one in witness[:2]):
        return "A transfer of 'witness' is a tuple, such as the task shows."
    if not (as_sql(answer["transfer"]) or "").strip():
        return "'transfer' is SQL as text: the statements with your patch, separated by `;`."
    if as_level(answer.get("level", LEVELS[0])) not in LEVELS:
        return f"'level' is one of {', '.join(LEVELS)}; this is {answer['level']!r}."
    return ""


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    one, two, order = answer["witness"]
    first, picture = witnessed(variant, one, two, as_order(order) or "")
    if not first.ok:
        later = Finding(True, "The patch is judged when the witness breaks what was shipped.")
        return Judgement(0.0, (first, later), (picture,) if picture is not None else ())
    second, pictures = patched(variant, as_sql(answer["transfer"]) or "", as_level(answer.get("level", variant.level)))
    return Judgement(1.0 if second.ok else 0.5, (first, second), tuple(pictures))


def witnessed(variant: Variant, one: Transfer, two: Transfer, order: str) -> tuple[Finding, Any]:
    """Whether the two transfers break the shipped one in this order, though not one after the other."""
    pair = (tuple(one), tuple(two))
    if sentence := next((text for transfer in pair if (text := unfit(variant, transfer))), ""):
        expected = f"Two transfers ({', '.join(names(variant))}) between the accounts {ACCOUNTS[0]} to {ACCOUNTS[-1]}."
        return Finding(False, f"Witness: {sentence}", expected, "Which two calls does the service get?"), None
    try:
        outcome = played_with(variant, pair, order)
    except Misuse as mistake:
        count = len(statements(variant.shipped)) + 1
        return Finding(
            False, f"Witness: {order.strip()[:60]!r} is no order: {mistake.what}", f"'one' and 'two' {count} times each: once a statement and once a COMMIT.",
            "Whose statement comes first, and whose next?",
        ), None  # fmt: skip
    if not (wrong := fault(variant, outcome, pair)):
        return Finding(
            False, f"Witness: in the order `{outcome.order}` all is well{_again(outcome.retries)}.", "Two transfers and an order after which the money is wrong, or a client is shown an error.",
            "Which statement believes something that it was told earlier, and who could have changed it by then?", "tests-pass",
        ), outcome.run.picture  # fmt: skip
    if always := alone(variant, pair):
        return Finding(
            False, f"Witness: one after the other it is wrong as well: {always}.", "Two transfers that do no harm one after the other, and an order in which they do.",
            "What takes two at once?", "tests-pass",
        ), outcome.run.picture  # fmt: skip
    return Finding(True, f"Witness: one after the other all is well; in the order `{outcome.order}` {wrong}."), None


def _again(retries: int) -> str:
    return f" ({retries} transaction{'s were' if retries > 1 else ' was'} sent again)" if retries else ""


def unfit(variant: Variant, transfer: Transfer) -> str:
    """Why this is no transfer, as a sentence; '' where it is one."""
    wanted = names(variant)
    if len(transfer) != len(wanted):
        return f"{transfer!r:.60} is not ({', '.join(wanted)})."
    given = dict(zip(wanted, transfer, strict=True))
    if variant.keyed and not (type(given["key"]) is str and 0 < len(given["key"]) <= 20):
        return f"the key {given['key']!r:.40} is no text of 1 to 20 letters."
    for name in ("from", "to"):
        if type(given[name]) is not int or given[name] not in ACCOUNTS:
            return f"there is no account {given[name]!r:.40}."
    if type(given["cents"]) is not int or not 0 < given["cents"] <= CENTS_MAX:
        return f"{given['cents']!r:.40} is no number of cents from 1 to {CENTS_MAX}."
    return ""


def patched(variant: Variant, sql: str, level: str) -> tuple[Finding, list[Any]]:
    """Whether the patch is small, and right in every order of each pair."""
    if wrong := control(sql, "Patch: `transfer`"):
        return wrong, []
    size, count = changes(variant, sql, level), len(statements(sql))
    if count > STATEMENTS_MAX:
        return Finding(
            False, f"Patch: it has {count} statements.", f"At most {STATEMENTS_MAX}, so that every order can be run.",
            "Which of them does the work of the patch?", "more-is-safer",
        ), []  # fmt: skip
    if size == 0:
        return Finding(
            False, "Patch: nothing is changed.", f"One or {CHANGES_MAX} changes, after which the order of the witness does no harm.",
            "What in these statements lets the order of your witness come about?", "tests-pass",
        ), []  # fmt: skip
    if size > CHANGES_MAX:
        return Finding(
            False, f"Patch: {size} statements are changed or added (or the level is).", f"At most {CHANGES_MAX} changes: whoever reviews them wants to see why.",
            "Which one change takes away the order of your witness?", "more-is-safer",
        ), []  # fmt: skip
    orders = again = 0
    for pair in pairs(variant):
        made = program(variant, sql, pair.transfers)
        trial = tried(made, level, tries=TRIES if variant.loop else 1, limit=pair.orders)
        findings, pictures = kept(trial, *rules(variant, pair))
        if pictures:
            wrong = findings[-1]
            seen = f"Patch: two transfers {pair.told}, {pair.said}. {wrong.seen}"
            return Finding(False, seen, wrong.expected, wrong.question, wrong.misconception), pictures
        orders += len(trial.outcomes)
        again += trial.retries
    told = f", {again} transactions were sent again," if again else ""
    return Finding(
        True,
        f"Patch: {size} change{'' if size == 1 else 's'}; in {orders} orders of {len(pairs(variant))} pairs of transfers the money is right{told} and nobody waits for strangers.",
    ), []


def rules(variant: Variant, pair: Pair) -> list[Rule]:
    """What each order of two transfers must come to."""

    def belief(outcome: Outcome) -> str:
        code = refused(outcome)
        return {"40P01": "locks-are-safe", "40001": "only-waits"}.get(code, "stale-is-fine")

    right = Rule(
        lambda outcome: fault(variant, outcome, pair.transfers), "The money is right.",
        "In every order the balances are those of one transfer after the other, and each client gets an answer."
        + ("" if variant.loop else " This client does not send again."),
        "In that order, what does each of the two hold, and what does it want or believe next?", belief,
    )  # fmt: skip
    strangers = Rule(
        lambda outcome: "one of the two has to wait" if outcome.waited else "",
        "Nobody waits for strangers.",
        "Transfers of different accounts do not wait for one another.",
        "What do these two have in common that one of them holds?",
        "one-lock",
    )
    return [ends, understood, right, *([strangers] if pair.told == STRANGERS else [])]


def brief(variant: Variant) -> str:
    loop = (
        f"the client sends a transaction again that ended with 40001 or 40P01, {TRIES} times in all"
        if variant.loop
        else "the client does not send a transaction again: 40001 and 40P01 are crashes"
    )
    tests = "\n".join(f"- {told}: {wrong or 'passed'}" for told, wrong in sorted(own_tests(variant)))
    parts, count = ", ".join(names(variant)), len(statements(variant.shipped)) + 1
    return (
        f"“A safe transfer. {variant.story}. All tests pass.” The agent's change, at {variant.level}; {loop}:\n\n```sql\n{variant.setup}\n```\n\n```sql\n{variant.shipped};\n```\n\n"
        f"Its tests make two transfers one after the other, each way round, and compare the balances:\n\n{tests}\n\n"
        "A transfer that is not covered moves nothing; an error 23505, 23514 or P0001 is an answer, too. `my.balance` and the like are what the program remembers. Hand in a dict:\n\n"
        f"- `witness`: two transfers ({parts}) and an order, in one tuple, such as `({_example(variant)}, 'one two ...')`, after which the money is wrong, or a client is shown an error. The "
        f"order names `one` and `two` {count} times each, once a statement and once a COMMIT; BEGIN goes with the first statement.\n"
        f"- `transfer`: the statements with your patch (one text, separated by `;`), and `level`, if it is to be another one. At most {CHANGES_MAX} changes (a statement that is changed or added; the level), and at most {STATEMENTS_MAX} statements; to leave out what is not needed any more "
        "is no further change.\n\n"
        f"The witness is worth half of the points, and the patch, which is judged once the witness holds, the other half. The patch is judged by pairs of transfers like those of the tests, the pair that matters most in every order and the others in {ORDERS} orders each: the balances must be those of one after the other, every client gets an answer, and transfers of "
        'four different accounts do not wait for one another. `practice("isolation-transfer")` has the tables.'
    )


def _example(variant: Variant) -> str:
    return "('k', 8, 7, 5), ('l', 6, 5, 3)" if variant.keyed else "(8, 7, 5), (6, 5, 3)"


_LOOPS = {
    True: "a client without a loop (with this one, a level that ends one of the two is a patch of one word, and is paid for in retries; without it that is a crash)",
    False: "a client with a loop (then a level that ends one of the two is a patch of one word)",
}


EXERCISE = register(
    Exercise(
        id="isolation-transfer",
        lab="03_isolation",
        number=11,
        title="An agent's 'safe' transfer",
        kind="P",
        declares="value",
        points=4,
        core=False,
        minutes=15,
        answer="a dict with 'witness' (two transfers and an order), 'transfer' (the patched statements) and, where it is another one, 'level'",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "All of the agent's tests run one transfer after the other. What does the second statement believe that may not be so any more?",
            lambda variant: "Write down what each statement reads, what it writes, and what it holds until the COMMIT. A witness lies where one transfer has read, or holds, what the other one changes, or wants, next. "
            "For the patch: what would the second one have to meet, and in which order, so that this order cannot come about?",
            lambda variant: variant.nearly,
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} Ten thousand tests that run one after the other would have passed as well: they never run the order that matters. What would change it: {_LOOPS[variant.loop]}, or many transfers on one account, where each wait is paid by somebody."
        ),
        misconceptions={
            "tests-pass": "Code whose tests pass is safe for two at once, if there are enough tests.",
            "stale-is-fine": "What a transaction has read stays so until its COMMIT.",
            "locks-are-safe": "Who locks what it needs is safe, in whatever order the locks are taken.",
            "only-waits": "A higher level makes conflicts wait, and never ends a transaction.",
            "one-lock": "One lock for all transfers is the simplest safe patch, and nobody notices it.",
            "more-is-safer": "The more a patch changes, the safer it is.",
        },
    )
)  # fmt: skip
