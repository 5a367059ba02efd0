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
from dataclasses import replace
from itertools import islice, takewhile
from typing import Any

from workbook.errors import Unsuitable
from workbook.plans.others import read_duckdb, read_sqlite_text
from workbook.plans.postgres import read_json
from workbook.plans.postgres_text import read_text, several_notes
from workbook.plans.tree import AGAIN, DEPTH_MAX, Plan, too_deep

SIZE_MAX = 5_000_000
STARTS_MAX = 3
ROWS_MAX = 1_000_000
"""Rows as Python prints them are read up to so many characters: its parser is slow."""
MORE = re.compile(r'(?<!\\)"Plan"\s*:')
PLAN_LINE = re.compile(r"^[ \t]*(?:-[ \t]*)?Plan:[ \t]*(?:\+[ \t]*)?$", re.MULTILINE)
DRAWN_BY_DUCKDB = re.compile(r"Physical Plan|Total Time|~[\d,]+ rows?\b|\b\d{1,20} rows?\s*│")


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
        return _read(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", newline))
    except RecursionError as error:
        raise too_deep() from error
    except (ValueError, OverflowError) as error:
        raise Unsuitable("This plan has a number that no engine prints.", next=AGAIN) from error


def _read(text: str) -> Plan:
    if not text.strip():
        raise Unsuitable("This text is empty.", next=AGAIN)
    document, more = _json(text)
    if isinstance(document, Mapping) and isinstance(document.get("message"), str):  # a line of PostgreSQL's jsonlog
        return _read(document["message"])
    if isinstance(document, str):
        text = document
    elif document is not None:
        return _of(document, more)
    if re.search(r"^[| ]*(?:\|--|`--)", text, re.MULTILINE) and "(cost=" not in text:
        return read_sqlite_text(text)
    if PLAN_LINE.search(text):
        return _of(_yaml(text), 0)
    if "┌" in text and DRAWN_BY_DUCKDB.search(text):
        raise Unsuitable(
            "This is a plan as DuckDB draws it.", next="save what EXPLAIN (ANALYZE, FORMAT JSON) prints instead"
        )
    if "<explain" in text:
        raise Unsuitable("This is a plan in XML, which is not read here.", next=AGAIN)
    return read_text(text)


def _of(document: Any, more: int) -> Plan:
    """The plan of a document, the first of a list; `more` plans stand behind it."""
    tops = document if isinstance(document, list | tuple) else [document]
    top = tops[0] if tops else None
    if isinstance(top, Mapping) and "Node Type" in top:  # the root alone
        top = {"Plan": top}
    if not isinstance(top, Mapping) or "Plan" not in top:
        return read_duckdb(document)
    plan = read_json(top)
    return replace(plan, notes=(*plan.notes, *several_notes(len(tops) + more)))


def _json(text: str) -> tuple[Any, int]:
    """The document in the text, psql's heading and continuation marks around it or none; where a client wrapped its
    rows into JSON, the text that they make; None where it is no JSON. And how many plans stand behind it."""
    cut = False
    for start in islice(re.finditer(r"^[ \t|│\"]*([\[{(])", text, re.MULTILINE), STARTS_MAX):
        whole = text[start.start(1) :]
        for way in (str, _unmarked, _unquoted):
            with suppress(ValueError):
                document, end = json.JSONDecoder().raw_decode(candidate := way(whole))
                return _unwrapped(document), len(MORE.findall(candidate, end))
        python = re.match(r"[\[(]\s*[\[({]", whole)
        if python and len(whole) > ROWS_MAX and not text[: start.start(1)].strip() and whole.rstrip()[-1] in "])":
            raise Unsuitable(f"These are rows of more than {ROWS_MAX:,} characters, and no JSON.", next=AGAIN)
        if python and len(whole) <= ROWS_MAX:
            with suppress(ValueError, SyntaxError, MemoryError), warnings.catch_warnings(action="ignore"):
                return _unwrapped(ast.literal_eval(whole.strip().removesuffix("```").strip())), 0
        cut = cut or bool(re.match(r"[\[{][\s+]*([\"{\[]|$)", whole))
    if cut:
        raise Unsuitable("This JSON is cut off or damaged.", next=AGAIN)
    return None, 0


def _unmarked(text: str) -> str:
    """The text without psql's frame and the marks of lines that go on."""
    return "\n".join(_ended(line.strip("|│ ")) for line in text.splitlines())


def _ended(line: str) -> str:
    line = line.rstrip()
    return line[:-1].rstrip() if line.endswith("+") else line


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


def _yaml(text: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    lines = [_ended(line) for line in text.split("\n")]
    start = next(number for number, line in enumerate(lines) if PLAN_LINE.match(line))
    margin = len(lines[start]) - len(lines[start].lstrip())
    of_it = takewhile(lambda line: not line[:margin].strip() and line.strip() != "QUERY PLAN", lines[start:])
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
