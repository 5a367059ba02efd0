"""What `read_index` refuses, each in one sentence; and that no name of a learner's leads it elsewhere."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from workbook.btree.postgres import _File, read_index
from workbook.engines import Database, Recipe, database, places, shop
from workbook.errors import Damaged, Misuse, Unavailable, Unsuitable

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, a text, b int, tags int[], words tsvector);
INSERT INTO t SELECT i, md5(i::text), i % 10, ARRAY[i], to_tsvector('simple', 'w' || i) FROM generate_series(1, 2000) i;
CREATE INDEX t_a ON t (a); CREATE INDEX t_two ON t (b, a); CREATE INDEX t_hash ON t USING hash (a);
CREATE INDEX t_gin ON t USING gin (tags);
CREATE INDEX t_brin ON t USING brin (id); CREATE INDEX "Odd Name.x" ON t (b); CREATE INDEX "MixedCase" ON t (b);
CREATE INDEX t_tags ON t (tags);
CREATE VIEW seen AS SELECT id FROM t; CREATE SEQUENCE counter; CREATE MATERIALIZED VIEW kept AS SELECT id FROM t;
CREATE TABLE parted (k int PRIMARY KEY) PARTITION BY RANGE (k);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE UNLOGGED TABLE fleeting (i int PRIMARY KEY);
CREATE COLLATION tongue (provider = libc, locale = 'C'); CREATE TABLE spoken (s text COLLATE tongue);
CREATE INDEX spoken_s ON spoken (s); CREATE INDEX "dotted.index" ON spoken (s);
"""
SCHEMAS = """
CREATE SCHEMA aside; CREATE TABLE aside.t (id int PRIMARY KEY); CREATE TABLE aside.only (id int PRIMARY KEY);
CREATE INDEX mine ON aside.t (id);
CREATE SCHEMA other; CREATE TABLE other.u (id int); CREATE INDEX mine ON other.u (id);
"""


@pytest.fixture(scope="module")
def shelf() -> Iterator[Database]:
    with database(Recipe("what is refused", TABLES)) as made:
        made.run(SCHEMAS)
        yield made


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("t_b", Misuse, "There is no index t_b. Next: there are .*t_a"),
        ("t", Unsuitable, "t is a table, and this reads indexes. Next: its indexes are .*\"Odd Name.x\".*t_a.*t_pkey"),
        ("seen", Unsuitable, "seen is a view"),
        ("counter", Unsuitable, "counter is a sequence"),
        ("kept", Unsuitable, "kept is a materialized view"),
        ("parted", Unsuitable, "parted is a partitioned table"),
        ("parted_pkey", Unsuitable, "is an index of a partitioned table, which has no.* its parts: parted_low_pkey"),
        ("t_hash", Unsuitable, "t_hash is an index of the kind hash, and this reads B-trees"),
        ("t_gin", Unsuitable, "of the kind gin"),
        ("t_brin", Unsuitable, "of the kind brin"),
        ("fleeting_pkey", Unsuitable, "fleeting_pkey is an index of an unlogged table"),
        ("mine", Misuse, r"Several relations are called mine. Next: write one of aside\.mine, other\.mine"),
        ("pg_catalog.pg_class_oid_index", Unsuitable, "belongs to postgres"),
        ("a b c", Misuse, "'a b c' is no name of an index"),
        ("", Misuse, "'' is no name of an index"),
        ("x; DROP TABLE t", Misuse, "is no name of an index"),
        ("nowhere.t_a", Misuse, r"There is no index nowhere\.t_a"),
        ("Odd Name.x", Misuse, "A name such as Odd Name.x needs quotes. Next: write '\"Odd Name.x\"', the double quotes"),
        ("dotted.index", Misuse, "A name such as dotted.index needs quotes. Next: write '\"dotted.index\"', the"),
        ("doted_index", Misuse, "There is no index doted_index. Next: there are .*\"dotted.index\""),
        (7, Misuse, "7 is no name of an index"),
        (None, Misuse, "None is no name"),
    ],
)  # fmt: skip
def test_a_name_that_means_no_tree(shelf: Database, name: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as refused:
        read_index(shelf.engine, name)
    assert type(refused.value) is error


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("t_a", "t_a"),
        ("T_A", "t_a"),
        ("public.t_a", "t_a"),
        (' "t_a" ', "t_a"),
        ("MixedCase", "MixedCase"),
        ('"MixedCase"', "MixedCase"),
        ('"Odd Name.x"', "Odd Name.x"),
        ("t_pkey", "t_pkey"),
        ("aside.t_pkey", "aside.t_pkey"),
        ("only_pkey", "aside.only_pkey"),
        ('aside."mine"', "aside.mine"),
        ("parted_low_pkey", "parted_low_pkey"),
    ],
)
def test_names_as_sql_takes_them_and_as_they_are_written(shelf: Database, name: str, shown: str) -> None:
    assert read_index(shelf.engine, name).name == shown


