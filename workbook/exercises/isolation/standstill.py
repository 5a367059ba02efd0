"""A standstill made on a real server: sessions that wait for one another, what its lock tables say, and who goes on when one is ended.

    import    idle in transaction            nobody waits for it
    console   idle in transaction   ◀─ deploy  ALTER TABLE ◀─ web-1  SELECT
                                                           ◀─ web-2  UPDATE
    end(console):  deploy goes on, then web-1 and web-2
    end(deploy):   web-1 and web-2 go on; deploy's client comes back, waits again, and so does whoever comes after it

A `Scene` says what each session sends, in which order; a session is sent the next statement when the one before it is answered, as a client does.
Each statement is seen to be done, to wait, or to stream its rows to a client that does not fetch them, before the next one is sent: so
the same scene gives the same tables. Sessions are named by their `application_name`; numbers that differ from run to run are not told.

    >>> sorted(scene.root for scene in SCENES.values())
    ['console', 'deploy', 'import', 'report', 'report', 'web-2']

Source: PostgreSQL 18's manual, "pg_stat_activity", "pg_locks", "pg_blocking_pids". Left out: prepared transactions, which no session owns.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq

from workbook.engines import Database, Recipe
from workbook.errors import Unavailable

POLL_S, PATIENCE_S = 0.001, 5.0
RECIPE = Recipe(
    "a standstill",
    """CREATE TABLE orders (order_id int PRIMARY KEY, status text NOT NULL, cents int NOT NULL);
