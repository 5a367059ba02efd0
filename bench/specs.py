"""Which of PostgreSQL's own isolation specs give their expected output here?  python bench/specs.py FOLDER [FOLDER ...]

A folder holds `*.spec` and `*.out` files, or `specs/` and `expected/` with them, as src/test/isolation in PostgreSQL's
source does. Each spec runs in a new private database: as the database's own role, and where that does not give
the expected file or one of its variants (`_1.out`), as superuser, too. Prints, as Markdown, those that differ and why, those
that need a superuser and what the own role was refused, and all with their seconds.

--beside PROGRAM runs the real isolationtester in a database of the same kind, and prints whether it prints the same and
how long it takes. Both clocks begin when the database is there; isolationtester's includes the start of the program.
Exit code 1 where isolationtester gives the expected file and the workbook does not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

STEP_S_MAX = 60
OWN, SUPER = "its own role", "superuser"
WHY = (
    ("deadlock-parallel|serializable-parallel", "force_parallel_mode", "`force_parallel_mode` is `debug_parallel_query` since PostgreSQL 16"),
    ("fk-partitioned-.|detach-partition-concurrently-.", r"constraint \"\w+_fkey_1\"", "PostgreSQL 18 names the constraints of partitions `..._fkey_1`, 15 `..._fkey1`"),
    ("vacuum-conflict", "permission denied to (vacuum|analyze)", "the warning has other words in PostgreSQL 18"),
    ("cluster-conflict-partition", "permission denied to cluster", "PostgreSQL 18 also warns of each partition that CLUSTER skips"),
    ("horizons", "Disabled: true", "in PostgreSQL 18 `enable_indexscan = off` forbids index-only scans, too, so that the plan is another one"),
    ("intra-grant-inplace", "cache lookup failed", "PostgreSQL 18 has other words for a table that was dropped (its own spec deletes from pg_class instead)"),
    ("stats", r"\+\(0 rows\)", "PostgreSQL 18 writes the names in pg_stat_slru small (`notify`), which the spec asks for as `Notify`"),
    ("intra-grant-inplace-db", "isolation_regression", "it names the database that pg_isolation_regress makes; here each run has one of its own"),
    ("drop-owned-grant", "you don't own a lock", "mended in 18.6: the lock of a membership in DROP OWNED BY (its release notes)"),
    ("pub-concurrent-drop", "could not open relation", "mended in 18.6: pg_get_publication_tables() beside a DROP TABLE (its release notes)"),
    ("eval-plan-qual-trigger", r"\|f", "mended in 18.6: RETURNING OLD on a table with a trigger (its release notes)"),
    ("ddl-dependency-locking", "<waiting ...>", "new in 18.6: a lock on what an object depends on (its release notes)"),
)  # fmt: skip
"""A spec, what its difference must show (a line of the expected file stands after -, one from here after +), and what that
comes from. A difference that shows something else has the reason `?`."""


@dataclass
class Found:
    """What one spec gave."""

    name: str
    orders: int
    who: str  # as whom it ran: OWN or SUPER
    identical: bool
    seconds: float
    difference: list[str]
    refused: str = ""
    unread: str = ""  # why it could not be read or run
    beside: str = ""  # whether isolationtester prints the same: "the same", "something else"
    beside_identical: bool = False
    beside_s: float = 0.0


def files(folder: Path) -> list[tuple[Path, list[Path]]]:
    """Each spec with its expected file and the variants of it."""
    specs = folder / "specs" if (folder / "specs").is_dir() else folder
    expected = folder / "expected" if (folder / "expected").is_dir() else folder
    variants = {spec: re.compile(rf"{re.escape(spec.stem)}(_\d+)?\.out") for spec in sorted(specs.glob("*.spec"))}
    return [
        (spec, [out for out in sorted(expected.glob("*.out")) if name.fullmatch(out.name)])
        for spec, name in variants.items()
    ]


def here(spec: Path, superuser: bool) -> tuple[bytes, float, int]:
    """What the workbook prints, in how many seconds, and how many permutations that were."""
    from workbook.schedules.spec import Spec
    from workbook.schedules.spec_run import decoded, run_spec, spec_database

    pieces: list[bytes] = []
    read = Spec.read(decoded(spec.read_bytes()))
    with spec_database(superuser=superuser) as conninfo:
        begun = time.perf_counter()
        run_spec(read, pieces.append, name=spec.stem, conninfo=conninfo, step_s_max=STEP_S_MAX)
        return b"".join(pieces), time.perf_counter() - begun, read.count()


def there(program: str, spec: Path, superuser: bool) -> tuple[bytes, float]:
    """What isolationtester prints, and in how many seconds."""
    from psycopg.conninfo import conninfo_to_dict

    from workbook.schedules.spec_run import spec_database

    with spec_database(superuser=superuser) as conninfo, spec.open("rb") as source:
        parts = conninfo_to_dict(conninfo)
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "options": "PGOPTIONS"}
        environment = os.environ | {names[key]: str(value) for key, value in parts.items() if key in names}
        environment |= {"PGAPPNAME": f"isolation/{spec.stem}", "PGISOLATIONTIMEOUT": str(STEP_S_MAX)}
        begun = time.perf_counter()
        done = subprocess.run([program, f"dbname={parts['dbname']}"], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)  # fmt: skip
        return done.stdout, time.perf_counter() - begun


def difference(expected: list[Path], printed: bytes) -> list[str]:
    """The lines in which the nearest expected file and what was printed differ, after - and +; empty where they do
    not."""
    if not expected:
        return ["+(there is no expected file)"]
    shortest: list[str] | None = None
    for file in expected:
        was, now = (text.decode(errors="replace").split("\n") for text in (file.read_bytes(), printed))
        lines = []
        for tag, a, b, c, d in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
            if tag != "equal":
                lines += [f"-{line}" for line in was[a:b]] + [f"+{line}" for line in now[c:d]]
        if shortest is None or len(lines) < len(shortest):
            shortest = lines
    return shortest or []


def why(name: str, lines: list[str]) -> str:
    """What a spec's difference comes from, as far as its lines show it."""
    text = "\n".join(lines)
    known = (reason for spec, shows, reason in WHY if re.fullmatch(spec, name) and re.search(shows, text))
    return next(known, "?")