@pytest.mark.parametrize(
    ("index", "key", "error", "says"),
    [
        ("t_pkey", "x", Misuse, "The column id is of type int4, and 'x' is no such value"),
        ("t_pkey", 1.5, Misuse, "of type int4, and 1.5"),
        ("t_pkey", True, Misuse, "of type int4, and True"),
        ("t_pkey", (1, 2), Misuse, "t_pkey has 1 key columns, and the key has 2"),
        ("t_pkey", (), Misuse, "the key has 0"),
        ("t_two", (1, 5), Misuse, "The column a is of type text, and 5"),
        (
            "t_tags",
            b"x",
            Unsuitable,
            "A key of t_tags cannot be looked for here: tags is ordered by operators of its own",
        ),
    ],
)
def test_a_key_that_cannot_be_looked_for(
    shelf: Database, index: str, key: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        read_index(shelf.engine, index, key=key)


def test_what_is_asked_for_must_make_sense(shelf: Database) -> None:
    with pytest.raises(Misuse, match="Either some pages are asked for, or a key"):
        read_index(shelf.engine, "t_a", pages="all", key="x")
    for wrong in ("root", b"1", ["1"], [1.5], 7):
        with pytest.raises(Misuse, match="There are no pages"):
            read_index(shelf.engine, "t_a", pages=wrong)  # type: ignore[arg-type]
    for wrong in (0, -1, 10_000, 2**40):
        with pytest.raises(Misuse, match=f"t_a has no page {wrong}. Next: its pages are 1 to"):
            read_index(shelf.engine, "t_a", pages=[1, wrong])
    with pytest.raises(Misuse, match="no engine of the workbook"):
        read_index(sa.create_engine("sqlite://"), "t_a")
    for kind, following in (("sqlite", r"Next: read_sqlite"), ("duckdb", "reads indexes of PostgreSQL")):
        with database(shop(orders=1_000), kind=kind) as other, pytest.raises(Misuse, match=following):
            read_index(other.engine, "orders_pkey")


def test_an_empty_index_has_no_page_to_ask_for(shelf: Database) -> None:
    assert read_index(shelf.engine, "aside.only_pkey", pages=[]).height == 0
    with pytest.raises(Misuse, match=r"aside\.only_pkey has no page 1. Next: it is empty: ask for none, pages=\[\]"):
        read_index(shelf.engine, "aside.only_pkey", pages=[1])


def test_an_index_that_was_never_built_is_said_to_be_invalid(shelf: Database) -> None:
    """CREATE UNIQUE INDEX CONCURRENTLY finds duplicates, and leaves an index without a page behind."""
    with shelf.fresh() as made:
        with made.cluster.connect(made.name) as session:
            session.autocommit = True
            with pytest.raises(psycopg.errors.UniqueViolation):
                session.execute("CREATE UNIQUE INDEX CONCURRENTLY inv ON public.t (b)")
        made.cluster.admin(f'ALTER TABLE public.t OWNER TO "{made.name}"', made.name)
        for what in ({}, {"key": 1}, {"pages": [1]}):
            with pytest.raises(
                Unsuitable, match=r"inv is an invalid index: it was never built.*DROP INDEX inv"
            ) as said:
                read_index(made.engine, "inv", **what)
            assert not isinstance(said.value, Damaged)


def test_a_collation_by_a_language_is_read_but_not_searched(shelf: Database) -> None:
    """The wheel knows C alone, so that a collation of another name stands in for a language's: its locale decides."""
    assert read_index(shelf.engine, "spoken_s").height == 0
    home = shelf.cluster
    home.admin("UPDATE pg_catalog.pg_collation SET collcollate = 'de_DE.utf8' WHERE collname = 'tongue'", shelf.name)
    with pytest.raises(Unsuitable, match=r"s is ordered by the collation de_DE\.utf8, which is not known here"):
        read_index(shelf.engine, "spoken_s", key="x")


def test_a_temporary_index_is_refused(shelf: Database) -> None:
    with shelf.engine.connect() as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE mayfly (i int PRIMARY KEY)")
        connection.commit()
        with pytest.raises(Unsuitable, match=r"mayfly_pkey is an index of a temporary table"):
            read_index(shelf.engine, "mayfly_pkey")


def test_what_another_role_owns_is_not_read(shelf: Database) -> None:
    shelf.cluster.admin(
        "CREATE TABLE public.secret (word text PRIMARY KEY); INSERT INTO public.secret VALUES ('hidden')", shelf.name
    )
    with pytest.raises(Unsuitable, match="secret_pkey belongs to postgres, and only what is your own is read"):
        read_index(shelf.engine, "secret_pkey")
    with pytest.raises(Unsuitable, match="belongs to postgres"):
        read_index(shelf.engine, "secret_pkey", key="hidden")


def test_no_name_and_no_function_of_a_learners_is_used(shelf: Database) -> None:
    """Tables and functions named as the catalog's are, a search path that prefers them, and operators of one's own."""
    with shelf.fresh() as made:
        made.run("""
            CREATE TABLE ran (what text);
            CREATE FUNCTION pg_read_binary_file(text, bigint, bigint) RETURNS bytea LANGUAGE plpgsql
                AS $$ BEGIN INSERT INTO public.ran VALUES ('read'); RETURN ''::bytea; END $$;
            CREATE FUNCTION pg_relation_filepath(oid) RETURNS text LANGUAGE plpgsql
                AS $$ BEGIN INSERT INTO public.ran VALUES ('path'); RETURN '/etc/passwd'; END $$;
            CREATE FUNCTION pg_has_role(name, oid, text) RETURNS bool LANGUAGE plpgsql
                AS $$ BEGIN INSERT INTO public.ran VALUES ('role'); RETURN true; END $$;
            CREATE TABLE pg_class (oid oid, relname text); CREATE TABLE pg_index (indexrelid oid);
            CREATE TABLE pg_attribute (a int);
            CREATE FUNCTION same(name, text) RETURNS bool LANGUAGE plpgsql
                AS $$ BEGIN INSERT INTO public.ran VALUES ('operator'); RETURN true; END $$;
            CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = same)""")
        made.run(f"ALTER ROLE {made.name} SET search_path = public, pg_catalog")
        assert made.run("SELECT pg_relation_filepath(1::oid)").rows == [("/etc/passwd",)], "the trap is none"
        made.cluster.forget(made.name)
        made.run("DELETE FROM ran")
        assert read_index(made.engine, "t_pkey").rows == 2000
        assert read_index(made.engine, "t_pkey", key=7).pages
        assert made.run("SELECT what FROM ran").rows == []


def test_types_and_operators_of_ones_own(shelf: Database) -> None:
    """A type named as one of the catalog's is not taken for it, and a custom order is not searched in."""
    with shelf.fresh() as made:
        made.run("""
            CREATE TYPE public.uuid AS ENUM ('late', 'early'); CREATE TABLE mine_too (u public.uuid, n int);
            INSERT INTO mine_too VALUES ('early', 1), ('late', 2);
            CREATE INDEX mine_u ON mine_too (u);
            CREATE FUNCTION upside(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)';""")
        assert [entry.key for page in read_index(made.engine, "mine_u").leaves() for entry in page.entries] == [
            "late",
            "early",
        ]
        operators = "OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <"
        own = f"CREATE OPERATOR CLASS public.upside_ops FOR TYPE int USING btree AS {operators}"
        made.cluster.admin(f"{own}, FUNCTION 1 public.upside(int, int)", made.name)
        made.run("CREATE INDEX mine_n ON mine_too (n public.upside_ops)")
        assert [entry.key for page in read_index(made.engine, "mine_n").leaves() for entry in page.entries] == [2, 1]
        with pytest.raises(Unsuitable, match="n is ordered by operators of its own"):
            read_index(made.engine, "mine_n", key=1)


def data_folder(made: Database) -> Path:
    return made.cluster.server / "data"


def file_of(made: Database, index: str) -> Path:
    rows = made.run(f"SELECT pg_relation_filepath('{index}')").rows
    return data_folder(made) / rows[0][0]


class TestFilesOfTheServer:
    def test_bytes_that_were_changed_on_disk_are_a_sentence(self, shelf: Database) -> None:
        with shelf.fresh() as made:
            made.checkpoint()
            path = file_of(made, "t_a")
            good = path.read_bytes()
            for at, what in (
                (8192 * 2 + 16, b"\xff\xff"),
                (0, bytes(8192)),
                (8192 + 8192 - 8, b"\x07\0\0\0"),
                (8192 + 24, b"\x01\x00\x00\x00"),
            ):
                path.write_bytes(good[:at] + what + good[at + len(what) :])
                with pytest.raises(Damaged, match=r"Page \d+ of t_a is damaged: .* Next: read it once more") as seen:
                    read_index(made.engine, "t_a")
                assert not re.search(r"error|struct|unpack", str(seen.value))
            path.write_bytes(good)
            assert read_index(made.engine, "t_a").rows == 2000

    def test_a_file_that_was_cut_off(self, shelf: Database) -> None:
        with shelf.fresh() as made:
            made.checkpoint()
            path = file_of(made, "t_a")
            good = path.read_bytes()
            for size in (0, 100, 8192, 8192 * 3, len(good) - 8192, len(good) - 1):
                path.write_bytes(good[:size])
                with pytest.raises((Damaged, Misuse), match="t_a"):
                    read_index(made.engine, "t_a")
                with pytest.raises((Damaged, Misuse), match="t_a"):
                    read_index(made.engine, "t_a", key="ffff")
            path.write_bytes(good)

    def test_a_file_of_more_than_a_gigabyte_goes_on_in_the_next(self, shelf: Database) -> None:
        """With segments of two pages, so that it need not be so large."""
        shelf.checkpoint()
        whole = file_of(shelf, "t_a").read_bytes()
        folder = data_folder(shelf)
        made = []
        try:
            for number in range(0, len(whole) // 16384 + 1):
                part = folder / f"pieces{f'.{number}' if number else ''}"
                part.write_bytes(whole[number * 16384 : (number + 1) * 16384])
                places.give_to_server(part, 0o600)
                made.append(part)
            with shelf.cluster.connect(shelf.name) as connection:
                source = _File(connection, "pieces", len(whole), 8192, 16384)
                assert source.count == len(whole) // 8192
                assert source.read(0, source.count) == whole
                assert source.read(1, 2) == whole[8192 : 3 * 8192] and source.read(3, 1) == whole[3 * 8192 : 4 * 8192]
        finally:
            for part in made:
                part.unlink()

    def test_an_index_that_is_too_large_to_be_read_whole(self, shelf: Database) -> None:
        """A file with a hole of 128 MB, which the reader would have to take for pages."""
        with shelf.fresh() as made:
            made.checkpoint()
            path = file_of(made, "t_pkey")
            kept = path.with_suffix(".kept")
            shutil.copy2(path, kept)
            with path.open("r+b") as file:
                file.truncate(16_386 * 8192)
            with pytest.raises(
                Unsuitable,
                match=r"t_pkey has 16,386 pages; at most 16,384 are read whole. Next: read the path of a key",
            ):
                read_index(made.engine, "t_pkey")
            assert [page.level for page in read_index(made.engine, "t_pkey", key=1500).pages.values()] == [1, 0]
            path.write_bytes(kept.read_bytes())
            kept.unlink()


def test_an_index_that_is_dropped_meanwhile(shelf: Database) -> None:
    """Its file goes away between the look into the catalog and the first page."""
    from workbook.btree import postgres

    with shelf.fresh() as made, made.cluster.connect(made.name) as connection:
        oid, name = postgres._relation(connection, made.name, "t_a")
        made.run("DROP INDEX t_a")
        with pytest.raises(Unavailable, match="The index t_a went away while it was looked at"):
            postgres._layout(connection, oid, name)


def test_reading_beside_a_writer_ends_with_a_tree_or_a_sentence(shelf: Database) -> None:
    with shelf.fresh() as made:
        stop, wrote = threading.Event(), []

        def write() -> None:
            with made.connect() as session:
                while not stop.is_set():
                    number = len(wrote)
                    first = 10_000 + number * 300
                    rows = f"generate_series({first}, {first + 299}) i"
                    session.execute(f"INSERT INTO t SELECT i, md5(i::text), i % 10 FROM {rows}")
                    session.commit()
                    wrote.append(number)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            trees = 0
            while len(wrote) < 25 or trees == 0:
                try:
                    found = read_index(made.engine, "t_a")
                except Damaged:
                    continue
                trees += 1
                assert found.rows >= 2000
        finally:
            stop.set()
            writer.join()
        assert read_index(made.engine, "t_a").rows == 2000 + 300 * len(wrote)
