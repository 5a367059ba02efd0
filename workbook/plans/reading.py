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

import json
import re
from typing import Any

from workbook.errors import Unsuitable
from workbook.plans.others import read_duckdb, read_sqlite_text
from workbook.plans.postgres import read_json
from workbook.plans.postgres_text import read_text
from workbook.plans.tree import Plan

SIZE_MAX = 5_000_000
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


def _read(text: str) -> Plan:
    if not text.strip():
        raise Unsuitable("This text is empty.", next=NEXT)
    document = _json(text)
    if document is not None:
        if _names_postgres(document):
            return read_json(document)
        return read_duckdb(document)
    if re.search(r"^[| ]*(?:\|--|`--)", text, re.MULTILINE) and "(cost=" not in text:
        return read_sqlite_text(text)
    if re.search(r"^\s*-?\s*Plan:\s*\+?\s*$", text, re.MULTILINE):
        return read_json(_yaml(text))
    return read_text(text)


def _names_postgres(document: Any) -> bool:
    top = document[0] if isinstance(document, list) and document else document
    return isinstance(top, dict) and "Plan" in top


def _json(text: str) -> Any:
    """The document in the text, psql's heading and continuation marks around it or none; None where it is no JSON."""
    start = re.search(r"[\[{]", text)
    if not start:
        return None
    bare = "\n".join(re.sub(r"\s*\+\s*$", "", line).strip("|│ ") for line in text[start.start() :].splitlines())
    for candidate in (text[start.start() :], bare):
        try:
            document, _ = json.JSONDecoder().raw_decode(candidate.lstrip())
        except ValueError:
            continue
        if isinstance(document, list | dict):
            return document
    if re.match(r"\s*[\[{]\s*[\"{\n]", text):
        raise Unsuitable("This JSON is cut off or damaged.", next=NEXT)
    return None


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