def refusal(lines: list[str]) -> str:
    """The first thing that the own role was refused."""
    refused = [
        line[1:] for line in lines if line.startswith("+") and re.search(r"permission denied|must be|not allowed", line)
    ]
    return refused[0].strip() if refused else ""


def plain(printed: bytes) -> bytes:
    """What was printed, without the numbers that differ from run to run."""
    return re.sub(rb"OID \d+", b"OID ...", printed)


def tried(spec: Path, expected: list[Path], program: str | None) -> Found:
    """Run one spec as its own role, as superuser where that is not enough, and beside isolationtester; a spec that
    cannot be read is found to be so."""
    from workbook.errors import WorkbookError

    printed = b""
    try:
        printed, seconds, orders = here(spec, False)
        lines = difference(expected, printed)
        found = Found(spec.stem, orders, OWN, not lines, seconds, lines)
    except (WorkbookError, OSError) as error:
        found = Found(spec.stem, 0, OWN, False, 0.0, [], unread=str(error))
    if found.difference and (refused := refusal(found.difference)):
        printed, seconds, orders = here(spec, True)
        lines = difference(expected, printed)
        found = Found(spec.stem, orders, SUPER, not lines, seconds, lines, refused)
    if program and spec.is_file():
        other, found.beside_s = there(program, spec, found.who == SUPER)
        found.beside = "the same" if plain(other) == plain(printed) else "something else"
        found.beside_identical = not difference(expected, other)
    return found


