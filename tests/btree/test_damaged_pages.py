"""Bytes that are damaged: whatever was flipped, cut off, or made to lead in a circle, a reader ends with a tree or with
a sentence."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.btree.images import image
from workbook.btree.page import Snapshot
from workbook.btree.postgres_pages import Layout, page_of
from workbook.btree.postgres_tree import Held, along, some, whole
from workbook.btree.sqlite import free_pages, pages_of, read_sqlite
from workbook.engines import Recipe, database
from workbook.errors import Damaged, Misuse, Unavailable, Unsuitable

PAGE = 8192
TABLES = """
CREATE TYPE mood AS ENUM ('sour', 'glad');
CREATE TABLE t (i int, few int, long text, n numeric, at timestamptz, tm time, d date, u uuid, by bytea, f float8,
    m mood, nm name, b bool);
INSERT INTO t SELECT i, CASE WHEN i % 7 > 0 THEN i % 7 END, i || (SELECT string_agg(md5((i * 31 + j)::text),
    '') FROM generate_series(1, 18) j), i * 1.5e3 / (1 + i % 9), timestamptz '2020-01-01' + i * interval '1 hour',
    time '00:00' + i * interval '1 s',
    date '2020-01-01' + i, md5(i::text)::uuid, decode(md5(i::text), 'hex'), i / 3.0, (ARRAY['sour',
        'glad'])[1 + i % 2]::mood, 'n' || i, i % 2 = 0 FROM generate_series(1, 3000) i;
CREATE INDEX deep ON t (long) WHERE i % 5 = 0; CREATE INDEX narrow ON t (i); CREATE INDEX few ON t (few);
CREATE INDEX everything ON t (few, n, at, tm, d, u, by, f, m, nm, b) WHERE i < 800;
CREATE INDEX squeezed ON t (repeat(long, 3)) WHERE i < 60;
"""
KEYS: dict[str, Any] = {"deep": "5", "narrow": 1234, "few": 3, "everything": (3, 100), "squeezed": "2"}


@pytest.fixture(scope="module")
def images() -> dict[str, tuple[Held, Layout]]:
    with database(Recipe("for damage", TABLES)) as made:
        made.run("DELETE FROM t WHERE i BETWEEN 1000 AND 1800")
        made.vacuum()
        found = {name: image(made, name) for name in KEYS}
    assert whole(*found["deep"]).height >= 3 and any(
        page.state == "deleted" for page in whole(*found["narrow"]).pages.values()
    )
    assert any(len(entry.pointers) > 1 for page in whole(*found["few"]).leaves() for entry in page.entries)
    return found


@contextlib.contextmanager
def ends(seconds: int = 30) -> Iterator[None]:
    """Fail where what is inside does not come to an end."""

    if not hasattr(signal, "SIGALRM"):  # on Windows the whole run's deadline must do
        yield
        return

    def stop(*_: object) -> None:
        raise AssertionError(f"it has not ended after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(read: Callable[[], Any]) -> str:
    """What a reading ends with: `tree`, or the sentence of one of our errors; anything else fails the test."""
    with ends():
        try:
            found = read()
            if isinstance(found, Snapshot):
                looked_at(found)
            return "tree"
        except (Damaged, Misuse, Unsuitable, Unavailable) as error:
            assert (
                len(str(error)) > 20
                and "Traceback" not in str(error)
                and "Error" not in str(error).replace("error:", "")
            )
            return str(error)


def looked_at(snapshot: Snapshot) -> None:
    """Everything that a picture and a text take from a snapshot."""
    assert str(snapshot) and snapshot.rows >= 0 and snapshot.fragmentation >= 0 and snapshot.density <= 1
    assert len(snapshot.data()["pages"]) == len(snapshot.pages)
    assert sum(snapshot.counts.values()) <= len(snapshot.pages) and snapshot.dead_rows <= snapshot.rows


ODD = st.sampled_from(
    [0, 1, 2, 3, 5, 7, 8, 0x1FFF, 0x2000, 0x2001, 0x3FFF, 0x7FFF, 0x8000, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000]
)


def damages(size: int, page: int, order: str) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Some damages of a file of `size` bytes: bytes flipped, fields overwritten, pages copied over one another, the end
    cut off. Half of them go to the first bytes or the last of a page, where its structure stands."""
    pages = size // page
    number = st.integers(0, pages - 1)
    places = st.one_of(
        st.integers(0, size - 1),
        st.builds(lambda n, at: n * page + at, number, st.integers(0, 120)),
        st.builds(lambda n, at: (n + 1) * page - 1 - at, number, st.integers(0, 15)),
    )
    values = st.one_of(ODD, st.integers(0, pages + 1), st.integers(0, 2**32 - 1))
    one = st.one_of(
        st.tuples(st.just("flip"), places, st.integers(1, 255)),
        st.tuples(st.just("field"), places, st.sampled_from([2, 4]), values, st.just(order)),
        st.tuples(st.just("copy"), number, number),
        st.tuples(st.just("zero"), number),
        st.tuples(st.just("cut"), st.integers(0, size)),
    )
    return st.lists(one, min_size=1, max_size=5)


