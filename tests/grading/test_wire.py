"""What is counted between a function and its database: each way to send, and each way to do it unseen."""

from __future__ import annotations

import gc
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from workbook.engines import Database, Recipe, database
from workbook.errors import Unavailable
from workbook.grading.relay import room
from workbook.grading.wire import Traffic, Wire, wired

ROWS = 500
RECIPE = Recipe(
    "a table to send",
    "CREATE TABLE t (i int PRIMARY KEY, x text NOT NULL);"
    f"INSERT INTO t SELECT i, repeat('x', 40) FROM generate_series(1, {ROWS}) i",
)
RUNS = 20


@pytest.fixture(scope="module")
def shop() -> Iterator[Database]:
    with database(RECIPE) as made:
        yield made


@pytest.fixture(scope="module")
def wire(shop: Database) -> Iterator[Wire]:
    with wired(shop) as made:
        made.count(lambda engine: execute(engine, "SELECT * FROM t"))  # the pages are warm now
        yield made


def execute(engine: Engine, *texts: str, **values: Any) -> None:
    with engine.connect() as connection:
        for text in texts:
            connection.execute(sa.text(text), values)


def plain(engine: Engine, **more: Any) -> psycopg.Connection[Any]:
    """A connection of psycopg's own by the same way."""
    url = engine.url
    return psycopg.connect(
        host=url.query["host"], port=url.port, user=url.username, password=url.password, dbname=url.database, **more
    )


def traffic(wire: Wire, work: Callable[[Engine], object]) -> Traffic:
    return wire.count(work)[1]


def test_a_row_is_counted_with_its_bytes(wire: Wire) -> None:
    seen = traffic(wire, lambda engine: execute(engine, "SELECT 1"))
    header, number_of_columns, length, value = 5, 2, 4, 1
    assert seen == Traffic(statements=1, rows=1, bytes=header + number_of_columns + length + value, pages=0)


def test_the_same_twenty_times(wire: Wire) -> None:
    def work(engine: Engine) -> None:
        for number in range(8):  # from the sixth on psycopg prepares it
            execute(engine, "SELECT * FROM t WHERE i = :i", i=number)
        execute(engine, "SELECT * FROM t", "SELECT count(*) FROM t")

    seen = {traffic(wire, work) for _ in range(RUNS)}
    assert len(seen) == 1
    (one,) = seen
    assert (one.statements, one.rows, one.written, one.strangers) == (10, 7 + ROWS + 1, 0, 0)
    assert one.pages > 16 and one.bytes > ROWS * 40


def prepared(engine: Engine) -> None:
    with plain(engine) as connection:
        for number in range(12):
            connection.execute("SELECT x FROM t WHERE i = %s", (number + 1,), prepare=number > 2).fetchall()


def several_in_one_text(engine: Engine) -> None:
    with plain(engine) as connection:
        connection.execute("SELECT 1; SELECT * FROM t LIMIT 3; SELECT 2")


def a_pipeline(engine: Engine) -> None:
    with plain(engine) as connection, connection.pipeline():
        for number in range(5):
            connection.execute("SELECT x FROM t WHERE i = %s", (number + 1,))


def a_cursor_of_the_server(engine: Engine) -> None:
    with plain(engine) as connection, connection.cursor("slowly") as cursor:
        cursor.execute("SELECT * FROM t")
        while cursor.fetchmany(100):
            pass


def a_copy(engine: Engine) -> None:
    with plain(engine) as connection, connection.cursor().copy("COPY (SELECT * FROM t) TO STDOUT") as copy:
        for _ in copy:
            pass


def a_stream_of_single_rows(engine: Engine) -> None:
    with plain(engine) as connection:
        for _ in connection.cursor().stream("SELECT * FROM t"):
            pass


def a_refused_one_and_then_one(engine: Engine) -> None:
    with plain(engine) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / %s", (0,))
        connection.rollback()
        connection.execute("SELECT 1")


def transactions_within(engine: Engine) -> None:
    with plain(engine) as connection:
        for _ in range(3):
            with connection.transaction():
                connection.execute("SELECT 1")


