"""Three versions of a notebook become one: what it was made from, what the learner made of it, what is new.

    base ──▶ mine      the learner's changes stay, always
      └────▶ new       new text comes in where the learner changed nothing

Cells are matched by id. A cell that the learner changed and the new version changed, too, is a conflict: the learner's
stays as it is, and the new one stands below it as text, so that running the notebook does not run over the answer. Where a new
version rewrote a cell, its id may be new as well; then the cell at the same place with a similar text is the same.

    >>> from nbformat.v4 import new_code_cell as cell, new_notebook as book
    >>> base = book(cells=[cell("a = ...", id="a"), cell("b", id="b")])
    >>> mine = book(cells=[cell("a = 42", id="a"), cell("b", id="b"), cell("mine", id="m")])
    >>> new = book(cells=[cell("zero", id="z"), cell("a = ...", id="a"), cell("b, better", id="b")])
    >>> [one.source for one in merged(base, mine, new).notebook.cells]
    ['zero', 'a = 42', 'b, better', 'mine']

Left out: merging within a cell. Half of an answer and half of a new text would be neither.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

NEW = "workbook-new-version"
"""The tag of a cell that shows the new version beside a learner's."""
SIMILAR = 0.6


@dataclass(frozen=True)
class Merged:
    """The merged notebook; how many cells came in new or changed, went, or stand beside the learner's."""

    notebook: NotebookNode
    taken: int
    dropped: int
    conflicts: int

    def __str__(self) -> str:
        parts = [f"{self.taken} cell{'' if self.taken == 1 else 's'} new or changed"] if self.taken else []
        parts += [f"{self.dropped} gone"] if self.dropped else []
        parts += [f"{self.conflicts} where yours stays and the new one stands below it"] if self.conflicts else []
        return ", ".join(parts) or "nothing of the text has changed"


def merged(base: NotebookNode, mine: NotebookNode, new: NotebookNode) -> Merged:
    """Merge by cell id. No cell that the learner changed or added is lost, whatever the three are."""
    mine_cells, before = _identified(mine.cells, base.cells), {cell.id: cell for cell in base.cells}
    same = _renamed(base.cells, new.cells)
    old_id = {now: then for then, now in same.items()}
    coming = {old_id.get(cell.id, cell.id): cell for cell in new.cells}
    theirs = {cell.id: cell for cell in mine_cells}
    cells, taken, dropped, conflicts = [], 0, 0, 0
    for id in _order([cell.id for cell in base.cells], [cell.id for cell in mine_cells], list(coming)):
        own, then, now = theirs.get(id), before.get(id), coming.get(id)
        if own is None:
            if now is None or (then is not None and then.source == now.source):
                continue
            cells.append(copy.deepcopy(now))
            taken += 1
        elif now is None:
            if then is not None and own.source == then.source:
                dropped += 1
                continue
            cells.append(own)
        elif own.source == now.source or then is None or own.source == then.source:
            changed = own.source != now.source and then is not None
            cells.append(_brought_up(own, now) if changed or own.source == now.source else own)
            taken += changed
            if then is None and own.source != now.source:
                cells.append(_beside(now, new))
                conflicts += 1
        else:
            cells.append(_brought_up(own, now, keep_source=True))
            if now.source != then.source:
                cells.append(_beside(now, new))
                conflicts += 1
    whole = copy.deepcopy(mine)
    whole.cells = _once(cells)
    whole.nbformat, whole.nbformat_minor = new.nbformat, new.nbformat_minor
    seed = mine.metadata.get("workbook", {}).get("seed")
    whole.metadata["workbook"] = {**new.metadata.get("workbook", {}), **({} if seed is None else {"seed": seed})}
    return Merged(whole, taken, dropped, conflicts)


def _identified(mine: list[Any], base: list[Any]) -> list[Any]:
    """The learner's cells, copied, each with an id: another program may have dropped or doubled them."""
    by_source: dict[str, list[str]] = {}
    for cell in base:
        by_source.setdefault(cell.source, []).append(cell.id)
    had = {cell.get("id") for cell in mine}
    seen: set[str] = set()
    cells = []
    for number, cell in enumerate(mine):
        kept = copy.deepcopy(cell)
        id = kept.get("id")
        if id is None or id in seen:
            free = [one for one in by_source.get(kept.source, []) if one not in seen and one not in had]
            id = free[0] if free else f"own-{number}-{_short(kept.source)}"
        kept["id"] = id
        seen.add(id)
        cells.append(kept)
    return cells


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
    return difflib.SequenceMatcher(None, one.source, other.source, autojunk=False).ratio()


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
    if not keep_source and cell.source != now.source:
        cell.source = now.source
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    for key in ("nbgrader", "tags"):
        cell.metadata.pop(key, None)
        if key in now.metadata:
            cell.metadata[key] = copy.deepcopy(now.metadata[key])
    cell["id"] = now.id
    return cell


def _beside(now: Any, new: NotebookNode) -> Any:
    """The new version of a cell as text, to stand below the learner's."""
    import nbformat

    version = new.metadata.get("workbook", {}).get("version", "")
    head = f"**New in version {version}** of the workbook" if version else "**New in the workbook**"
    shown = f"```python\n{now.source}\n```" if now.cell_type == "code" else now.source
    text = f"{head}: the cell above, which you had changed and which stays yours. It now reads:\n\n{shown}"
    id = f"new-{_short(now.id + now.source)}"
    return nbformat.v4.new_markdown_cell(text, id=id, metadata={"tags": [NEW]})


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
