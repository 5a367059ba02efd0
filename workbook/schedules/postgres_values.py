"""PostgreSQL's values as Python's, and as text where Python has none that is the same.

    date '2024-02-29'                 datetime.date(2024, 2, 29)
    'infinity'::date, '24:00'::time   'infinity', '24:00:00'       out of the reach of Python's
    interval '1 month'                '1 mon'                      a timedelta would make it 30 days
    'NaN'::numeric                    'NaN'                        Python's is equal to nothing, not even to itself

A schedule's results are compared with those of other runs, and are shown: both want each value to be itself. The text is
the one that PostgreSQL sends.

    >>> from psycopg.postgres import types
    >>> reads = Transformer(Reading(None)).get_loader(types["date"].oid, pq.Format.TEXT).load
    >>> reads(b"2024-02-29"), reads(b"infinity")
    (datetime.date(2024, 2, 29), 'infinity')

Left out: types of which psycopg knows nothing, which come as text anyway.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import abc, pq
from psycopg.adapt import AdaptersMap, Loader, Transformer

RANGES = ("daterange", "tsrange", "tstzrange", "numrange", "datemultirange", "tsmultirange", "tstzmultirange")
KINDS = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "numeric", "float4", "float8", *RANGES)
UNEQUAL = (b"infinity", b"year", b"mon", b"NaN")
"""What stands in the text of a value that psycopg takes for another one."""


class Reading:
    """What psycopg needs to know for reading values: a connection, for its time zone and its style of dates."""

    def __init__(self, connection: psycopg.BaseConnection[Any] | None, adapters: AdaptersMap | None = None) -> None:
        self.connection, self.adapters = connection, adapters or ADAPTERS


class OrText(Loader):
    """Reads a value as psycopg does, and as text where that fails."""

    def __init__(self, oid: int, context: abc.AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        plain = psycopg.adapters.get_loader(oid, pq.Format.TEXT)
        assert plain is not None
        self._plain = plain(oid, Reading(self.connection, psycopg.adapters))

    def load(self, data: abc.Buffer) -> Any:
        text = bytes(data)
        if any(word in text for word in UNEQUAL):
            return text.decode()
        try:
            return self._plain.load(text)
        except (psycopg.Error, ArithmeticError, ValueError, NotImplementedError):
            return text.decode()


ADAPTERS = AdaptersMap(psycopg.adapters)
for _kind in KINDS:
    ADAPTERS.register_loader(_kind, OrText)


def rows_of(result: pq.abc.PGresult, connection: psycopg.Connection[Any]) -> tuple[tuple[Any, ...], ...]:
    """A result's rows as Python's values, each read by what the connection's settings are now."""
    reading = Transformer(Reading(connection))
    reading.set_pgresult(result)
    return tuple(reading.load_rows(0, result.ntuples, tuple))
