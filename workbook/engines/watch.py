"""Stops a server that nobody has used for half an hour: `python -m workbook.engines.watch PROFILE`.

It looks once a minute who is connected. A kernel that holds a database open counts as use, also while it is idle; so
the server goes once the last notebook is closed. When the server is gone, so is the watcher.
"""

from __future__ import annotations

import sys
import time

import psycopg

from workbook.engines.cluster import Cluster

IDLE_S_MAX, LOOK_S = 1800, 60
CLIENTS = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()"


def main(profile: str) -> None:
    """Watch the server of a profile until it is idle or gone."""
    watched = Cluster(profile)  # type: ignore[arg-type]
    watched.ensure()
    idle_since = time.monotonic()
    while True:
        time.sleep(LOOK_S)
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


if __name__ == "__main__":
    main(sys.argv[1])
