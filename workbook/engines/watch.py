"""Stops a server that nobody has used for half an hour: `python -m workbook.engines.watch PROFILE FOLDER`.

It looks once a minute who is connected. A kernel that holds a database open counts as use, also while it is idle; so
the server goes once the last notebook is closed. When the server is gone, so is the watcher: it starts none, and makes
no cluster, also where the one that it was to watch was stopped or removed before it looked.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psycopg

from workbook.engines.cluster import Cluster

IDLE_S_MAX, LOOK_S = 1800, 60
CLIENTS = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()"


def main(profile: str, folder: str) -> None:
    """Watch the server of a profile, whose cluster stands in a folder, until it is idle or gone."""
    if not Path(folder).exists():
        return
    watched = Cluster(profile)  # type: ignore[arg-type]
    if not watched.known():
        return
    idle_since = time.monotonic()
    while True:
        try:
            with watched.connect() as connection:
                row = connection.execute(CLIENTS).fetchone()
        except psycopg.OperationalError:
            return
        if row and row[0]:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > IDLE_S_MAX:
            watched.stop(fast=False)
            return
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