def damage(data: bytes, what: list[tuple[Any, ...]], page: int) -> bytes:
    out = bytearray(data)
    for kind, *rest in what:
        if kind == "flip" and rest[0] < len(out):
            out[rest[0]] ^= rest[1]
        elif kind == "field":
            at, width, value, order = rest
            out[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, order)[: max(len(out) - at, 0)]
        elif kind == "copy":
            out[rest[1] * page : (rest[1] + 1) * page] = out[rest[0] * page : (rest[0] + 1) * page]
        elif kind == "zero":
            out[rest[0] * page : (rest[0] + 1) * page] = bytes(page)
        elif kind == "cut":
            del out[rest[0] :]
    return bytes(out)


SHORT = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(SHORT, max_examples=250)


def damaged_index(source: Held, layout: Layout, key: Any, data: st.DataObject) -> None:
    what = data.draw(damages(len(source.data), PAGE, "little"))
    broken = Held(damage(source.data, what, PAGE), PAGE)
    outcome(lambda: whole(broken, layout))
    outcome(lambda: along(broken, layout, key))
    outcome(lambda: some(broken, layout, [data.draw(st.integers(1, source.count))]))


def damaged_page(source: Held, layout: Layout, data: st.DataObject) -> None:
    """The entries of one page, with all kinds of values on it."""
    number = data.draw(st.integers(1, source.count - 1))
    page = source.read(number, 1)
    what = data.draw(damages(PAGE, PAGE, "little"))
    outcome(lambda: page_of(number, damage(page, what, PAGE), layout))


class TestPostgres:
    @pytest.mark.parametrize("name", KEYS)
    @SHORT
    @given(data=st.data())
    def test_any_damage(self, images: dict[str, tuple[Held, Layout]], name: str, data: st.DataObject) -> None:
        damaged_index(*images[name], KEYS[name], data)
        damaged_page(*images[name], data)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", KEYS)
    @LONG
    @given(data=st.data())
    def test_much_damage(self, images: dict[str, tuple[Held, Layout]], name: str, data: st.DataObject) -> None:
        damaged_index(*images[name], KEYS[name], data)
        damaged_page(*images[name], data)

    def test_siblings_in_a_circle(self, images: dict[str, tuple[Held, Layout]]) -> None:
        source, layout = images["deep"]
        full = whole(source, layout)
        for page in [*full.leaves()[:5], *full.level(1)]:
            for target in (page.number, full.leaves()[0].number, page.left or page.number):
                broken = patched(source, page.number, PAGE - 12, target)
                assert "is damaged" in outcome(lambda broken=broken: whole(broken, layout))
                assert outcome(lambda broken=broken: along(broken, layout, "\x7f"))

    def test_a_search_that_is_led_in_a_circle(self, images: dict[str, tuple[Held, Layout]]) -> None:
        source, layout = images["narrow"]
        full = whole(source, layout)
        last = full.leaves()[-2]
        broken = patched(source, last.number, PAGE - 12, last.number)
        assert (
            "its right siblings run in a circle" in outcome(lambda: along(broken, layout, 10**9))
            or full.leaves()[-1].number in along(broken, layout, 10**9).pages
        )
        first = full.leaves()[0]
        broken = patched(patched(source, full.root, PAGE - 12, first.number), first.number, PAGE - 8, 0)
        assert "is damaged" in outcome(lambda: along(broken, layout, 5))

    def test_children_that_lead_up_again(self, images: dict[str, tuple[Held, Layout]]) -> None:
        source, layout = images["deep"]
        full = whole(source, layout)
        page = full.pages[full.root]
        raw = source.read(page.number, 1)
        at = (
            int.from_bytes(raw[24:28], "little") & 0x7FFF
        )  # the first entry of the root, whose first six bytes lead down
        for target in (page.number, 0, source.count, 2**31):
            broken = patched(source, page.number, at, (target >> 16) | (target & 0xFFFF) << 16)
            for read in (lambda broken=broken: whole(broken, layout), lambda broken=broken: along(broken, layout, "")):
                assert "damaged" in outcome(read)

    def test_a_root_that_is_none(self, images: dict[str, tuple[Held, Layout]]) -> None:
        source, layout = images["deep"]
        for root in (1, source.count, 2**32 - 1, whole(source, layout).leaves()[3].number):
            broken = patched(source, 0, 24 + 8, root)
            assert "damaged" in outcome(lambda broken=broken: whole(broken, layout))
            assert "damaged" in outcome(lambda broken=broken: along(broken, layout, "5"))
        for version in (0, 1, 5, 9):
            assert f"it says version {version}" in outcome(lambda v=version: whole(patched(source, 0, 28, v), layout))
        assert "it is no metapage" in outcome(lambda: whole(patched(source, 0, 24, 7), layout))

    def test_every_length_of_a_file(self, images: dict[str, tuple[Held, Layout]]) -> None:
        source, layout = images["few"]
        for length in [*range(0, len(source.data), 2039), len(source.data) - 1]:
            said = outcome(lambda length=length: whole(Held(source.data[:length], PAGE), layout))
            assert "damaged" in said

    def test_a_page_of_other_bytes(self, images: dict[str, tuple[Held, Layout]]) -> None:
        _, layout = images["narrow"]
        for body in (b"\xff" * PAGE, b"x" * PAGE, bytes(range(256)) * 32, b""):
            with pytest.raises(Damaged, match=r"Page 3 of narrow is damaged: .+\. Next: read it once more"):
                page_of(3, body, layout)


