"""Payments that meet something: each is made on a real PostgreSQL, goes wrong in a known way, and is carried on as a rule says.

    payment ── attempt 1 ──▶ 40001, 55P03, 23514, a line that breaks ...
                   │ the rule: retry · ask · give up · report
                   ▼
               attempt 2 ... 4 ──▶ what the customer was told, and how often the charge stands

What goes wrong is made, not played: the conflict is another session's COMMIT, the deadlock closes a real circle, the lock is held, the
line is cut on the way to the server or on the way back (`line.py`). A payment has rows of its own, so that many are made in one
database. Where something has to happen while a statement waits, the server is asked whether it waits.

    >>> shop = Shop()
    >>> [case.trouble for case in cases(shop) if case.code == "08006" and not case.key]
    ['line broke before', 'commit lost before', 'commit lost after']
    >>> len(cases(shop)) == len(set(cases(shop)))
    True

Source: PostgreSQL 18's manual, "Serialization Failure Handling", "PostgreSQL Error Codes", "Transaction ID and Snapshot Information
Functions" (`pg_xact_status`). Left out: time. What a loop waits between two attempts costs, and changes nothing here.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg

from workbook.engines import Database, Recipe, database
from workbook.errors import Unavailable
from workbook.exercises.isolation.line import Line, line_to
from workbook.schedules.postgres import let_deadlock_timeout_be_set

Said = Literal["retry", "ask", "give up", "report"]
Situation = tuple[str, str, bool]
"""What a rule is asked: the SQLSTATE, the phase (`statement` or `COMMIT`), whether the payment carries a key."""
DECISIONS: tuple[Said, ...] = ("retry", "ask", "give up", "report")
ATTEMPTS, CENTS = 4, 500
POLL_S, PATIENCE_S = 0.002, 5.0
SHORT = "15ms"
LOST = "08006"
TABLES = """CREATE TABLE accounts (account_id int PRIMARY KEY, cents int NOT NULL CHECK (cents >= 0));
CREATE TABLE fees (percent int NOT NULL);
INSERT INTO fees VALUES (3);
CREATE TABLE orders (order_id int PRIMARY KEY);
CREATE TABLE charges (
    order_id int NOT NULL REFERENCES orders DEFERRABLE INITIALLY DEFERRED, account_id int NOT NULL, cents int NOT NULL,
    key text {unique}, voucher text UNIQUE);