INSERT INTO orders SELECT i, 'open', 100 FROM generate_series(1, 40) i;
CREATE TABLE products (product_id int PRIMARY KEY, on_hand int NOT NULL);
INSERT INTO products SELECT i, 100 FROM generate_series(1, 10) i""",
)
RESET = """TRUNCATE orders, products; ALTER TABLE orders DROP COLUMN IF EXISTS note; ALTER TABLE products DROP COLUMN IF EXISTS note;
DROP INDEX IF EXISTS products_on_hand_idx;
INSERT INTO orders SELECT i, 'open', 100 FROM generate_series(1, 40) i; INSERT INTO products SELECT i, 100 FROM generate_series(1, 10) i"""
EXPORT = "COPY (SELECT t.*, repeat('.', 4000) FROM {table} t, generate_series(1, 500)) TO STDOUT"
ADD = "ALTER TABLE {table} ADD COLUMN note text"
SELL = "UPDATE products SET on_hand = on_hand - 1 WHERE product_id = {id}"
PAY = "UPDATE orders SET status = 'paid' WHERE order_id = {id}"
LOOK = "SELECT * FROM {table} WHERE {id}"
ONE_ORDER, ONE_PRODUCT = (
    LOOK.format(table="orders", id="order_id = 5"),
    LOOK.format(table="products", id="product_id = 5"),
)


@dataclass(frozen=True)
class Scene:
    """Who sends what: a session's statements, the sessions in the order in which they begin, one that stands there again goes on; who is the
    `root`."""

    root: str
    sends: tuple[tuple[str, tuple[str, ...]], ...]


SCENES: dict[str, Scene] = {
    "a forgotten read": Scene(
        "console",
        (
            ("import", ("BEGIN", SELL.format(id=9))),
            ("console", ("BEGIN", "SELECT count(*) FROM orders")),
            ("report", (EXPORT.format(table="products"),)),
            ("deploy", (ADD.format(table="orders"),)),
            ("web-1", (ONE_ORDER,)),
            ("web-2", (PAY.format(id=7),)),
            ("web-3", (SELL.format(id=3),)),
            ("web-4", (PAY.format(id=5),)),
        ),
    ),
    "a slow client": Scene(
        "report",
        (
            ("console", ("BEGIN", "SELECT count(*) FROM products")),
            ("import", ("BEGIN", SELL.format(id=9))),
            ("report", (EXPORT.format(table="orders"),)),
            ("deploy", (ADD.format(table="orders"),)),
            ("web-1", (PAY.format(id=5),)),
            ("web-2", (ONE_ORDER,)),
            ("web-3", (ONE_ORDER,)),
            ("web-4", (ONE_PRODUCT,)),
        ),
    ),
    "a row": Scene(
        "import",
        (
            ("report", (EXPORT.format(table="orders"),)),
            ("console", ("BEGIN", "SELECT count(*) FROM orders")),
            ("import", ("BEGIN", SELL.format(id=1))),
            ("web-1", (SELL.format(id=1),)),
            ("web-2", (SELL.format(id=1),)),
            ("web-3", (SELL.format(id=1),)),
            ("deploy", ("CREATE INDEX ON products (on_hand)",)),
            ("web-4", (SELL.format(id=4),)),
        ),
    ),
    "a change not committed": Scene(
        "deploy",
        (
            ("console", ("BEGIN", "SELECT count(*) FROM products")),
            ("report", (EXPORT.format(table="products"),)),
            ("deploy", ("BEGIN", ADD.format(table="orders"))),
            ("import", ("BEGIN", SELL.format(id=9), PAY.format(id=1), "COMMIT")),
            ("web-1", (SELL.format(id=9),)),
            ("web-2", (ONE_ORDER,)),
            ("web-3", (SELL.format(id=9),)),
            ("web-4", (SELL.format(id=9),)),
        ),
    ),
    "an idle lock": Scene(
        "report",
        (
            ("console", ("BEGIN", "SELECT count(*) FROM orders")),
            ("report", ("SELECT pg_advisory_lock(7)",)),
            ("import", ("BEGIN", SELL.format(id=1), "SELECT pg_advisory_xact_lock(7)", "COMMIT")),
            ("web-1", (SELL.format(id=1),)),
            ("web-2", (SELL.format(id=1),)),
            ("deploy", (ADD.format(table="products"),)),
            ("web-3", (ONE_PRODUCT,)),
            ("web-4", (ONE_ORDER,)),
        ),
    ),
    "a hung request": Scene(
        "web-2",
        (
            ("console", ("BEGIN", "SELECT count(*) FROM products")),
            ("report", (EXPORT.format(table="products"),)),
            ("import", ("BEGIN", SELL.format(id=9))),
            ("web-2", ("BEGIN", PAY.format(id=5))),
            ("web-1", (PAY.format(id=5),)),
            ("deploy", (ADD.format(table="orders"),)),
            ("web-3", (ONE_ORDER,)),
            ("web-4", (PAY.format(id=8),)),
        ),
    ),
}  # fmt: skip

OLD_WAITER = Scene(
    "console",
    (
        ("web-1", ("BEGIN",)),
        ("import", ("BEGIN", SELL.format(id=1))),
        ("console", ("BEGIN", PAY.format(id=5))),
        ("web-1", (SELL.format(id=1), "COMMIT")),
        ("import", (PAY.format(id=5), "COMMIT")),
        ("deploy", (ADD.format(table="products"),)),
        ("web-2", (ONE_PRODUCT,)),
        ("web-3", (PAY.format(id=5),)),
        ("report", (EXPORT.format(table="orders"),)),
    ),
)  # fmt: skip
"""Who has waited longest, by its transaction and by its statement, waits for a session that waits itself; chains of three."""
ELSEWHERE = Scene("night", (("night", ("BEGIN", SELL.format(id=1))), ("morning", (SELL.format(id=1),))))
"""Two sessions of another database of the server."""


@dataclass(frozen=True)
class Sight:
    """What the server's tables say of a standstill, in names: `activity` as (session, state, what it waits on, place of its
    transaction's beginning, last statement); `locks` as (session, what, mode, granted); `blocked`, who waits to those it waits for."""

    activity: tuple[tuple[str, str, str, str, str], ...]
    locks: tuple[tuple[str, str, str, bool], ...]
    blocked: Mapping[str, tuple[str, ...]]

    def behind(self, name: str) -> list[str]:
        """Who waits for a session, directly."""
        return [waiter for waiter, holders in self.blocked.items() if name in holders]


