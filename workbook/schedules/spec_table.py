"""Rows as isolationtester prints them: libpq's PQprint, with a header and aligned.

    id|name|note           numbers stand to the right, all else to the left
    --+----+----
     7|Anna|old            a NULL and an empty text are both nothing
    (1 row)

A column is to the right when each value in it that is something looks like a number. Widths count bytes, not
characters; a result without columns prints nothing.

    >>> print(aligned((b"id", b"name"), [(b"7", b"Anna"), (b"10", b"Bert"), (None, b"Carl")]).decode(), end="")
    id|name
    --+----
     7|Anna
    10|Bert
      |Carl
    (3 rows)
    <BLANKLINE>

Left out: PQprint's other forms (HTML, expanded, unaligned).

Source: src/interfaces/libpq/fe-print.c in PostgreSQL's source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

NUMBER = re.compile(rb"[0-9. -][0-9.Ee -]*(?<=[0-9])")


def aligned(names: Sequence[bytes], rows: Sequence[Sequence[bytes | None]]) -> bytes:
    """The rows of a result as a table.

    Parameters: the `names` of the columns; the `rows`, each value as the server sent it, None for NULL.
    """
    if not names:
        return b""
    columns = [[row[place] or b"" for row in rows] for place in range(len(names))]
    widths = [max(map(len, (name, *values))) for name, values in zip(names, columns, strict=True)]
    right = [all(NUMBER.fullmatch(value) for value in values if value) for values in columns]

    def line(values: Sequence[bytes]) -> bytes:
        cells = zip(values, widths, right, strict=True)
        return b"|".join(value.rjust(width) if numbers else value.ljust(width) for value, width, numbers in cells)

    border = b"+".join(b"-" * width for width in widths)
    body = [line([value or b"" for value in row]) for row in rows]
    count = b"(%d row%s)" % (len(rows), b"" if len(rows) == 1 else b"s")
    return b"\n".join([line(names), border, *body, count, b"", b""])
