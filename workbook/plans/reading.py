"""Reads a plan that was saved anywhere, whatever its form.

    text ─▶ JSON? ─▶ PostgreSQL | DuckDB          else ─▶ YAML? ─▶ psql's text? ─▶ SQLite's tree?

    >>> read_plan("Result  (cost=0.00..0.01 rows=1 width=4)").root.kind
    'Result'
    >>> read_plan("hello")
    Traceback (most recent call last):
    workbook.errors.Unsuitable: There is no plan in this text. ...

Left out: binary dumps; plans of engines that are not named here.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, pairwise, takewhile
from typing import Any

from workbook.errors import Unsuitable
from workbook.plans.others import read_duckdb, read_sqlite_text
from workbook.plans.postgres import read_json
from workbook.plans.postgres_text import FIRST_OF, FRAME, MARKS, RECORD, read_text, several_notes
from workbook.plans.tree import AGAIN, DEPTH_MAX, Plan, too_deep

SIZE_MAX = 5_000_000
STARTS_MAX = 3
ROWS_MAX = 1_000_000
"""Rows as Python prints them are read up to so many characters: its parser is slow."""
STARTS = re.compile(r"""^[ \t|│"]*(?:(?=[\[{][\s+↵|│║]*(?:["{}\[\]]|\Z))|(?=[\[(]\s*[\[({]))([\[{(])""", re.MULTILINE)
"""Where a document of JSON with names or lists in it may begin, or rows as Python prints them: no row of SQL's VALUES."""
PLANNED = re.compile(r'Plan\\?"\s*:|"(?:Node Type|children|message)"\s*:|\((?:cost=|actual )')
"""Some of it stands in every plan, in whichever way a client wrapped it."""
MORE = re.compile(r'(?<!\\)"Plan"\s*:')
ROOT_LINE = re.compile(r"^(?!.*(?:->  |: \")).*\((?:cost=\d|actual (?:time|rows)=\d)", re.MULTILINE)
"""The first line of a plan in text."""
OF_YAML = re.compile(
    rf"^[ \t]*(?:-[ \t]*)?(?:(?P<plan>Plan:[ \t]*$)|(?P<kind>Node Type:))|{ROOT_LINE.pattern}", re.MULTILINE
)
HALVES = re.compile(r"(\\ud[89ab]\w\w\\+ud[c-f]\w\w)|\\ud[89a-f]\w\w", re.IGNORECASE)
"""A letter as JSON may write it, in two halves; or one of them alone, which nothing can print."""
TEXT_FROM = re.compile(rf" *QUERY PLAN$|(?=[A-Z]){ROOT_LINE.pattern[1:]}")
"""Where YAML ends and something else begins."""
FRAMED = re.compile(r"^(?:(?:QUERY PLAN| {10}) [|│║] |[|│║] (?:(?:QUERY PLAN| {10}) [|│║] )?(?=.*[|│║]$))")
"""What psql puts before a line of a table with borders, or of its expanded output."""
LOGGED_CSV = re.compile(r',"(duration: [\d.]+ ms  plan:\n[^"]*(?:""[^"]*)*)(?:"|\Z)')
"""What auto_explain writes into a log of PostgreSQL in CSV, and how its message begins in any log."""
LOGGED = re.compile(r"duration: [\d.]+ ms  plan:\n")
DRAWN_BY_DUCKDB = re.compile(r"Physical Plan|(?<!Actual )Total Time|~[\d,]+ rows?\b|\b\d{1,20} rows?\s*│")


def read_plan(text: str) -> Plan:
    """The plan in a text: PostgreSQL's JSON, YAML or text (any version, psql's frame or none), DuckDB's JSON,
    SQLite's tree.

    Raises `Unsuitable` with a sentence where there is none.
    """
    if len(text) > SIZE_MAX:
        raise Unsuitable(
            f"This text has {len(text):,} characters; a plan has at most {SIZE_MAX:,}.",
            next="save the plan alone, or explain a part of the query",
        )
    newline = "" if "\n" in text else "\n"
    try:
        plain = re.sub(r"[\ud800-\udfff]", "\ufffd", text.removeprefix("\ufeff").replace("\u00a0", " "))
        plain = HALVES.sub(lambda found: found[1] or r"\ufffd", plain)
        return _read(plain.replace("\r\n", "\n").replace("\r", newline))
    except RecursionError as error:
        raise too_deep() from error
    except (ValueError, OverflowError) as error:
        raise Unsuitable("This plan has a number that no engine prints.", next=AGAIN) from error


def _read(text: str) -> Plan:
    if not text.strip():
        raise Unsuitable("This text is empty.", next=AGAIN)
    if logged := _logged(text):
        return _of_several(_read(logged[0]), len(logged))
    first = found.start() if (found := ROOT_LINE.search(text)) else len(text)
    one = _json(text)
    document = one.document
    if isinstance(document, Mapping) and isinstance(document.get("message"), str):  # a line of PostgreSQL's jsonlog
        return _read(document["message"])
    if isinstance(document, str):
        text = document
    elif document is not None and one.start < first:
        try:
            return _of(document, len(_tops(document)) + one.more + len(ROOT_LINE.findall(text, one.end)))
        except Unsuitable:
            if found is None or _plans_in(document):  # else it is what another statement printed
                raise
    elif document is not None and (behind := one.more + _plans_in(document)):
        return _of_several(read_text(text[: one.start]), len(ROOT_LINE.findall(text, 0, one.start)) + behind)
    if re.search(r"^[| ]*(?:\|--|`--)", text, re.MULTILINE) and "(cost=" not in text:
        return read_sqlite_text(text)
    lines = _lines_of_yaml(text) if "Plan:" in text else ""
    if yaml := _plans_of_yaml(lines):
        plans = len(yaml) + len(ROOT_LINE.findall(lines))
        before = ROOT_LINE.search(lines, 0, yaml[0])
        return _of_several(read_text(text), plans) if before else _of(_yaml(lines[yaml[0] :]), plans)
    if "┌" in text and DRAWN_BY_DUCKDB.search(text) and "Node Type" not in text:
        raise Unsuitable(
            "This is a plan as DuckDB draws it.", next="save what EXPLAIN (ANALYZE, FORMAT JSON) prints instead"
        )
    if "<explain" in text:
        raise Unsuitable("This is a plan in XML, which is not read here.", next=AGAIN)
    return read_text(text)


def _plans_of_yaml(lines: str) -> list[int]:
    """Where each plan in YAML begins: at a line `Plan:`. One right above a plan is somebody's heading."""
    marks = list(OF_YAML.finditer(lines))
    above = {mark.start() for mark, below in pairwise(marks) if not below["kind"]}
    return [mark.start() for mark in marks if mark["plan"] and mark.start() not in above]


def _logged(text: str) -> list[str]:
    """The messages of auto_explain in a log that PostgreSQL wrote as CSV or, a line each, as JSON."""
    if ',"duration: ' in text:
        return [found[1].replace('""', '"') for found in LOGGED_CSV.finditer(text)]
    messages = []
    for line in text.split("\n") if '"message":"duration: ' in text else ():
        with suppress(ValueError):
            entry = json.loads(line)
            message = entry.get("message") if isinstance(entry, Mapping) else None
            messages += [message] if isinstance(message, str) and LOGGED.match(message) else []
    return messages


def _of_several(plan: Plan, plans: int) -> Plan:
    """The plan with a note where it is the first of several."""
    said = (note for note in plan.notes if not note.startswith(FIRST_OF))
    return replace(plan, notes=(*said, *several_notes(plans)))


def _plans_in(document: Any) -> int:
    """How many plans of PostgreSQL a document holds at its top."""
    return sum(isinstance(top, Mapping) and ("Plan" in top or "Node Type" in top) for top in _tops(document))


def _tops(document: Any) -> list[Any] | tuple[Any, ...]:
    return document if isinstance(document, list | tuple) else [document]


def _of(document: Any, plans: int) -> Plan:
    """The plan of a document, the first of a list; so many plans are in the text."""
    top = next(iter(_tops(document)), None)
    if isinstance(top, Mapping) and "Node Type" in top:  # the root alone
        top = {"Plan": top}
    if not isinstance(top, Mapping) or "Plan" not in top:
        return read_duckdb(document)
    return _of_several(read_json(top), plans)


@dataclass(frozen=True)
class _Document:
    """What a text holds in JSON: None where it is none. `more` plans in JSON stand behind it; it is what stands from
    `start` to `end`."""

    document: Any
    more: int = 0
    start: int = 0
    end: int = 0


def _json(text: str) -> _Document:
    """The document in the text, psql's heading and continuation marks around it or none; where a client wrapped its
    rows into JSON, the text that they make. Of several the first that has a plan, or the first."""
    cut, spare, passed = False, None, 0
    starts = (start for start in STARTS.finditer(text) if start.start() >= passed)
    for start in islice(starts, STARTS_MAX):
        whole = text[start.start(1) :]
        for way in (str, _unmarked, _unquoted):
            with suppress(ValueError):
                read, end = json.JSONDecoder().raw_decode(candidate := way(whole))
                passed = start.start(1) + end if way is str else len(text)
                more = len(MORE.findall(candidate, end))
                one = _Document(_unwrapped(read), more, start.start(), passed)
                if PLANNED.search(candidate, 0, end):
                    return one
                if not more:
                    return spare or one
                spare = spare or one
                break
        else:
            python = re.match(r"[\[(]\s*[\[({]", whole)
            if python and len(whole) > ROWS_MAX and not text[: start.start(1)].strip() and whole.rstrip()[-1] in "])":
                raise Unsuitable(f"These are rows of more than {ROWS_MAX:,} characters, and no JSON.", next=AGAIN)
            if python and len(whole) <= ROWS_MAX:
                with suppress(ValueError, SyntaxError, MemoryError), warnings.catch_warnings(action="ignore"):
                    rows = ast.literal_eval(whole.strip().removesuffix("```").strip())
                    return _Document(_unwrapped(rows), 0, start.start(), len(text))
            cut = cut or bool(re.match(r"[\[{][\s+]*([\"{\[]|$)", whole))
    if cut and not spare:
        raise Unsuitable("This JSON is cut off or damaged.", next=AGAIN)
    return spare or _Document(None)


def _unmarked(text: str) -> str:
    """The text without psql's frame and the marks of lines that go on."""
    return "\n".join(_ended(line.strip("|│ ")) for line in text.splitlines())


def _ended(line: str) -> str:
    line = line.rstrip()
    return line[:-1].rstrip() if line.endswith(MARKS) else line


def _unquoted(text: str) -> str:
    return text.replace('""', '"')


def _unwrapped(document: Any) -> Any:
    """The document in the rows that a client gave: [{"QUERY PLAN": [...]}], [[[...]]], [["Seq Scan ..."], ...]."""
    for _ in range(8):
        if isinstance(document, Mapping) and len(document) == 1 and "Plan" not in document:
            if next(iter(document)) not in ("QUERY PLAN", "explain_value", "physical_plan"):
                return document
            document = next(iter(document.values()))
        elif isinstance(document, list | tuple) and document:
            rows = [_cell(row) for row in document]
            if all(isinstance(row, str) for row in rows):
                document = "\n".join(rows)
            elif len(rows) == 1:
                document = rows[0]
            else:
                return document
        elif isinstance(document, str) and document.lstrip().startswith(("[", "{")):
            document = json.loads(document)
        else:
            return document
    return document


def _cell(row: Any) -> Any:
    if isinstance(row, Mapping) and len(row) == 1 and "QUERY PLAN" in row:
        return row["QUERY PLAN"]
    return row[0] if isinstance(row, list | tuple) and len(row) == 1 else row


def _lines_of_yaml(text: str) -> str:
    """The text without psql's frame, its marks of lines that go on, and its headings of records."""
    lines = (line for line in text.split("\n") if not (FRAME.fullmatch(line) or RECORD.fullmatch(line)))
    bare = ((line[found.end() :].rstrip("|│║ ") if (found := FRAMED.match(line)) else line) for line in lines)
    return "\n".join(_ended(line) for line in bare)


def _yaml(text: str) -> Any:
    """The document that begins with the text's first line."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    lines = text.split("\n")
    margin = len(lines[0]) - len(lines[0].lstrip())
    of_it = takewhile(lambda line: not line[:margin].strip() and not TEXT_FROM.match(line), lines)
    kept = [line[margin:] for line in of_it if line.strip() and not re.match(r"\s*\(\d+ rows?\)", line)]
    if any(len(line) - len(line.lstrip()) > 6 * DEPTH_MAX for line in kept):
        raise too_deep()
    bare = (re.sub(r'"(?:[^"\\]|\\.)*"', "", line) for line in kept)
    if any(re.search(r"[&*\[{?|>!]|- +-", line) for line in bare):  # anchors, lists in a line: PostgreSQL prints none
        raise Unsuitable("This YAML is cut off, damaged or not of PostgreSQL.", next=AGAIN)
    try:
        return yaml.load("\n".join(kept), loader)
    except yaml.YAMLError as error:
        raise Unsuitable("This YAML is cut off or damaged.", next=AGAIN) from error