@dataclass
class _Client:
    """A session and what its client has still to send."""

    name: str
    connection: psycopg.Connection[Any]
    script: tuple[str, ...]
    left: deque[str] = field(default_factory=deque)
    state: str = "idle"
    """`idle`, `sent` (no answer yet), `streams` (its rows are not fetched), `gone`."""

    @property
    def pid(self) -> int:
        return self.connection.info.backend_pid


class Standstill:
    """A scene that stands on a server; made by `standing`. `names` gives each role its name."""

    def __init__(self, made: Database, scene: Scene, names: Mapping[str, str]) -> None:
        self.made, self.scene = made, scene
        self.clients: dict[str, _Client] = {}
        for role, script in scene.sends:
            name = names.get(role, role)
            if name in self.clients:
                self._go_on(self.clients[name], script)
            else:
                client = self.clients[name] = self._client(name, script)
                self._begin(client)
        self.waited = self.waiting()

    def close(self) -> None:
        self.made.cluster.end(client.pid for client in self.clients.values() if client.state in ("streams", "sent"))
        for client in self.clients.values():
            client.connection.close()

    def name_of(self, value: object) -> str:
        """The session that a name or a backend's number means; '' for none of them."""
        for client in self.clients.values():
            if value == client.name or (type(value) is int and value == client.pid):
                return client.name
        return ""

    def alive(self) -> list[str]:
        """The sessions that are there."""
        clients = [client for client in self.clients.values() if client.state != "gone"]
        there = self.made.cluster.alive(client.pid for client in clients)
        return [client.name for client in clients if client.pid in there]

    def waiting(self) -> list[str]:
        """The sessions that wait for another one now, by name."""
        return sorted(self._waiting())

    def sight(self) -> Sight:
        """What the lock tables say now."""
        return _sight(self.made, {client.pid: client.name for client in self.clients.values()})

    def end(self, name: str) -> list[str]:
        """End a session, and see who waits in the end.

        A client whose session waited comes back and sends its statements again; then each of the web's sessions that was answered sends its
        next request. Gives the names of those that wait then."""
        client = self.clients[name]
        waited = name in self._waiting()
        self.made.cluster.end([client.pid])
        client.state = "gone"
        self._settle()
        if waited:
            client.connection.close()
            again = self.clients[name] = self._client(name, client.script)
            self._begin(again)
        for other in list(self.clients.values()):
            if other.state == "idle" and len(other.script) == 1 and other.script[0].startswith(("SELECT *", "UPDATE")):
                self._begin(other)
        return self.waiting()

    def _client(self, name: str, script: tuple[str, ...]) -> _Client:
        connection = self.made.connect()
        connection.autocommit = True
        connection.execute(f"SET application_name = '{name}'; SET deadlock_timeout = '10s'")
        return _Client(name, connection, script)

    def _begin(self, client: _Client) -> None:
        client.left = deque(client.script)
        self._send(client)
        self._settle()

    def _go_on(self, client: _Client, script: tuple[str, ...]) -> None:
        client.script += script
        client.left.extend(script)
        self._send(client)
        self._settle()

    def _send(self, client: _Client) -> None:
        sql = client.left.popleft()
        client.connection.pgconn.send_query(sql.encode())
        client.connection.pgconn.flush()
        client.state = "streams" if sql.startswith("COPY") else "sent"

    def _settle(self) -> None:
        """Until each session without an answer is seen to wait for another, or to wait for its client."""
        until = time.monotonic() + PATIENCE_S
        while True:
            came = [client for client in self.clients.values() if client.state == "sent" and _answered(client)]
            for client in came:
                client.state = "idle"
                if client.left:
                    self._send(client)
            if came:
                continue
            sent = {client.name for client in self.clients.values() if client.state == "sent"}
            if sent <= set(self._waiting()) and self._streaming():
                return
            if time.monotonic() > until:
                raise Unavailable("The sessions of a standstill come to no rest.", next="run the check again")
            time.sleep(POLL_S)

    def _waiting(self) -> list[str]:
        pids = {client.pid: client.name for client in self.clients.values() if client.state == "sent"}
        if not pids:
            return []
        listed = ", ".join(map(str, pids))
        sql = f"SELECT pid FROM pg_catalog.unnest(ARRAY[{listed}]) pid WHERE pg_catalog.cardinality(pg_catalog.pg_blocking_pids(pid)) > 0"
        return [pids[int(pid)] for (pid,) in self.made.cluster.admin(sql)]

    def _streaming(self) -> bool:
        """Whether whoever streams has filled the line, and waits for a client that does not fetch."""
        pids = [str(client.pid) for client in self.clients.values() if client.state == "streams"]
        if not pids:
            return True
        sql = f"SELECT pg_catalog.bool_and(wait_event = 'ClientWrite') FROM pg_catalog.pg_stat_activity WHERE pid IN ({', '.join(pids)})"
        return bool(self.made.cluster.admin(sql)[0][0])


