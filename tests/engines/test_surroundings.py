"""What a cluster finds around it: variables that the person has set for servers of their own, files that a power cut left
empty, folders of another user, a server that lets nobody in."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

from workbook.engines import clean, cluster, database, places, shop
from workbook.engines.cluster import Cluster
from workbook.errors import Unavailable

THEIRS = {
    "PGCHANNELBINDING": "require",
    "PGCLIENTENCODING": "LATIN1",
    "PGDATESTYLE": "German",
    "PGGSSENCMODE": "require",
    "PGHOSTADDR": "192.0.2.1",
    "PGOPTIONS": "-c enable_seqscan=off",
    "PGREQUIREAUTH": "md5",
    "PGSERVICE": "production",
    "PGTARGETSESSIONATTRS": "standby",
    "PGTZ": "Asia/Tokyo",
}
SETTINGS = "SELECT " + ", ".join(
    f"current_setting('{name}')" for name in ("timezone", "datestyle", "client_encoding", "enable_seqscan")
)


def test_what_is_set_for_ones_own_servers_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    if cluster().url:
        monkeypatch.delenv("WORKBOOK_POSTGRES_URL")
    for name, value in THEIRS.items():
        monkeypatch.setenv(name, value)
    with database(shop(orders=1_000)) as made:
        wanted = ("UTC", "ISO, MDY", "UTF8", "on")
        assert made.run(SETTINGS).rows == [wanted]
        with made.cluster.open(**made._login) as bare:
            assert bare.execute(SETTINGS).fetchone() == wanted
    assert {name: os.environ[name] for name in THEIRS} == THEIRS


def test_threads_may_connect_at_once_and_the_last_gives_back_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "theirs")
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    first.enter_context(places.undisturbed())
    second.enter_context(places.undisturbed())
    first.close()
    assert "PGHOST" not in os.environ
    second.close()
    assert os.environ["PGHOST"] == "theirs"


def test_a_cluster_whose_file_is_wrong_or_empty(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBOOK_STATE", str(open_folder))
    try:
        home = Cluster("counting").ensure()
        file = home.folder / "cluster.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"password": "no longer"}))
        with pytest.raises(
            Unavailable, match=r"lets nobody in\. Tried: password authentication failed.*`workbook clean`"
        ):
            Cluster("counting").ensure()
        assert home.stop()
        file.write_text("")
        assert Cluster("counting").ensure().admin("SELECT 1") == [(1,)]
    finally:
        clean()


@pytest.mark.skipif(sys.platform == "win32", reason="nobody owns a folder by a number there")
@pytest.mark.parametrize("name", ["servers", "files"])
def test_a_folder_of_another_user(name: str, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBOOK_STATE", str(open_folder))
    (open_folder / name).mkdir()
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    with pytest.raises(Unavailable, match=rf"/{name} belongs to another user\. Next: give it back with chown"):
        places.kept(name)


def test_connections_run_out() -> None:
    with database(shop(orders=1_000)) as made:
        with (
            contextlib.ExitStack() as held,
            pytest.raises(Unavailable, match=r"has no connection left.*Next: restart the kernels"),
        ):
            for _ in range(200):
                held.enter_context(made.connect())
        made.settle()
        assert made.run("SELECT 1").rows == [(1,)]
