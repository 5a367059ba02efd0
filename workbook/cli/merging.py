"""Three versions of a notebook become one: what it was made from, what the learner made of it, what is new.

    base ──▶ mine      the learner's changes stay, always
      └────▶ new       new text comes in where the learner changed nothing

Cells are matched by id. A cell that the learner changed and the new version changed, too, is a conflict: the learner's
stays as it is, and the new one stands below it as text, so that running the notebook does not run over the answer. Where a new
version rewrote a cell, its id may be new as well; then the cell at the same place with a similar text, or with the same names
bound, is the same.

    >>> from nbformat.v4 import new_code_cell as cell, new_notebook as book
    >>> base = book(cells=[cell("a = ...", id="a"), cell("b", id="b")])
    >>> mine = book(cells=[cell("a = 42", id="a"), cell("b", id="b"), cell("mine", id="m")])
    >>> new = book(cells=[cell("zero", id="z"), cell("a = ...", id="a"), cell("b, better", id="b")])
    >>> [one.source for one in merged(base, mine, new).notebook.cells]
    ['zero', 'a = 42', 'b, better', 'mine']

Where nobody kept the base, `originals.py` says what can be told of it. A given cell of which nobody knows who changed it becomes
new, and as it was it stands below as text.

Left out: merging within a cell. Half of an answer and half of a new text would be neither.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbook.cli.build.source import COMPARED, INTENDED, heading, subject
from workbook.cli.originals import Original, bound, grade, holds, original

if TYPE_CHECKING:
    from nbformat import NotebookNode

NEW = "workbook-new-version"
"""The tag of a cell that shows the new version beside a learner's."""
OLD = "workbook-old-version"
"""The tag of a cell that shows what a given cell was before, since the learner may have written in it."""
SIMILAR = 0.6


@dataclass(frozen=True)
class Merged:
    """The merged notebook; how many cells came in new or changed, went, stand beside the learner's, or show what they were."""

    notebook: NotebookNode
    taken: int
    dropped: int
    conflicts: int
    doubtful: int = 0

    def __str__(self) -> str:
        parts = [f"{self.taken} cell{'' if self.taken == 1 else 's'} new or changed"] if self.taken else []
        parts += [f"{self.dropped} gone"] if self.dropped else []
        parts += [f"{self.conflicts} where yours stays and the new one stands below it"] if self.conflicts else []
        parts += [f"{self.doubtful} that you may have written in: as it was stands below"] if self.doubtful else []
        return ", ".join(parts) or "nothing of the text has changed"


def merged(base: NotebookNode | None, mine: NotebookNode, new: NotebookNode) -> Merged:
    """Merge by cell id. No cell that the learner changed or added is lost, whatever the three are, and without `base`, too."""
    mine_cells = _identified(mine.cells, (new if base is None else base).cells)
    made_from = original(mine_cells, new.cells) if base is None else Original(base.cells)
    before = {cell.id: cell for cell in made_from.cells}
    old_id = {now: then for then, now in _renamed(made_from.cells, new.cells).items()}
    coming = {old_id.get(cell.id, cell.id): cell for cell in new.cells}
    theirs = {cell.id: cell for cell in mine_cells}
    cells, counts = [], dict.fromkeys(("taken", "dropped", "conflicts", "doubtful"), 0)
    for id in _order(list(before), list(theirs), list(coming)):
        own, then, now = theirs.get(id), before.get(id), coming.get(id)
        untouched = own is not None and then is not None and id not in made_from.edited and _text(own) == _text(then)
        if own is None:
            if now is not None and (then is None or _text(then) != _text(now)):
                cells.append(copy.deepcopy(now))
                counts["taken"] += 1
        elif now is None:
            if untouched and id not in made_from.doubtful:
                counts["dropped"] += 1
            else:
                cells.append(own)
        elif _text(own) == _text(now):
            cells.append(_brought_up(own, now))
        elif untouched:
            cells.append(_brought_up(own, now))
            counts["taken"] += 1
            if id in made_from.doubtful and not holds(now.source, own.source):
                cells.append(_below(own, _HEAD_OLD, OLD, new))
                counts["doubtful"] += 1
        else:
            cells.append(_brought_up(own, now, keep_source=True))
            shown = _below(now, _HEAD_NEW, NEW, new)
            if (then is None or id in made_from.edited or _text(then) != _text(now)) and shown.id not in theirs:
                cells.append(shown)
                counts["conflicts"] += 1
    whole = copy.deepcopy(mine)
    whole.cells = _once(cells)
    whole.nbformat, whole.nbformat_minor = new.nbformat, new.nbformat_minor
    about = mine.metadata.get("workbook")
    seed = about.get("seed") if isinstance(about, dict) else None
    whole.metadata["workbook"] = {**new.metadata.get("workbook", {}), **({} if seed is None else {"seed": seed})}
    return Merged(whole, **counts)


def _text(cell: Any) -> tuple[str, str]:
    return cell.cell_type, cell.source