def two_at_a_time(engine: Engine) -> None:
    threads = [threading.Thread(target=execute, args=(engine, "SELECT * FROM t")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def an_engine_of_ones_own(engine: Engine) -> None:
    execute(sa.create_engine(engine.url), "SELECT * FROM t LIMIT 7")


@pytest.mark.parametrize(
    ("work", "statements", "rows"),
    [
        (prepared, 12, 12),
        (several_in_one_text, 3, 5),
        (a_pipeline, 5, 5),
        (a_cursor_of_the_server, 1 + ROWS // 100 + 1 + 1, ROWS),  # DECLARE, FETCH until one is empty, CLOSE
        (a_copy, 1, ROWS),
        (a_stream_of_single_rows, 1, ROWS),
        (a_refused_one_and_then_one, 2, 1),
        (transactions_within, 3, 3),
        (two_at_a_time, 4, 4 * ROWS),
        (an_engine_of_ones_own, 1, 7),
    ],
)
def test_each_way_to_send_a_statement_is_counted(
    wire: Wire, work: Callable[[Engine], None], statements: int, rows: int
) -> None:
    seen = traffic(wire, work)
    assert (seen.statements, seen.rows, seen.strangers) == (statements, rows, 0)


def test_what_an_engine_asks_when_it_first_connects_is_no_statement(wire: Wire) -> None:
    seen = traffic(wire, lambda engine: sa.create_engine(engine.url).connect().close())
    assert (seen.statements, seen.rows, seen.bytes) == (0, 0, 0)


def test_what_an_engine_asks_counts_when_work_has_begun(wire: Wire) -> None:
    """A temporary table under the name of a catalog would make rows of one's own out of a text that is free."""

    (types,) = [text for text in wire.own if b"pg_type" in text]

    def borrowed(engine: Engine) -> None:
        with plain(engine) as connection:
            assert connection.pgconn.exec_params(types, [b"hstore"]).ntuples == 0
            connection.execute(
                "CREATE TEMP TABLE pg_type AS SELECT 'int4' typname, 23::oid oid, 0::oid typarray, ',' typdelim FROM t"
            )
            assert connection.pgconn.exec_params(types, [b"int4"]).ntuples == ROWS

    seen = traffic(wire, borrowed)
    assert (seen.statements, seen.rows) == (2, ROWS)


VIEW = "CREATE VIEW public.pg_type AS SELECT 'int4' typname, 23::oid oid, 0::oid typarray, ',' typdelim FROM t"
FUNCTION = "CREATE FUNCTION public.current_schema() RETURNS text LANGUAGE sql AS 'SELECT string_agg(x, '','') FROM t'"


@pytest.mark.parametrize(
    ("text", "values", "make", "drop", "rows"),
    [
        (b"pg_type", [b"int4"], VIEW, "DROP VIEW public.pg_type", ROWS),
        (b"schema", [], FUNCTION, "DROP FUNCTION public.current_schema", 1),
    ],
)
def test_what_an_engine_asks_counts_when_it_gives_something_else(
    wire: Wire, text: bytes, values: list[bytes], make: str, drop: str, rows: int
) -> None:
    """What stands under the name of a catalog for one session can be made by another."""
    (own,) = [known for known in wire.own if text in known]

    def borrowed(engine: Engine) -> None:
        with plain(engine) as connection:
            connection.execute(make)
        for _ in range(3):
            with plain(engine, options="-c search_path=public,pg_catalog") as connection:
                assert connection.pgconn.exec_params(own, values).ntuples == rows
        with plain(engine) as connection:
            connection.execute(drop)

    seen = traffic(wire, borrowed)
    assert (seen.statements, seen.rows) == (5, 3 * rows) and seen.bytes > ROWS * 40


def test_a_name_does_not_stand_for_the_text_that_it_once_had(wire: Wire) -> None:
    (version,) = [text for text in wire.own if b"version" in text]

    def renamed(engine: Engine) -> None:
        with plain(engine) as connection:
            connection.pgconn.prepare(b"mine", version)
            connection.pgconn.exec_(b"DEALLOCATE mine")
            connection.pgconn.exec_(b"PREPARE mine AS SELECT * FROM t")
            for _ in range(3):
                connection.pgconn.exec_prepared(b"mine", [])

    seen = traffic(wire, renamed)
    assert (seen.statements, seen.rows) == (1 + 3, 3 * ROWS)


def test_a_notice_carries_bytes(wire: Wire) -> None:
    shout = "DO $$ BEGIN RAISE NOTICE '%', repeat('row', 1000); END $$"
    assert traffic(wire, lambda engine: execute(engine, shout)).bytes > 3000


def test_errors_settings_and_notifications_carry_bytes(wire: Wire) -> None:
    def refused(engine: Engine) -> None:
        with pytest.raises(sa.exc.DBAPIError):
            execute(engine, "DO $$ BEGIN RAISE EXCEPTION '%', repeat('row', 1000); END $$")

    def notified(engine: Engine) -> None:
        with plain(engine, autocommit=True) as one, plain(engine, autocommit=True) as other:
            one.execute("LISTEN rows")
            other.execute("SELECT pg_notify('rows', repeat('row', 1000))")
            assert len(next(one.notifies(timeout=10)).payload) == 3000

    setting = "SELECT set_config('search_path', repeat('row', 1000), false) IS NULL"
    for work in (refused, notified, lambda engine: execute(engine, setting)):
        assert traffic(wire, work).bytes > 3000


def test_what_is_written_is_counted_even_if_it_is_taken_back(wire: Wire) -> None:
    seen = traffic(wire, lambda engine: execute(engine, "UPDATE t SET x = x WHERE i < 4"))
    assert (seen.written, seen.statements) == (3, 1)


def test_a_session_that_went_another_way_is_a_stranger(shop: Database, wire: Wire) -> None:
    def elsewhere(engine: Engine) -> None:
        with shop.connect() as connection:
            connection.execute("SELECT * FROM t")

    seen = traffic(wire, elsewhere)
    assert (seen.statements, seen.rows, seen.strangers) == (0, 0, 1)


def test_a_session_that_is_kept_open_is_ended_and_its_pages_are_counted(wire: Wire) -> None:
    kept = []

    def keeping(engine: Engine) -> None:
        kept.append(plain(engine))
        kept[0].execute("SELECT * FROM t")

    first, again = (traffic(wire, lambda engine: execute(engine, "SELECT * FROM t")) for _ in range(2))
    seen = traffic(wire, keeping)
    assert first == again == seen
    with pytest.raises(psycopg.OperationalError):
        kept[0].execute("SELECT 1")


def test_a_connection_that_is_kept_and_thrown_away_later_says_nothing(
    wire: Wire, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    kept = []

    def keeping(engine: Engine) -> None:
        kept.append(engine.connect())
        kept[0].execute(sa.text("SELECT 1"))

    assert traffic(wire, keeping).statements == 1
    kept.clear()
    gc.collect()
    assert capfd.readouterr().err == "" and not caplog.records


def test_what_the_work_raises_comes_through_and_the_wire_goes_on(wire: Wire) -> None:
    def failing(engine: Engine) -> None:
        execute(engine, "SELECT * FROM t")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        wire.count(failing)
    assert traffic(wire, lambda engine: execute(engine, "SELECT 1")).statements == 1


def test_a_statement_can_be_cancelled_through_it(wire: Wire) -> None:
    def cancelled(engine: Engine) -> None:
        with plain(engine) as connection:
            begun = threading.Event()

            def cancel() -> None:
                begun.wait()
                while connection.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                    connection.cancel_safe()

            thread = threading.Thread(target=cancel)
            thread.start()
            connection.add_notice_handler(lambda notice: begun.set())
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(60); END $$")
            thread.join()

    assert traffic(wire, cancelled).statements == 1


def test_a_request_for_encryption_is_answered_with_no(wire: Wire) -> None:
    family = getattr(socket, "AF_UNIX", None)
    with socket.socket(family) if family else socket.socket() as client:
        client.connect(f"{wire.host}/.s.PGSQL.{wire.port}" if family else (wire.host, wire.port))
        client.sendall(struct.pack("!II", 8, 80877103))
        assert client.recv(1) == b"N"


def test_a_temporary_folder_with_a_long_path(shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with wired(shop) as made:
        assert traffic(made, lambda engine: execute(engine, "SELECT 1")).statements == 1


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no path is too long where there are no Unix sockets")
def test_where_no_folder_will_do_a_sentence_says_what_will(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/" + "x" * 100)
    monkeypatch.setattr("tempfile.mkdtemp", Mock(side_effect=PermissionError("no room")))
    with pytest.raises(Unavailable, match=r"too long for a socket.*Next: set TMPDIR to a shorter path"):
        room("wb-")


def test_nothing_is_left_behind(shop: Database) -> None:
    with wired(shop) as made:
        folder, url = Path(made.host), made.engine.url
        assert folder.exists()
    assert not folder.exists()
    with pytest.raises(sa.exc.OperationalError):
        sa.create_engine(url).connect()
