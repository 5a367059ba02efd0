"""The two sets of PostgreSQL settings under which the workbook measures.

    counting     what is counted repeats: no autovacuum, no parallel workers, no page images, whole-table statistics
    production   PostgreSQL's defaults, with prepared transactions; for kills, replicas and page images

`SERVER` settings stand in the cluster's configuration file, so that any connection has them, the learner's own psql
too. `SESSION` settings stand there as well, and each connection of ours asks for them again when it starts: that wins
over `ALTER ROLE ... SET`, so that a learner cannot change what is counted.

`max_wal_size` is 2 GB, the cap on the disk, although the figures in the literature of this workbook were taken with 8
GB: it only decides how often a checkpoint comes, and without checksums and page images a checkpoint changes no
counter of another backend (`tests/engines/test_costs.py` holds that).

    >>> SERVER["counting"]["autovacuum"]
    'off'
    >>> "jit" in SESSION["production"]
    False
"""

from __future__ import annotations

import sys
from typing import Literal

Profile = Literal["counting", "production"]

# Whatever the profile: guards of the person's disk and of the next call.
GUARDS = {
    "temp_file_limit": "2GB",
    "max_connections": "100",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "lc_messages": "C",
}
if sys.platform != "win32":  # where PostgreSQL cannot look, and refuses to be told to
    GUARDS["client_connection_check_interval"] = "1s"  # a killed kernel's query ends

SERVER: dict[str, dict[str, str]] = {
    "counting": {
        "autovacuum": "off",
        "fsync": "off",
        "full_page_writes": "off",
        "checkpoint_timeout": "1d",
        "max_wal_size": "2GB",
        "bgwriter_lru_maxpages": "0",
        "shared_buffers": "128MB",
        "wal_level": "replica",
        "track_counts": "on",
        "wal_compression": "off",
        "default_statistics_target": "2500",  # ANALYZE reads a table of up to 750,000 rows whole, so that it repeats
        "max_prepared_transactions": "20",
    },
    "production": {"max_prepared_transactions": "20"},
}

SESSION: dict[str, dict[str, str]] = {
    "counting": {
        "synchronous_commit": "on",
        "max_parallel_workers_per_gather": "0",
        "max_parallel_maintenance_workers": "0",
        "jit": "off",
        "synchronize_seqscans": "off",
        "plan_cache_mode": "force_custom_plan",
        "work_mem": "4MB",
        "maintenance_work_mem": "64MB",
        "hash_mem_multiplier": "2",
        "random_page_cost": "4",
        "seq_page_cost": "1",
        "cpu_tuple_cost": "0.01",
        "cpu_index_tuple_cost": "0.005",
        "cpu_operator_cost": "0.0025",
        "effective_cache_size": "4GB",
        "effective_io_concurrency": "16",
        "timezone": "UTC",
        "datestyle": "ISO, MDY",
    },
    "production": {},
}


def session_options(profile: str) -> str:
    """The session's settings as libpq's `options`.

    >>> session_options("counting").split(" -c ")[1]
    'max_parallel_workers_per_gather=0'
    """
    return " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in SESSION[profile].items())


FIXED = {
    "counting": {
        "data_checksums": "off",
        "wal_log_hints": "off",
        "block_size": "8192",
        "default_toast_compression": "pglz",
        "default_transaction_isolation": "read committed",
    },
    "production": {"data_checksums": "on", "full_page_writes": "on", "autovacuum": "on", "block_size": "8192"},
}
"""What a cluster of ours has without being told, and a server of the person's own may have otherwise."""

_UNGRADED = {
    *("fsync", "checkpoint_timeout", "max_wal_size", "bgwriter_lru_maxpages", "shared_buffers"),
    *("max_prepared_transactions", "maintenance_work_mem", "timezone", "datestyle"),
}


def graded(profile: str) -> dict[str, str]:
    """The settings that a counter depends on; a larger server with others is refused by grading. Beside these, each
    setting of the planner must be as PostgreSQL brings it.

    >>> graded("counting")["wal_level"], "fsync" in graded("counting")
    ('replica', False)
    """
    known = {**SERVER[profile], **SESSION[profile], **FIXED[profile]}
    return {name: value for name, value in known.items() if name not in _UNGRADED}


_UNITS_KB = {"kB": 1, "MB": 1024, "GB": 1024**2, "8kB": 8}


def same_setting(wanted: str, setting: str, unit: str | None) -> bool:
    """Whether a value as we write it is the value as pg_settings shows it.

    >>> same_setting("4GB", "524288", "8kB"), same_setting("off", "on", None)
    (True, False)
    """
    if unit in _UNITS_KB:
        for suffix in ("kB", "MB", "GB"):
            if wanted.endswith(suffix):
                return int(wanted.removesuffix(suffix)) * _UNITS_KB[suffix] == int(setting) * _UNITS_KB[unit]
    return wanted.lower() == setting.lower()
