"""What a notebook was made from, where nobody kept it: as much as can be told from the notebook itself.

    my-work/.base/ is gone ──▶ the ids of the cells, nbgrader's metadata, the new version ──▶ each cell's text as it came, or: unknown

The builder names a cell without a heading after a hash of its text, so that such a cell says itself whether a learner changed it.
Of the others an answer is always the learner's. A given cell that differs from the new version may have been changed by
either side: it is *doubtful*, and whoever merges takes nothing out of it without showing it.

    >>> from nbformat.v4 import new_code_cell as cell
    >>> mine = [cell('check("a", 1)', id="a-check"), cell("x = 42", id="a-answer"), cell("own", id="0a1b2c3d")]
    >>> new = [cell('check("a", x)', id="a-check"), cell("x = ...", id="a-answer")]
    >>> made_from = original(mine, new)
    >>> [one.source for one in made_from.cells], sorted(made_from.doubtful)
    (['check("a", 1)', 'x = ...'], ['a-check'])

Left out: git. The history knows the old versions, but not every copy of this folder is a clone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from workbook.cli.build.source import BEGIN, digest, heading, subject

_HASHED = re.compile(r"[cm]-(?P<hash>[0-9a-f]{12})(-\d+)?")
_BOUND = re.compile(r"^(?:(?:async[ ]+)?(?:def|class)[ ]+(\w+)|(\w+)[ ]*(?::[^=\n]+)?=(?!=))", re.MULTILINE)


@dataclass(frozen=True)
class Original:
    """The cells that a notebook was made from.

    Of those in `edited` the text is not known, but what stands there is the learner's; of those in `doubtful` it is a given
    text, which the learner may have changed.
    """

    cells: list[Any]
    edited: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)


def original(mine: list[Any], new: list[Any]) -> Original:
    """What the learner's cells were made from, by their ids and by the new version."""
    coming = {cell.id: cell for cell in new}
    found = Original([])
    for cell in mine:
        now, hashed = coming.get(cell.id), _HASHED.fullmatch(cell.id)
        if hashed and _is_hash(hashed["hash"], cell.source):
            found.cells.append(cell)
        elif hashed and now is not None:
            found.cells.append(now)
        elif hashed:
            found.cells.append(cell)
            found.edited.add(cell.id)
        elif now is None:
            if _name(cell) == re.sub(r"-\d+$", "", cell.id) or _name(cell) == cell.id:
                found.cells.append(cell)
                found.doubtful.add(cell.id)
        elif cell.source == now.source:
            found.cells.append(cell)
        elif is_given(now):
            added_only = holds(cell.source, now.source) and cell.cell_type == now.cell_type == "markdown"
            found.cells.append(now if added_only else cell)
            found.doubtful.update(() if added_only else (cell.id,))
        elif _answers(cell.source, now.source):
            found.cells.append(now)
        else:
            found.cells.append(cell)
            found.edited.add(cell.id)
    return found


def is_given(cell: Any) -> bool:
    """Whether a built cell is the workbook's, and no place for an answer."""
    if cell.cell_type != "code":
        return True
    return bool(grade(cell).get("locked")) or cell.id.startswith("start-lab-") or bool(_name(cell))


def grade(cell: Any) -> dict[str, Any]:
    """What nbgrader keeps in a cell; empty where it keeps nothing.

    >>> from nbformat.v4 import new_code_cell
    >>> grade(new_code_cell("", metadata={"nbgrader": {"grade_id": "a"}}))
    {'grade_id': 'a'}
    """
    kept = cell.metadata.get("nbgrader")
    return dict(kept) if isinstance(kept, dict) else {}


def bound(cell: Any) -> set[str]:
    """The names that a code cell binds at its left edge, also where it is no valid Python yet.

    >>> from nbformat.v4 import new_code_cell
    >>> sorted(bound(new_code_cell("one = (\\n    1,\\n\\ndef two(): ...")))
    ['one', 'two']
    """
    return {one or other for one, other in _BOUND.findall(cell.source)} if cell.cell_type == "code" else set()


def holds(text: str, part: str) -> bool:
    """Whether each line of `part` stands in `text`, in their order.

    >>> holds("a\\nmy note\\nb", "a\\nb"), holds("a", "a\\nb")
    (True, False)
    """
    lines = iter([line.strip() for line in text.splitlines()])
    return all(wanted.strip() in lines for wanted in part.splitlines() if wanted.strip())


def _answers(own: str, stub: str) -> bool:
    """Whether a text may be what somebody made of a stub: it binds the same names, or it stands in place of the dots.

    >>> _answers('x = "SELECT 1"', f"x = (\\n    {BEGIN}\\n    ...\\n)"), _answers("y = 1", "x = ...")
    (True, False)
    >>> _answers('g = predict("a", between=(1, 2))', 'g = predict("a", between=(..., ...))')
    True
    """
    if BEGIN in stub:
        names = {one or other for one, other in _BOUND.findall(stub)}
        return bool(names) and names <= {one or other for one, other in _BOUND.findall(own)}
    frame = [re.sub(r"(\\?\s)+", r"\\s*", re.escape(part.strip())) for part in stub.split("...")]
    return len(frame) > 1 and re.fullmatch(".*".join(frame), own.strip(), re.DOTALL) is not None


def _name(cell: Any) -> str:
    """The id that the builder gives to a given cell for its text; '' for a prediction and for what has none."""
    name = heading(cell.source) if cell.cell_type == "markdown" else subject(cell.source)
    return "" if name.endswith("-predict") else name


def _is_hash(hash: str, source: str) -> bool:
    return digest(source).startswith(hash)