def _answered(client: _Client) -> bool:
    """Whether the answer to what was sent is there; it is taken."""
    conn = client.connection.pgconn
    try:
        conn.consume_input()
        while not conn.is_busy():
            result = conn.get_result()
            if result is None:
                return True
            if result.status == pq.ExecStatus.FATAL_ERROR:
                client.left.clear()
    except psycopg.OperationalError:
        client.left.clear()
        return True
    return False


@contextmanager
def standing(made: Database, scene: Scene, names: Mapping[str, str] | None = None) -> Iterator[Standstill]:
    """A standstill on a database of `RECIPE`, whose tables are as at the beginning; its sessions are ended at the end."""
    made.run(RESET)
    stood = None
    try:
        stood = Standstill(made, scene, names or {})
        yield stood
    finally:
        if stood is not None:
            with contextlib.suppress(psycopg.Error):
                stood.close()


ACTIVITY = """SELECT pid, state, coalesce(wait_event_type || ': ' || wait_event, ''), query, xact_start
    FROM pg_catalog.pg_stat_activity WHERE pid IN (%s)"""
LOCKS = """SELECT l.pid, l.locktype, c.relname, l.objid, l.mode, l.granted,
        (SELECT h.pid FROM pg_catalog.pg_locks h
            WHERE h.locktype = 'transactionid' AND h.granted AND h.transactionid = l.transactionid)
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind = 'r'
    WHERE l.pid IN (%s) AND (c.relname IN ('orders', 'products') OR l.locktype IN ('advisory', 'transactionid'))"""
BLOCKED = "SELECT pid, pg_catalog.pg_blocking_pids(pid) FROM pg_catalog.unnest(ARRAY[%s]) pid"


def _sight(made: Database, names: Mapping[int, str]) -> Sight:
    pids = ", ".join(map(str, names))
    rows = sorted(made.cluster.admin(ACTIVITY % pids), key=lambda row: list(names).index(row[0]))
    open_since = sorted(row[4] for row in rows if row[4] is not None)
    activity = tuple(
        (names[pid], state, waits, "" if start is None else f"{open_since.index(start) + 1}.", query)
        for pid, state, waits, query, start in rows
    )
    locks = set()
    for pid, kind, table, number, mode, granted, holder in made.cluster.admin(LOCKS % pids, made.name):
        what = {"relation": f"table {table}", "tuple": f"a row of {table}", "advisory": f"advisory lock {number}"}.get(
            kind, ""
        )
        if kind == "transactionid":
            what = "its own transaction" if granted else f"the end of {names.get(holder, 'another')}'s transaction"
        locks.add((names[pid], what, mode, granted))
    order = [name for name, *_ in activity]
    blocked = {
        names[pid]: tuple(sorted({names[holder] for holder in holders if holder in names}, key=order.index))
        for pid, holders in made.cluster.admin(BLOCKED % pids)
        if holders
    }
    ordered = sorted(locks, key=lambda lock: (order.index(lock[0]), not lock[3], lock[1], lock[2]))
    return Sight(activity, tuple(ordered), blocked)
