"""A server of one's own, by WORKBOOK_POSTGRES_URL: what works on an older one, that one like ours is as good as ours,
and that grading refuses one that counts otherwise, in a sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.engines.servers import OURS, major, of_the_system, server
from workbook.engines import cluster, database, places, shop
from workbook.engines.cluster import graded
from workbook.errors import Misuse, SqlError, Unavailable, Unsuitable
from workbook.exercises.start.mend import EXERCISE, VARIANTS
from workbook.grading.judging import verdict_of
from workbook.grading.verdict import Verdict
from workbook.plans import explain

ROOT = Path(__file__).resolve().parents[2]
RIGHT = f"SELECT order_id, status FROM orders WHERE order_id = {VARIANTS[0].order_id}"
NO_SUMS = "--no-data-checksums"


@pytest.fixture(autouse=True)
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBOOK_POSTGRES_URL", raising=False)


@pytest.fixture(scope="module")
def old() -> Iterator[str]:
    """The URL of a server of the system's PostgreSQL, as its package would make it."""
    with server(of_the_system(), {}, "--locale=C.UTF-8") as url:
        yield url


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """The URL of a PostgreSQL 18 with the settings of the profile `counting`, but another locale."""
    with server(
        places.binaries(), OURS, NO_SUMS, "--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"
    ) as url:
        yield url


def judged() -> Verdict:
    return verdict_of(EXERCISE, RIGHT, VARIANTS[0])


@pytest.mark.slow
def test_an_older_server_has_databases_and_plans(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBOOK_POSTGRES_URL", old)
    with database(shop(orders=1_000)) as made:
        assert made.cluster.url == old and made.cluster.version.startswith(f"{major(of_the_system())}.")
        assert made.run("SELECT count(*) FROM orders").rows == [(1000,)]
        assert made.run("SELECT datcollate FROM pg_database WHERE datname = current_database()").rows == [("C",)]
        before = made.catalog()
        made.run("CREATE INDEX i ON orders (status)")
        assert [change.object for change in before.difference(made.catalog())] == ["i"]
        assert made.relation_bytes("i") > 0
        made.vacuum()
        plan = explain("SELECT count(*) FROM orders WHERE order_id = 7", made.engine)
        assert plan.find(kind="Index Only Scan") and plan.buffers.value
        with made.fresh() as other:
            assert "i" not in other.catalog().names("index")
        with pytest.raises(SqlError, match="division by zero"):
            made.run("SELECT 1 / 0")


@pytest.mark.slow
def test_an_older_server_counts_no_transaction_and_no_grade(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBOOK_POSTGRES_URL", old)
    with (
        database(shop(orders=1_000)) as made,
        pytest.raises(Unsuitable, match="those counters are new in 18") as refused,
    ):
        made.measure("SELECT 1")
    assert f"PostgreSQL {major(of_the_system())}." in str(refused.value)
    found = judged()
    assert (found.state, found.points) == ("error", 0)
    assert "Grades cannot be counted on the server of WORKBOOK_POSTGRES_URL" in str(found)
    text = " ".join(str(found).split())
    assert f"it is PostgreSQL {made.cluster.version}, and grades are counted on 18" in text
    assert "autovacuum is on, and must be off" in text


@pytest.mark.slow
def test_a_server_older_than_that_is_refused(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBOOK_POSTGRES_URL", f"{old}&application_name=older")
    version = psycopg.ConnectionInfo.server_version
    monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", property(lambda _: 140_011))
    with pytest.raises(Unsuitable, match=r"is PostgreSQL 14; 15 is the oldest that can be used\. Next: let it name"):
        cluster()
    monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", version)
    assert cluster().refusals()


@pytest.mark.slow
def test_a_user_who_is_no_superuser_is_refused(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(old, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN CREATEDB PASSWORD 'plain'")
        connection.execute("CREATE DATABASE plain OWNER plain")
    where = old.partition("?")[2]
    monkeypatch.setenv("WORKBOOK_POSTGRES_URL", f"postgresql://plain:plain@/plain?{where}")
    with pytest.raises(Unsuitable, match="is no superuser"):
        cluster()


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("no url", Misuse, "is no URL of a database. Next: write it as postgresql://"),
        ("postgresql://host:port/x", Misuse, "is no URL of a database"),
        ("postgresql://me@127.0.0.1:1/x", Unavailable, "does not answer. Tried: .*refused"),
    ],
)
def test_a_url_that_leads_nowhere(url: str, error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBOOK_POSTGRES_URL", url)
    with pytest.raises(error, match=says):
        cluster()
    found = judged()
    assert found.state == "error" and "WORKBOOK_POSTGRES_URL" in str(found)


@pytest.mark.slow
def test_the_tests_of_the_engines_pass_on_a_server_like_ours(own: str) -> None:
    """All of them: those that kill a server, or make clusters, unset the URL for the process that they start."""
    files = [str(ROOT / "tests" / "engines" / name) for name in ("test_databases.py", "test_costs.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *files],
        cwd=ROOT,
        env={**os.environ, "WORKBOOK_POSTGRES_URL": own},
        capture_output=True,
        text=True,
    )
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", last)
    assert passed and int(passed[1]) >= 30, last
    assert "skipped" not in last and "failed" not in last and "deselected" not in last, last
    with psycopg.connect(own) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^(w|t)_'").fetchall()
    assert any(name.startswith("t_") for (name,) in left), "the tests did not use this server"
    assert not any(name.startswith("w_") for (name,) in left), left


@pytest.mark.slow
def test_a_server_like_ours_gives_the_same_verdict(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = judged()
    monkeypatch.setenv("WORKBOOK_POSTGRES_URL", own)
    assert cluster().refusals() == []
    there = judged()
    assert here.full and str(here) == str(there)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "sums", "says"),
    [
        ({"wal_compression": "on"}, NO_SUMS, "wal_compression is pglz, and must be off"),
        ({"work_mem": "8MB"}, NO_SUMS, "work_mem is 8MB, and must be 4MB"),
        ({"enable_nestloop": "off"}, NO_SUMS, "enable_nestloop is off, and must be on"),
        ({}, "--data-checksums", "data_checksums is on, and must be off"),
    ],
)
def test_a_server_with_one_wrong_setting_is_refused_by_name(
    settings: dict[str, str], sums: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(places.binaries(), {**OURS, **settings}, sums) as url:
        monkeypatch.setenv("WORKBOOK_POSTGRES_URL", url)
        assert cluster().refusals() == [says]
        found = judged()
        assert (found.state, found.points) == ("error", 0)
        assert f"WORKBOOK_POSTGRES_URL: {says}." in " ".join(str(found).split())
        with pytest.raises(Unsuitable, match=says), graded():
            database(shop(orders=1_000))
        with database(shop(orders=1_000)) as made:  # to practise on it is no harm
            assert made.run("SELECT count(*) FROM orders").rows == [(1000,)]
