r"""Long lines of SQL in a task, cut between two words: JupyterLab cuts them within one.

>>> long = "INSERT INTO orders (customer_id, note) SELECT i, 'a note of two words' FROM generate_series(1, 10) i;"
>>> print(folded(f"```sql\n{long}\n```"))
```sql
INSERT INTO orders (customer_id, note) SELECT i, 'a note of two words'
    FROM generate_series(1, 10) i;
```
"""

from __future__ import annotations

import re

LINE_MAX = 88
_BLOCK = re.compile(r"```sql\n.*?```", re.DOTALL)
_CLAUSE = re.compile(r"\(?(SELECT|FROM|JOIN|WHERE|AND|VALUES|SET|GROUP|ORDER|INCLUDE|WITH|ON CONFLICT|RETURNING)\b")


def folded(markdown: str) -> str:
    """The text with the lines of its SQL blocks cut to `LINE_MAX` characters: in its second half before a clause, else
    behind a row or a comma, else at the last space; rather outside brackets than within. A line with a comment stays as it is, and so does what stands in quotes."""
    return _BLOCK.sub(
        lambda block: "\n".join(piece for line in block[0].split("\n") for piece in _pieces(line)), markdown
    )


def _pieces(line: str) -> list[str]:
    begins = len(line) - len(line.lstrip())
    spaces = [at for at, sign in enumerate(line[: LINE_MAX + 1]) if sign == " " and at > begins]
    places = [at for at in spaces if line.count("'", 0, at) % 2 == 0]
    if len(line) <= LINE_MAX or "--" in line or not places:
        return [line]
    late = [at for at in places if at > LINE_MAX / 2]
    clauses = [at for at in late if _CLAUSE.match(line, at + 1)]
    commas = [at for at in late if line[at - 1] == ","]
    at = max(
        clauses or [at for at in commas if line[at - 2] == ")"] or commas or places,
        key=lambda at: (line.count(")", 0, at) - line.count("(", 0, at), at),
    )
    indent = begins if line.startswith(" " * 4) else begins + 4
    return [line[:at], *_pieces(f"{' ' * indent}{line[at + 1 :]}")]