def patched(source: Held, number: int, at: int, value: int) -> Held:
    """A copy with four bytes of a page overwritten."""
    data = bytearray(source.data)
    data[number * PAGE + at : number * PAGE + at + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")
    return Held(bytes(data), PAGE)


SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, b BLOB); CREATE INDEX t_s ON t (s, b);
CREATE TABLE w (a TEXT PRIMARY KEY, c) WITHOUT ROWID;
CREATE INDEX w_c ON w (c DESC);
"""
TREES = {"t": 70, "t_s": ("s5",), "w": "a3", "w_c": (None,), "sqlite_schema": 2}


@dataclass(frozen=True)
class File:
    """A database, and the bytes of its pages."""

    data: bytes = field(repr=False)
    page: int


@pytest.fixture(scope="module", params=[(512, 0, "UTF-8"), (1024, 1, "UTF-16le"), (2048, 0, "UTF-8")])
def file(request: pytest.FixtureRequest) -> File:
    """A small file with all that there is: overflow, free pages, pointer maps, trees of three levels."""
    size, vacuum, encoding = request.param
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for pragma in (f"page_size = {size}", f"auto_vacuum = {vacuum * 2}", f"encoding = '{encoding}'"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(SCHEMA)
    for i in range(200):
        connection.execute("INSERT INTO t VALUES (?, ?, ?)", (i, f"s{i % 20}" * (i % 30), bytes(i * 23 % 2900)))
        connection.execute("INSERT INTO w VALUES (?, ?)", (f"a{i}", [None, i, i / 3, "x" * i][i % 4]))
    connection.execute("DELETE FROM t WHERE id BETWEEN 20 AND 60")
    return File(connection.serialize(), size)


def damaged_file(file: File, data: st.DataObject) -> None:
    broken = damage(file.data, data.draw(damages(len(file.data), file.page, "big")), file.page)
    for name, key in TREES.items():
        outcome(lambda name=name: read_sqlite(broken, name))
        outcome(lambda name=name, key=key: read_sqlite(broken, name, key=key))
    outcome(lambda: read_sqlite(broken, "t", pages=[data.draw(st.integers(1, len(file.data) // file.page))]))
    outcome(lambda: free_pages(broken))
    outcome(lambda: pages_of(broken))


class TestSqlite:
    @SHORT
    @given(data=st.data())
    def test_any_damage(self, file: File, data: st.DataObject) -> None:
        damaged_file(file, data)

    @pytest.mark.slow
    @LONG
    @given(data=st.data())
    def test_much_damage(self, file: File, data: st.DataObject) -> None:
        damaged_file(file, data)

    def test_children_and_chains_in_circles(self, file: File) -> None:
        """Page numbers that pages hold, replaced by that of the page itself, the root, the first page, and none."""
        good, size = file.data, file.page
        full = read_sqlite(good, "t")
        inner = [page for page in full.pages.values() if page.level > 0]
        chained = [page for page in full.pages.values() if page.level < 0]
        assert chained and inner
        for page in (*inner[:6], *chained[:: len(chained) // 12 + 1]):
            at = 8 if page.level > 0 else 0
            old = int.from_bytes(good[(page.number - 1) * size + at : (page.number - 1) * size + at + 4], "big")
            for target in {page.number, full.root, 1, 0, 2**32 - 1} - {old}:
                broken = bytearray(good)
                start = (page.number - 1) * size + at
                broken[start : start + 4] = target.to_bytes(4, "big")
                assert "is damaged" in outcome(lambda broken=bytes(broken): read_sqlite(broken, "t"))
                assert "is damaged" in outcome(lambda broken=bytes(broken): pages_of(broken))

    def test_free_lists_in_circles(self, file: File) -> None:
        good, size = file.data, file.page
        trunk = int.from_bytes(good[32:36], "big")
        assert trunk and len(free_pages(good)) > 1
        for at, value in (
            (32, 1),
            (32, 2**31),
            (36, 10**6),
            ((trunk - 1) * size, trunk),
            ((trunk - 1) * size + 4, 2**30),
            ((trunk - 1) * size + 8, trunk),
        ):
            broken = good[:at] + value.to_bytes(4, "big") + good[at + 4 :]
            assert "is damaged" in outcome(lambda broken=broken: free_pages(broken))
            assert "is damaged" in outcome(lambda broken=broken: pages_of(broken))

    def test_every_length_of_a_file(self, file: File) -> None:
        good = file.data
        for length in [*range(0, len(good), 5099), len(good) - 1]:
            said = {outcome(lambda name=name, length=length: read_sqlite(good[:length], name)) for name in TREES}
            assert said != {"tree"}

    @SHORT
    @given(data=st.data())
    def test_a_damaged_file_with_a_damaged_log(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        good, log = logged()
        folder: Path = tmp_path_factory.getbasetemp() / "damaged-log"
        folder.mkdir(exist_ok=True)
        for rest in folder.iterdir():
            rest.unlink()
        path = folder / "t.sqlite"
        path.write_bytes(
            damage(good, data.draw(damages(len(good), 1024, "big")), 1024) if data.draw(st.booleans()) else good
        )
        Path(f"{path}-wal").write_bytes(damage(log, data.draw(damages(len(log), 1048, "big")), 1048))
        for name, key in TREES.items():
            outcome(lambda name=name: read_sqlite(path, name))
            outcome(lambda name=name, key=key: read_sqlite(path, name, key=key))
        outcome(lambda: pages_of(path))

    def test_a_damaged_schema_that_sqlite_quotes(self, tmp_path: Path) -> None:
        """What SQLite says of it is no text, and Python's module raises for that what is no error of SQLite's."""
        good, log = logged()
        path = tmp_path / "t.sqlite"
        path.write_bytes(good.replace(b"CREATE TABLE t", b"CREATE\xffTABLE\xfet", 1))
        Path(f"{path}-wal").write_bytes(log[:32])
        assert outcome(lambda: read_sqlite(path, "t")) == "tree"
        path.write_bytes(good.replace(b"tablett\x02CREATE TABLE", b"table\xfft\x02CREATE TABLX", 1))
        assert outcome(lambda: read_sqlite(path, "t")) != "tree"


_logged: list[tuple[bytes, bytes]] = []


def logged() -> tuple[bytes, bytes]:
    """A file and its log, of which the file knows nothing yet."""
    if not _logged:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.sqlite"
            connection = sqlite3.connect(path, isolation_level=None)
            connection.executescript(
                f"PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; {SCHEMA} PRAGMA wal_checkpoint(TRUNCATE)"
            )
            for i in range(60):
                connection.execute("INSERT INTO t VALUES (?, ?, ?)", (i, f"s{i % 20}", bytes(i * 30)))
            _logged.append((path.read_bytes(), Path(f"{path}-wal").read_bytes()))
            connection.close()
    return _logged[0]