def _identified(mine: list[Any], base: list[Any]) -> list[Any]:
    """The learner's cells, copied, each with an id: another program may have dropped, doubled or renamed them."""
    had = {cell.get("id") for cell in mine}
    free = {cell.id: cell for cell in base if cell.id not in had}
    seen: set[str] = set()
    cells = []
    for number, cell in enumerate(mine):
        kept = copy.deepcopy(cell)
        id = kept.get("id")
        if id not in {one.id for one in base} or id in seen:
            id = _claimed(kept, free, by_names=id is None or id in seen) or (
                id if id and id not in seen else f"own-{number}-{_short(kept.source)}"
            )
            free.pop(id, None)
        kept["id"] = id
        seen.add(id)
        cells.append(kept)
    return cells


def _claimed(cell: Any, free: dict[str, Any], *, by_names: bool) -> str:
    """The id in `free` of the cell that a cell was, by its text, nbgrader's metadata, its subject, its names; else ''."""
    about = heading if cell.cell_type == "markdown" else subject
    signs: list[Any] = [_text, lambda one: grade(one).get("grade_id"), lambda one: about(one.source)]
    signs += [bound] if by_names else []
    for sign in signs:
        found = [id for id, other in free.items() if other.cell_type == cell.cell_type and sign(other) == sign(cell)]
        if found and sign(cell) and (sign is _text or len(found) == 1):
            return found[0]
    return ""


def _renamed(base: list[Any], new: list[Any]) -> dict[str, str]:
    """Ids of `base` that `new` does not have, to the ids of the cells that took their place with a similar text."""
    before, now = [cell.id for cell in base], [cell.id for cell in new]
    found: dict[str, str] = {}
    for kind, b0, b1, n0, n1 in difflib.SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if kind != "replace":
            continue
        left = [cell for cell in new[n0:n1] if cell.id not in before]
        for cell in base[b0:b1]:
            if cell.id in now:
                continue
            close = [(_likeness(cell, other), other) for other in left if other.cell_type == cell.cell_type]
            best = max(close, key=lambda pair: pair[0], default=(0.0, None))
            if best[0] >= SIMILAR and best[1] is not None:
                found[cell.id] = best[1].id
                left = left[left.index(best[1]) + 1 :]
    return found


def _likeness(one: Any, other: Any) -> float:
    """How alike two cells are, 0 to 1; those that bind the same names are alike."""
    least = SIMILAR if bound(one) and bound(one) == bound(other) else 0.0
    return max(least, difflib.SequenceMatcher(None, one.source, other.source, autojunk=False).ratio())


def _order(base: list[str], mine: list[str], new: list[str]) -> list[str]:
    """The order of all ids: the new version's, unless the learner moved cells; then the learner's.

    >>> _order(["a", "b"], ["a", "own", "b"], ["z", "a", "b"])
    ['z', 'a', 'own', 'b']
    """
    shared = [id for id in mine if id in set(base)]
    moved = shared != [id for id in base if id in set(mine)]
    frame, other = (mine, new) if moved else (new, mine)
    order = list(frame)
    for index, id in enumerate(other):
        if id in frame:
            continue
        place = next((order.index(earlier) + 1 for earlier in reversed(other[:index]) if earlier in order), 0)
        order.insert(place, id)
    return order


def _brought_up(own: Any, now: Any, *, keep_source: bool = False) -> Any:
    """The learner's cell with the new text and what the workbook itself keeps in a cell's metadata."""
    cell = copy.deepcopy(own)
    if not keep_source and _text(cell) != _text(now):
        cell = copy.deepcopy(now)
        cell.metadata = copy.deepcopy(own.metadata)
    tags = cell.metadata.pop("tags", None)
    cell.metadata.pop("nbgrader", None)
    if "nbgrader" in now.metadata:
        cell.metadata["nbgrader"] = copy.deepcopy(now.metadata["nbgrader"])
    ours = [INTENDED, COMPARED, *now.metadata.get("tags", [])]
    kept = [tag for tag in tags if tag not in ours] if isinstance(tags, list) else []
    if kept or "tags" in now.metadata:
        cell.metadata["tags"] = [*now.metadata.get("tags", []), *kept]
    cell["id"] = now.id
    return cell


_HEAD_NEW = "**New in {version}**: the cell above, which you had changed and which stays yours. It now reads:"
_HEAD_OLD = "**Before {version}** the cell above read as follows. If you wrote something in it, it is here; else delete this cell:"


def _below(cell: Any, head: str, tag: str, new: NotebookNode) -> Any:
    """Another version of a cell as text, to stand below it."""
    import nbformat

    number = new.metadata.get("workbook", {}).get("version", "")
    head = head.format(version=f"version {number} of the workbook" if number else "the new workbook")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", cell.source)), 0)
    quoted = "\n".join(f"> {line}".rstrip() for line in cell.source.splitlines())
    shown = f"{fence}python\n{cell.source}\n{fence}" if cell.cell_type == "code" else quoted
    id = f"{'new' if tag == NEW else 'old'}-{_short(cell.id + cell.source)}"
    return nbformat.v4.new_markdown_cell(f"{head}\n\n{shown}", id=id, metadata={"tags": [tag]})


def _once(cells: list[Any]) -> list[Any]:
    """The cells, each id once."""
    seen: set[str] = set()
    for number, cell in enumerate(cells):
        if cell.id in seen:
            cell["id"] = f"{cell.id[:40]}-{number}-{_short(cell.source)}"
        seen.add(cell.id)
    return cells


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