CREATE FUNCTION pay(buyer int, seller int, amount int, of_order int, with_key text, with_voucher text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM percent FROM fees;
    UPDATE accounts SET cents = cents - amount WHERE account_id = buyer;
    PERFORM pg_advisory_xact_lock_shared(1);
    UPDATE accounts SET cents = cents + amount WHERE account_id = seller;
    INSERT INTO charges VALUES (of_order, buyer, amount, with_key, with_voucher);
END $$;
"""


@dataclass(frozen=True)
class Shop:
    """How payments are made here.

    `whole`: a payment is one statement in autocommit, else a transaction of several; `unique`: no two charges have one
    key; `noted`: the transaction's number is noted, so that its fate can be asked; `held_long`: who holds a lock
    that makes others fail with 55P03 holds it for hours; `cancelled`: 57014 is the customer's own wish.
    """

    whole: bool = False
    unique: bool = True
    noted: bool = False
    held_long: bool = False
    cancelled: bool = False


@dataclass(frozen=True)
class Case:
    """A payment and what it meets: the `trouble` by its name in `TROUBLES`, the first `code` and `phase`, whether it has
    a `key`; what is `due` in the end: `paid` (one charge), `refused` (it cannot succeed), `cancelled`; `before`, how many
    of its charges stand already; in `words` what happens."""

    trouble: str
    code: str
    phase: str
    key: bool
    due: Literal["paid", "refused", "cancelled"]
    words: str
    before: int = 0

    @property
    def situation(self) -> Situation:
        return self.code, self.phase, self.key


@dataclass
class Outcome:
    """What became of a payment: what the customer was `told` (`paid`, `no`, `unknown`), how many charges stand, the
    `attempts`; `endless` where all attempts were used; questions that the server's own answer had settled (`needless`)
    and those for which there was nothing to ask by (`mute`)."""

    told: str = ""
    charges: int = 0
    attempts: int = 0
    endless: bool = False
    needless: int = 0
    mute: bool = False
    asked: list[Situation] = field(default_factory=list)


def recipe(shop: Shop) -> Recipe:
    """The tables of a shop."""
    return Recipe("payments", TABLES.format(unique="UNIQUE" if shop.unique else ""))


def cases(shop: Shop) -> list[Case]:
    """The payments of a shop, each with something that it meets."""
    found = []
    for key in (True, False):
        found += [
            Case("overtaken", "40001", "statement", key, "paid", "another payment of the account committed first"),
            Case("terminated", "57P01", "statement", key, "paid", "the server was restarted"),
            Case("locked", "55P03", "statement", key, "refused" if shop.held_long else "paid", "the account is locked"),
            Case("stopped", "57014", "statement", key, *_of_57014(shop)),
            Case("poor", "23514", "statement", key, "refused", "the account has too little"),
            Case("overflow", "22003", "statement", key, "refused", "the sum is larger than the column's type"),
        ]
        again = key and shop.unique
        found.append(
            Case("sent before", "23505", "statement", key, "paid", "the same request came once before, and was paid", 1)
            if again
            else Case("voucher", "23505", "statement", key, "refused", "another customer has used the voucher")
        )
        found += _whole(key) if shop.whole else _several(key)
    found.append(Case("circle", "40P01", "statement", False, "paid", "two payments waited for one another"))
    return found


def in_doubt(shop: Shop, code: str, phase: str) -> bool:
    """Whether nobody has said what became of a payment: no answer came to the statement that commits."""
    return code == LOST and (shop.whole or phase == "COMMIT")


def _of_57014(shop: Shop) -> tuple[Literal["paid", "refused", "cancelled"], str]:
    if shop.cancelled:
        return "cancelled", "the customer pressed 'cancel'"
    return "paid", "the statement ran into its time-out"


def _several(key: bool) -> list[Case]:
    """What only a transaction of several statements meets."""
    return [
        Case("skew", "40001", "COMMIT", key, "paid", "the fee was changed meanwhile by somebody who read the account"),
        Case("no order", "23503", "COMMIT", key, "refused", "the order does not exist, which is checked at COMMIT"),
        Case(
            "terminated at COMMIT",
            "57P01",
            "COMMIT",
            key,
            "paid",
            "the server was restarted while COMMIT checked the order",
        ),
        Case("line broke before", LOST, "statement", key, "paid", "the line broke before COMMIT was sent"),
        Case("commit lost before", LOST, "COMMIT", key, "paid", "the line broke before COMMIT came to the server"),
        Case("commit lost after", LOST, "COMMIT", key, "paid", "the line broke after the server had committed"),
    ]


def _whole(key: bool) -> list[Case]:
    """What a statement in autocommit meets."""
    return [
        Case("no order", "23503", "statement", key, "refused", "the order does not exist"),
        Case("lost before", LOST, "statement", key, "paid", "the line broke before the statement came to the server"),
        Case("lost after", LOST, "statement", key, "paid", "the line broke after the server had committed"),
    ]


@dataclass
class Payment:
    """One payment with its rows: account `n`, the shop's account `n + 1`, order `n`."""

    case: Case
    n: int
    xid: str = ""
    hooks: dict[str, Callable[[], object]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    voucher: str = ""

    @property
    def key(self) -> str:
        return f"request-{self.n}" if self.case.key else ""

    def steps(self, shop: Shop) -> list[tuple[str, str]]:
        """The statements, each with a name."""
        key, voucher = (f"'{text}'" if text else "NULL" for text in (self.key, self.voucher))
        if shop.whole:
            return [("pay", f"SELECT pay({self.n}, {self.n + 1}, {CENTS}, {self.n}, {key}, {voucher})")]
        noted = [("note", "SELECT pg_current_xact_id()")] if shop.noted else []
        return [
            ("begin", "BEGIN"),
            *noted,
            ("fee", "SELECT percent FROM fees"),
            ("debit", f"UPDATE accounts SET cents = cents - {CENTS} WHERE account_id = {self.n}"),
            ("credit", f"UPDATE accounts SET cents = cents + {CENTS} WHERE account_id = {self.n + 1}"),
            ("charge", f"INSERT INTO charges VALUES ({self.n}, {self.n}, {CENTS}, {key}, {voucher})"),
            ("COMMIT", "COMMIT"),
        ]


class Counter:
    """A shop's payments being made: the payer's session by a line that can break, another session that gets in its way."""

    def __init__(self, shop: Shop, made: Database, line: Line) -> None:
        self.shop, self.made, self.line = shop, made, line
        self.other = made.connect()
        self.other.autocommit = True
        self.other.execute("SET deadlock_timeout = '10s'; SET default_transaction_isolation = 'serializable'")
        self._payer: psycopg.Connection[Any] | None = None
        self._pid, self._n = 0, 0

    def close(self) -> None:
        for session in (self.other, self._payer):
            if session is not None:
                session.close()

    def settle(self, case: Case, rule: Callable[[Situation], str]) -> Outcome:
        """Make a payment, and carry it on as the rule says, for at most `ATTEMPTS` attempts."""
        self._n += 2
        payment, seen = Payment(case, self._n), Outcome()
        self._rows(payment)
        trouble = TROUBLES[case.trouble](self, payment)
        next(trouble)
        try:
            for seen.attempts in range(1, ATTEMPTS + 1):
                met = self._attempt(payment)
                payment.hooks.clear()
                next(trouble, None)
                if met is None:
                    seen.told = "paid"
                elif met[0] != case.code and met[0] != "23505":
                    raise Unavailable(f"The payment was to meet {case.code}, and met {met[0]}.", next="check again")
                else:
                    self._follow(rule(met), met, payment, seen)
                if seen.told:
                    break
            else:
                seen.told, seen.endless = "no", True
        finally:
            trouble.close()
            self.line.mend()
            self.other.execute("ROLLBACK")
        count = f"SELECT count(*) FROM charges WHERE account_id = {payment.n}"
        seen.charges = int(self.other.execute(count).fetchone()[0])  # type: ignore[index]
        return seen

    def _follow(self, said: str, met: Situation, payment: Payment, seen: Outcome) -> None:
        """Do what the rule says; `told` stays empty where the payment is to be made again."""
        seen.asked.append(met)
        if said == "give up":
            seen.told = "no"
        elif said == "report":
            seen.told = "unknown"
        elif said == "ask":
            saved = self._saved(payment)
            if saved is None:
                seen.told, seen.mute = "unknown", True
            elif saved:
                seen.told = "paid"
            elif not in_doubt(self.shop, *met[:2]):
                seen.needless += 1

    def _saved(self, payment: Payment) -> bool | None:
        """Whether the payment is there: by its key, or by what became of its transaction; None where there is neither."""
        if payment.key:
            found = self.other.execute(f"SELECT count(*) FROM charges WHERE key = '{payment.key}'").fetchone()
            return bool(found and found[0])
        if not payment.xid:
            return None
        found = self.other.execute(f"SELECT pg_xact_status('{payment.xid}'::xid8)").fetchone()
        return bool(found and found[0] == "committed")

    def _attempt(self, payment: Payment) -> Situation | None:
        """Make the payment once: None when it is done, else what it met."""
        payer, phase = self._session(payment), "statement"
        try:
            for name, sql in payment.steps(self.shop):
                phase = "COMMIT" if name == "COMMIT" else "statement"
                if hook := payment.hooks.get(name):
                    hook()
                cursor = payer.execute(sql)
                if name == "note":
                    payment.xid = str((cursor.fetchone() or ("",))[0])
        except psycopg.Error as error:
            code = error.sqlstate or LOST
            if payer.closed or code == "57P01" or "statement_timeout" in payment.settings:
                self._gone(payer)
            else:
                payer.execute("ROLLBACK")
            return code, phase, payment.case.key
        return None

    def ready(self) -> psycopg.Connection[Any]:
        """The payer's session; a new one where the line broke."""
        if self._payer is None or self._payer.closed:
            self._payer = self.line.connect()
            self._pid = self._payer.info.backend_pid
            self._payer.execute("SET default_transaction_isolation = 'serializable'")
        return self._payer

    def _session(self, payment: Payment) -> psycopg.Connection[Any]:
        self.ready().execute("SET lock_timeout = 0; SET statement_timeout = '10s'; SET deadlock_timeout = '10ms'")
        for name, value in payment.settings.items():
            self.ready().execute(f"SET {name} = '{value}'")
        return self.ready()

    def _gone(self, payer: psycopg.Connection[Any]) -> None:
        """Wait until the server has ended the session of a line that broke: until then it may hold locks."""
        payer.close()
        until = time.monotonic() + PATIENCE_S
        while self.made.cluster.admin(f"SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = {self._pid}"):
            if time.monotonic() > until:
                raise Unavailable("A session whose line broke did not end.", next="run the check again")
            time.sleep(POLL_S)

    def _rows(self, payment: Payment) -> None:
        n = payment.n
        self.other.execute(
            f"INSERT INTO accounts VALUES ({n}, 100000), ({n + 1}, 100000); INSERT INTO orders VALUES ({n})"
        )

    def waiting(self, pid: int) -> None:
        """Return as soon as a backend is seen to wait for a lock. Raises `Unavailable` where it never does."""
        sql = f"SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'"
        until = time.monotonic() + PATIENCE_S
        while not self.made.cluster.admin(sql):
            if time.monotonic() > until:
                raise Unavailable("A session that was to wait for a lock did not.", next="run the check again")
            time.sleep(POLL_S)

    def once_it_waits(self, work: Callable[[], object]) -> threading.Thread:
        """Do something as soon as the payer waits for a lock; join the thread that is given back."""
        self.ready()

        def watch() -> None:
            self.waiting(self._pid)
            work()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        return thread

    def signal(self, function: str) -> None:
        """`pg_cancel_backend` or `pg_terminate_backend` for the payer's session."""
        self.made.cluster.admin(f"SELECT pg_catalog.{function}({self._pid})")

    def lock(self, account: int) -> None:
        """Let the other session hold an account's row."""
        self.other.execute("BEGIN")
        self.other.execute(f"UPDATE accounts SET cents = cents WHERE account_id = {account}")

    def free(self) -> None:
        self.other.execute("ROLLBACK")


# what a payment meets: set up before the first attempt, cleared away after it


def overtaken(counter: Counter, payment: Payment) -> Generator[None, None, None]:
    change = f"UPDATE accounts SET cents = cents + 1 WHERE account_id = {payment.n}"
    if not counter.shop.whole:
        payment.hooks["debit"] = lambda: counter.other.execute(change)
        yield
        return
    counter.other.execute("BEGIN")
    counter.other.execute(change)
    watch = counter.once_it_waits(lambda: counter.other.execute("COMMIT"))
    yield
    watch.join()


def terminated(counter: Counter, payment: Payment) -> Generator[None, None, None]:
    counter.lock(payment.n)
    watch = counter.once_it_waits(lambda: counter.signal("pg_terminate_backend"))
    yield
    watch.join()
    counter.free()


def terminated_at_commit(counter: Counter, payment: Payment) -> Generator[None, None, None]:
    """The check of the foreign key, put off until COMMIT, waits for the order's row."""
    counter.other.execute("BEGIN")
    counter.other.execute(f"SELECT FROM orders WHERE order_id = {payment.n} FOR UPDATE")
    watch = counter.once_it_waits(lambda: counter.signal("pg_terminate_backend"))
    yield
    watch.join()
    counter.free()


def locked(counter: Counter, payment: Payment) -> Generator[None, None, None]:
    payment.settings["lock_timeout"] = SHORT
    counter.lock(payment.n)
    yield
    if not counter.shop.held_long:
        counter.free()


def stopped(counter: Counter, payment: Payment) -> Generator[None, None, None]:
    counter.lock(payment.n)
    if counter.shop.cancelled:
        watch = counter.once_it_waits(lambda: counter.signal("pg_cancel_backend"))
        yield
        watch.join()
    else:
        payment.settings["statement_timeout"] = SHORT
        yield
        payment.settings.clear()
    counter.free()


def circle(counter: Counter, payment: Payment) -> Generator[None, None, None]:
    counter.lock(payment.n + 1)
    wants = f"UPDATE accounts SET cents = cents WHERE account_id = {payment.n}"
    other = threading.Thread(target=lambda: counter.other.execute(wants), daemon=True)

    def close() -> None:
        other.start()
        counter.waiting(counter.other.info.backend_pid)

    if not counter.shop.whole:
        payment.hooks["credit"] = close
        yield
    else:
        with contextlib.closing(counter.made.connect()) as gate:
            gate.execute("SELECT pg_advisory_lock(1)")

            def close_and_open() -> None:
                close()
                gate.execute("SELECT pg_advisory_unlock(1)")

            watch = counter.once_it_waits(close_and_open)
            yield
            watch.join()
    other.join()
    counter.free()


def skew(counter: Counter, payment: Payment) -> Generator[None, None, None]:
    counter.other.execute("BEGIN")
    counter.other.execute(f"SELECT cents FROM accounts WHERE account_id = {payment.n}")
    counter.other.execute("UPDATE fees SET percent = percent")
    payment.hooks["COMMIT"] = lambda: counter.other.execute("COMMIT")
    yield


def changed(sql: str) -> Callable[[Counter, Payment], Generator[None, None, None]]:
    """A trouble that is in the rows: SQL that makes it, with `{n}` for the payment's number."""

    def trouble(counter: Counter, payment: Payment) -> Generator[None, None, None]:
        counter.other.execute(sql.format(n=payment.n, shop=payment.n + 1, cents=CENTS, key=payment.key))
        if "voucher-" in sql:
            payment.voucher = f"voucher-{payment.n}"
        yield

    return trouble


def broken(step: str, *, done: bool) -> Callable[[Counter, Payment], Generator[None, None, None]]:
    """A line that breaks at a step, with `done` when the server has done it."""

    def trouble(counter: Counter, payment: Payment) -> Generator[None, None, None]:
        sql = dict(payment.steps(counter.shop))[step]
        payment.hooks[step] = lambda: counter.line.break_at(sql, done=done)
        yield

    return trouble


TROUBLES: dict[str, Callable[[Counter, Payment], Generator[None, None, None]]] = {
    "overtaken": overtaken,
    "terminated": terminated,
    "terminated at COMMIT": terminated_at_commit,
    "locked": locked,
    "stopped": stopped,
    "circle": circle,
    "skew": skew,
    "poor": changed("UPDATE accounts SET cents = 1 WHERE account_id = {n}"),
    "overflow": changed("UPDATE accounts SET cents = 2147483647 WHERE account_id = {shop}"),
    "sent before": changed("INSERT INTO charges VALUES ({n}, {n}, {cents}, '{key}', NULL)"),
    "voucher": changed("INSERT INTO charges VALUES ({n}, {shop}, {cents}, NULL, 'voucher-{n}')"),
    "no order": changed("DELETE FROM orders WHERE order_id = {n}"),
    "line broke before": broken("credit", done=False),
    "commit lost before": broken("COMMIT", done=False),
    "commit lost after": broken("COMMIT", done=True),
    "lost before": broken("pay", done=False),
    "lost after": broken("pay", done=True),
}


@contextmanager
def counter(shop: Shop) -> Iterator[Counter]:
    """A shop whose payments can be made, on a database of its own."""
    with database(recipe(shop)) as made:
        let_deadlock_timeout_be_set(made.cluster)
        with line_to(made) as line:
            opened = Counter(shop, made, line)
            try:
                yield opened
            finally:
                opened.close()


_known: dict[tuple[Shop, Case, tuple[Said, ...]], Outcome] = {}


def outcomes(shop: Shop, said: dict[Situation, Said]) -> list[tuple[Case, Outcome]]:
    """What becomes of each payment of a shop under a rule, given as what it says of each situation; what was seen once
    with the same decisions is not made again."""
    keys = {case: (shop, case, tuple(said[one] for one in _met(case, shop))) for case in cases(shop)}
    if missing := [case for case, key in keys.items() if key not in _known]:
        with counter(shop) as opened:
            for case in missing:
                _known[keys[case]] = opened.settle(case, said.__getitem__)
    return [(case, _known[key]) for case, key in keys.items()]


def _met(case: Case, shop: Shop) -> tuple[Situation, ...]:
    """What a rule can be asked about a payment: what it meets first, and that its key is there when it is made again."""
    again = case.code == LOST and case.key and shop.unique
    return (case.situation, ("23505", "statement", True)) if again else (case.situation,)
