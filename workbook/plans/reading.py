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
from itertools import islice
from typing import Any

from workbook.errors import Unsuitable
from workbook.plans.others import read_duckdb, read_sqlite_text
from workbook.plans.postgres import read_json
from workbook.plans.postgres_text import read_text
from workbook.plans.tree import Plan

SIZE_MAX = 5_000_000
STARTS_MAX = 3
NEXT = "save the whole output of EXPLAIN (ANALYZE, BUFFERS), as text or with FORMAT JSON"


def read_plan(text: str) -> Plan:
    """The plan in a text: PostgreSQL's JSON, YAML or text (any version, psql's frame or none), DuckDB's JSON,
    SQLite's tree.

    Raises `Unsuitable` with a sentence where there is none.
    """
    if len(text) > SIZE_MAX:
        raise Unsuitable(f"This text has {len(text):,} characters; a plan has at most {SIZE_MAX:,}.", next=NEXT)
    try:
        return _read(text)
    except RecursionError as error:
        raise Unsuitable("This plan is nested too deep to be read.", next=NEXT) from error
    except (ValueError, OverflowError) as error:
        raise Unsuitable("This plan has a number that no engine prints.", next=NEXT) from error


def _read(text: str) -> Plan:
    if not text.strip():
        raise Unsuitable("This text is empty.", next=NEXT)
    document = _json(text)
    if isinstance(document, str):
        text = document
    elif document is not None:
        return read_json(document) if _names_postgres(document) else read_duckdb(document)
    if re.search(r"^[| ]*(?:\|--|`--)", text, re.MULTILINE) and "(cost=" not in text:
        return read_sqlite_text(text)
    if re.search(r"^\s*-?\s*Plan:\s*\+?\s*$", text, re.MULTILINE):
        return read_json(_yaml(text))
    if "┌" in text and re.search(r"Physical Plan|Total Time|~[\d,]+ rows?\b|\d+ rows?\s*│", text):
        raise Unsuitable(
            "This is a plan as DuckDB draws it.", next="save what EXPLAIN (ANALYZE, FORMAT JSON) prints instead"
        )
    if "<explain" in text:
        raise Unsuitable("This is a plan in XML.", next=NEXT)
    return read_text(text)


def _names_postgres(document: Any) -> bool:
    top = document[0] if isinstance(document, list) and document else document
    return isinstance(top, dict) and "Plan" in top


def _json(text: str) -> Any:
    """The document in the text, psql's heading and continuation marks around it or none; where a client wrapped its
    rows into JSON, the text that they make; None where it is no JSON."""
    cut = False
    for start in islice(re.finditer(r"^[\s|│\"]*([\[{(])", text, re.MULTILINE), STARTS_MAX):
        whole = text[start.start(1) :]
        bare = "\n".join(re.sub(r"\s*\+\s*$", "", line.strip("|│ ")) for line in whole.splitlines())
        for candidate in (whole, bare, whole.replace('""', '"')):
            with suppress(ValueError):
                return _unwrapped(json.JSONDecoder().raw_decode(candidate)[0])
        if re.match(r"[\[(]\s*[\[({]", whole):
            with suppress(ValueError, SyntaxError, MemoryError), warnings.catch_warnings(action="ignore"):
                return _unwrapped(ast.literal_eval(whole.strip().removesuffix("```").strip()))
        cut = cut or bool(re.match(r"[\[{][\s+]*([\"{\[]|$)", whole))
    if cut:
        raise Unsuitable("This JSON is cut off or damaged.", next=NEXT)
    return None


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

    lines = [re.sub(r"\s*\+\s*$", "", line) for line in text.splitlines()]
    start = next(number for number, line in enumerate(lines) if re.match(r"^\s*-?\s*Plan:\s*$", line))
    margin = len(lines[start]) - len(lines[start].lstrip())
    kept = [line[margin:] for line in lines[start:] if line.strip() and not re.match(r"^\s*\(\d+ rows?\)", line)]
    try:
        return yaml.safe_load("\n".join(kept))
    except yaml.YAMLError as error:
        raise Unsuitable("This YAML is cut off or damaged.", next=NEXT) from error