def outcome(found: Found) -> str:
    return "could not be read" if found.unread else "identical" if found.identical else "differs"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def shown(lines: list[str], sign: str) -> str:
    """The first line of a difference with that sign."""
    line = next((line[1:] for line in lines if line.startswith(sign)), "")
    return f"`{cell(line[:90])}`" if line.strip() else "(nothing)"


def table(heads: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def report(folder: Path, version: str, every: list[Found], program: str | None) -> None:
    """Print what a folder gave."""
    own = [one for one in every if one.identical and one.who == OWN]
    elevated = [one for one in every if one.identical and one.who == SUPER]
    apart = [one for one in every if not one.identical and not one.unread]
    unread = [one for one in every if one.unread]
    print(f"## `{folder.as_posix()}` on PostgreSQL {version}\n")
    print(f"{len(every)} specs: {len(own)} identical as the role of their own database, {len(elevated)} more as superuser, {len(apart)} differ{f', {len(unread)} could not be read' if unread else ''}.\n")  # fmt: skip
    if apart:
        print("### Those that differ\n")
        beside = ["isolationtester prints here"] if program else []
        heads = ["spec", "why", "first line expected", "first line printed", *beside]
        table(heads, [[one.name, why(one.name, one.difference), shown(one.difference, "-"), shown(one.difference, "+"), *([one.beside] if program else [])] for one in apart])  # fmt: skip
    if unread:
        print("### Those that could not be read\n")
        table(["spec", "why"], [[one.name, cell(one.unread)] for one in unread])
    if refused := [one for one in every if one.who == SUPER]:
        print("### Those that were run as superuser\n")
        table(["spec", "what its own role was refused", "as superuser"], [[one.name, f"`{cell(one.refused)}`", "identical" if one.identical else "differs"] for one in refused])  # fmt: skip
    print("### Seconds\n")
    if program:
        ours, theirs = sum(one.seconds for one in every), sum(one.beside_s for one in every)
        same = sum(one.beside == "the same" for one in every)
        print(f"All: {ours:.1f} s here, {theirs:.1f} s with isolationtester ({ours / (theirs or 1):.2f} times as long); the same output in {same} of {len(every)}.\n")  # fmt: skip
    heads = ["spec", "permutations", "output", "seconds", *(["isolationtester", "its output here"] if program else [])]
    table(heads, [[one.name, str(one.orders), outcome(one), f"{one.seconds:.2f}", *([f"{one.beside_s:.2f}", one.beside] if program else [])] for one in every])  # fmt: skip


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folders", nargs="+", type=Path)
    arguments.add_argument("--beside", metavar="PROGRAM", help="the real isolationtester")
    arguments.add_argument("--only", action="append", help="only this spec (may be given again)")
    chosen = arguments.parse_args()
    program = shutil.which(chosen.beside) if chosen.beside else None
    if chosen.beside and not program:
        print(f"There is no program {chosen.beside}.", file=sys.stderr)
        return 2
    worse = 0
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as state:
        os.chmod(state, 0o755)
        os.environ["WORKBOOK_STATE"] = state
        from workbook import engines

        try:
            print("# PostgreSQL's own isolation specs, run by the workbook\n")
            print("Identical: byte for byte the expected file, or a variant of it. Each spec has a new database.\n")
            words = [
                *(folder.as_posix() for folder in chosen.folders),
                *(["--beside isolationtester"] if program else []),
            ]
            print(f"Printed by `python bench/specs.py {' '.join(words)}`. {os.cpu_count()} cores, load before {os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0:.1f}.\n")  # fmt: skip
            for folder in chosen.folders:
                every = []
                for spec, expected in files(folder):
                    if not chosen.only or spec.stem in chosen.only:
                        every.append(tried(spec, expected, program))
                        print(f"{spec.stem}: {outcome(every[-1])}", file=sys.stderr)
                worse += sum(one.beside_identical and not one.identical for one in every)
                report(folder, engines.cluster("production").version, every, program)
        finally:
            with contextlib.suppress(Exception):
                engines.clean()
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
