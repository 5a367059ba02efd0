"""A learner's copies of the notebooks, in `my-work/`.

    notebooks/00_start.ipynb ── no outputs, the learner's seed ──▶ my-work/notebooks/00_start.ipynb         theirs
    labs/02_indexes.ipynb                                     └──▶ my-work/.base/notebooks/00_start.ipynb   never touched

Copies carry no outputs: they would show the answer before the prediction. The seed is drawn once for each learner and
chooses the variants of the exercises, so that a neighbour's answer is wrong here; it stands in `my-work/.workbook.json` and
in each copy. What a copy was made from stays in `.base`, so that `workbook update` can tell what is new from what is theirs.

    >>> stamped('start_lab("02_indexes", seed=1)', 4711)
    'start_lab("02_indexes", seed=4711)'

Left out: who the learner is. One folder is one learner.
"""

from __future__ import annotations

import json
import re
import secrets
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbook.cli.house import House
from workbook.errors import Misuse, Unavailable, Unsuitable

if TYPE_CHECKING:
    from nbformat import NotebookNode

_AGAIN = "start it again with `workbook reset {}`; what is there is kept under another name"
SEEDS = range(2, 1_000_000)
"""Seeds of learners; 1 is the seed of the solutions in `solutions/`."""
_SEED = re.compile(r"(\bstart_lab\(\s*(?P<quote>['\"])[^'\"\n]+(?P=quote)\s*,\s*seed\s*=\s*)(?P<seed>\d+)")


@dataclass(frozen=True)
class Copy:
    """One notebook: as `built`, the learner's copy `mine`, and the `base` that the copy was made from."""

    name: str
    built: Path
    mine: Path
    base: Path


def copies(home: House) -> list[Copy]:
    """The notebooks that a learner gets, lessons first. Raises `Unavailable` where none are built."""
    found = [path for folder in (home.notebooks, home.labs) for path in sorted(folder.glob("*.ipynb"))]
    if not found:
        raise Unavailable(
            f"There are no notebooks in {home.root}.",
            tried=f"{home.notebooks.name}/ and {home.labs.name}/",
            next="clone the whole repository, or make them with `workbook build`",
        )
    names = [f"{path.parent.name}/{path.name}" for path in found]
    return [Copy(name, home.root / name, home.my_work / name, home.base / name) for name in names]


def named(home: House, name: str) -> Copy:
    """The notebook that a person means: `02_indexes`, `labs/02_indexes.ipynb`, `my-work/labs/02_indexes.ipynb`.

    Raises `Misuse` with the nearest names.
    """
    import difflib

    every = copies(home)
    wanted = Path(name).as_posix().removesuffix(".ipynb")
    short = "/".join(wanted.split("/")[-2:])
    found = [copy for copy in every if copy.name.removesuffix(".ipynb") == short]
    found = found or [copy for copy in every if copy.mine.stem == wanted.split("/")[-1]]
    if found:
        return found[0]
    stems = [copy.name.removesuffix(".ipynb") for copy in every]
    near = difflib.get_close_matches(short, stems, n=3, cutoff=0.3) or stems
    raise Misuse(f"There is no notebook {name!r}.", next=f"name one of these: {', '.join(near)}")


def personal_seed(home: House) -> int:
    """The learner's seed; drawn and kept when it is first asked for, unless a copy has one."""
    path = home.my_work / ".workbook.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["seed"]
        if type(kept) is int:
            return kept
    except (OSError, ValueError, KeyError, TypeError):
        pass
    seed = _seed_in_copies(home) or secrets.choice(SEEDS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seed": seed}) + "\n", encoding="utf-8")
    return seed


def _seed_in_copies(home: House) -> int:
    """The seed that most of the learner's copies have: whoever copies `my-work/*` leaves hidden files behind. 0 where none has."""
    found: Counter[int] = Counter()
    for path in home.my_work.glob("*/*.ipynb"):
        try:
            seed = json.loads(path.read_bytes())["metadata"]["workbook"]["seed"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.update([seed] if type(seed) is int and seed in SEEDS else [])
    return found.most_common(1)[0][0] if found else 0


def seed_of(notebook: NotebookNode) -> int:
    """The seed of one copy; 0 where it has none."""
    seed = about(notebook).get("seed")
    calls = [_SEED.search(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    return seed if type(seed) is int else next((int(call["seed"]) for call in calls if call), 0)


def about(notebook: NotebookNode) -> dict[str, Any]:
    """What the workbook keeps in a notebook's metadata: the hash of its `source`, the `version`, the learner's `seed`."""
    kept = notebook.metadata.get("workbook")
    return dict(kept) if isinstance(kept, dict) else {}


def stamped(source: str, seed: int) -> str:
    """A cell's source with this seed in its call of `start_lab`."""
    return _SEED.sub(lambda found: f"{found[1]}{seed}", source)


def fresh(copy: Copy, seed: int) -> NotebookNode:
    """The copy that a learner gets of a built notebook."""
    from workbook.cli.build.source import COMPARED, untag

    notebook = read(copy.built, next=f"take it from git again: `git checkout -- {copy.name}`")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = stamped(cell.source, seed)
            untag(cell, COMPARED)
    made = about(notebook)
    notebook.metadata["workbook"] = {"seed": seed} | {key: made[key] for key in ("source", "version") if key in made}
    return notebook


def read(path: Path, *, next: str = "") -> NotebookNode:
    """A notebook from a file. Raises `Unsuitable` where it is none any more, and says what to do `next`."""
    import nbformat

    if path.is_dir():
        raise Unsuitable(f"{path} is a folder and no notebook.", next=next or _AGAIN.format(path.stem))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notebook = nbformat.reads(path.read_text(encoding="utf-8-sig"), as_version=4)
        if not all(isinstance(cell.source, str) and isinstance(cell.metadata, dict) for cell in notebook.cells):
            raise ValueError("A cell has no text.")
        return notebook
    except OSError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        raise Unsuitable(
            f"{path} is no notebook any more.", tried=reason, next=next or _AGAIN.format(path.stem)
        ) from error


def write(notebook: Any, path: Path) -> None:
    """Write a notebook; a reader sees the old file or the new one."""
    from workbook.cli.build import write as written

    written(notebook, path)


def write_base(notebook: Any, copy: Copy) -> None:
    """Keep what a copy is made from; a folder that has taken the file's place gets another name."""
    if copy.base.is_dir():
        copy.base.replace(free_name(copy.base, "update"))
    write(notebook, copy.base)


def make_missing(home: House) -> list[Copy]:
    """Copy the notebooks that `my-work/` does not have; which these were."""
    missing = [copy for copy in copies(home) if not copy.mine.exists()]
    if missing:
        seed = personal_seed(home)
        for copy in missing:
            notebook = fresh(copy, seed)
            write_base(notebook, copy)
            write(notebook, copy.mine)
    return missing


def free_name(path: Path, why: str) -> Path:
    """`02_indexes.before-reset-1.ipynb`: a name beside `path` that is not taken."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.before-{why}-{number}.ipynb")).exists():
        number += 1
    return aside
