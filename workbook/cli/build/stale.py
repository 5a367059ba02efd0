"""Is a committed notebook what its text makes? Everything is compared but outputs, which only a run can compare.

>>> from workbook.cli.build.source import lesson
>>> made = lesson("# %%\\n1 + 1", version="0.1.0")
>>> compared(made, made, ran=False)
[]
>>> compared(made, made, ran=True)
['cell 1 (c-cc6d623eb40b) was not run']
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbook.cli.build.source import COMPARED

if TYPE_CHECKING:
    from nbformat import NotebookNode


def compared(there: NotebookNode, made: NotebookNode, *, ran: bool) -> list[str]:
    """How a stored notebook differs from the one `made` from its text; `ran` says whether it must have been run.

    Returns sentences, the first few; none when they agree.
    """
    found = []
    if (there.nbformat, there.nbformat_minor) != (made.nbformat, made.nbformat_minor):
        found.append(f"nbformat {there.nbformat}.{there.nbformat_minor}")
    if _metadata(there) != _metadata(made):
        found.append("other metadata of the notebook")
    ids, wanted = [cell.id for cell in there.cells], [cell.id for cell in made.cells]
    if ids != wanted:
        return [*found, _ids_differ(ids, wanted)]
    count = 0
    for number, (cell, want) in enumerate(zip(there.cells, made.cells, strict=True), 1):
        count += cell.cell_type == "code"
        what = _cell_differs(cell, want, count, ran)
        if what:
            found.append(f"cell {number} ({cell.id}) {what}")
    return found[:5]


def _cell_differs(cell: NotebookNode, want: NotebookNode, count: int, ran: bool) -> str:
    if cell.cell_type != want.cell_type or cell.source != want.source:
        return "has another text"
    if _plain(cell.metadata) != _plain(want.metadata):
        return "has other metadata"
    if cell.cell_type != "code":
        return ""
    if not ran:
        return "has outputs" if cell.outputs or cell.execution_count is not None else ""
    if cell.execution_count is None:
        return "was not run"
    if cell.execution_count != count:
        return f"was run as number {cell.execution_count} instead of {count}"
    if COMPARED in cell.metadata.get("tags", []) and not cell.outputs:
        return "is tagged to be compared, and has no output"
    return ""


def _ids_differ(ids: list[str], wanted: list[str]) -> str:
    missing = [id for id in wanted if id not in ids]
    extra = [id for id in ids if id not in wanted]
    if not missing and not extra:
        return "its cells stand in another order"
    parts = [f"without {', '.join(missing[:3])}"] if missing else []
    parts += [f"with {', '.join(extra[:3])}, which the text does not have"] if extra else []
    return " and ".join(parts)


def _metadata(notebook: NotebookNode) -> Any:
    """A notebook's metadata without the interpreter's version and the hash of the code that ran it."""
    plain = _plain(notebook.metadata)
    plain.get("language_info", {}).pop("version", None)
    plain.get("workbook", {}).pop("code", None)
    return plain


def _plain(node: Any) -> Any:
    return json.loads(json.dumps(node))
