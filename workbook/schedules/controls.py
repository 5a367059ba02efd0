"""Which statements of a step begin a transaction, and which end one: read from the text, statement by statement.

    "/* pay */ BEGIN; UPDATE test SET value = 1; -- done\\nCOMMIT;"
                 │      │                                 │
               begin  plain                             commit

A step is mostly one statement. It may hold several, and comments, white space and semicolons around them, none of which
changes what the engine does.

    >>> statements("/* pay */ BEGIN; SELECT ';'; -- a; b\\nCOMMIT;")
    ['BEGIN', "SELECT ';'", 'COMMIT']
    >>> [kind(one) for one in statements("-- open\\nSTART TRANSACTION; SELECT 1; END; COMMIT PREPARED 'a'")]
    ['begin', 'plain', 'commit', 'plain']
    >>> statements("CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM u; SELECT 1; END; SELECT 2")[1:]
    ['SELECT 2']

Comments of the form /* */ may stand in each other, as on PostgreSQL and DuckDB; where such a text would not come to its
end, they may not, as on SQLite and MariaDB.

Source: PostgreSQL's manual, 4.1.5 and 53.2.2.1. Left out: what a procedure or a DO block commits, and backslashes in
MariaDB's strings (its client takes one statement a time).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Kind = Literal["begin", "commit", "rollback", "prepare", "plain"]

FLAT = r"/\*(?:(?!\*/).)*\*/"
NESTED = r"/\*(?:(?!/\*|\*/).)*\*/"
for _ in range(3):
    NESTED = rf"/\*(?:(?!/\*|\*/).|{NESTED})*\*/"
COMMENT = rf"(?>--[^\n]*|(?s:{NESTED}|{FLAT}))"
LEAD = rf"(?>\s|;|\#[^\n]*|{COMMENT})*+"
"""What may stand before a statement and means nothing (# begins a comment on MariaDB, and no statement elsewhere)."""
GAP = rf"(?>\s|{COMMENT})++"
BEGINS = re.compile(rf"{LEAD}(?:BEGIN\b(?!{GAP}(?:NOT{GAP})?ATOMIC\b)|START{GAP}TRANSACTION\b)", re.I)
ENDS = re.compile(
    rf"{LEAD}(?:(?P<commit>COMMIT|END)|(?P<rollback>ROLLBACK|ABORT)(?!{GAP}(?:(?:WORK|TRANSACTION){GAP})?TO\b)|"
    rf"(?P<prepare>PREPARE{GAP}TRANSACTION))\b(?!{GAP}PREPARED)",
    re.I,
)
CHAIN = re.compile(r"\bAND\s+CHAIN\b", re.I)
SAVEPOINT = re.compile(r"(?P<what>SAVEPOINT|RELEASE(?:\s+SAVEPOINT)?)\s+(?P<name>.+)", re.I | re.S)
BACK = re.compile(r"ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\s+(?:SAVEPOINT\s+)?(?P<name>.+)", re.I | re.S)
"""A return to a savepoint."""
TOKEN = re.compile(
    rf"\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$|"
    rf"(?P<comment>{COMMENT})|(?P<end>;)|\w+|.",
    re.S,
)
ROUTINE = re.compile(
    r"\s*(?:CREATE\b.*\b(?:TRIGGER|FUNCTION|PROCEDURE|EVENT)\b.*\bBEGIN\b|BEGIN\s+NOT\s+ATOMIC\b)", re.I | re.S
)
"""What holds statements of its own, each with a semicolon, until its END."""
ROUTINE_ENDS = re.compile(r".*(?:;|\bATOMIC\b|\bBEGIN\b)\s*END\s*(?:\"[^\"]*\"|\w+)?\s*", re.I | re.S)
STRING = re.compile(r"'(?:[^']|'')*'")


def statements(sql: str) -> list[str]:
    """The statements of a text, without comments and semicolons."""
    found, current = [], ""
    for token in TOKEN.finditer(sql):
        if token["end"] and not _inside(current):
            found.append(current)
            current = ""
        else:
            current += " " if token["comment"] else token[0]
    found.append(current)
    return [one.strip() for one in found if one.strip()]


@lru_cache(maxsize=4096)
def bare(sql: str) -> str:
    """A text without its comments, as the engine takes it.

    >>> bare("/* done */ COMMIT;")
    'COMMIT'
    """
    return "; ".join(statements(sql))


@lru_cache(maxsize=4096)
def parted(sql: str) -> tuple[str, str]:
    """A text without the semicolons behind it: up to the end of its last statement, and the comments after that.

    >>> parted("SELECT 1; -- read it"), parted("SELECT ';' ;")
    (('SELECT 1', ' -- read it'), ("SELECT ';'", ''))
    """
    end, tail = 0, ""
    for token in TOKEN.finditer(sql):
        if token["end"] or token["comment"] or token[0].isspace():
            tail += " " if token["end"] else token[0]
        else:
            end, tail = token.end(), ""
    tail = tail.rstrip()
    return (sql[:end], re.sub(r"^ {2,}", " ", tail)) if end else ("", sql.strip(" \t\r\n;"))


def _inside(current: str) -> bool:
    """Whether what was read so far is a routine that has not come to its END."""
    bare = STRING.sub("''", current)
    return ROUTINE.match(bare) is not None and ROUTINE_ENDS.fullmatch(bare) is None


def kind(statement: str) -> Kind:
    """What a statement asks for: to begin a transaction, to end it in one of three ways, or anything else.

    >>> [kind(sql) for sql in ("ABORT", "ROLLBACK TO a", "ROLLBACK AND CHAIN", "PREPARE TRANSACTION 'a'")]
    ['rollback', 'plain', 'rollback', 'prepare']
    """
    if BEGINS.match(statement):
        return "begin"
    found = ENDS.match(statement)
    if found is None:
        return "plain"
    return "commit" if found["commit"] else "rollback" if found["rollback"] else "prepare"


def chains(statement: str) -> bool:
    """Whether it ends a transaction and begins the next at once: COMMIT AND CHAIN, ROLLBACK AND CHAIN."""
    return kind(statement) in ("commit", "rollback") and CHAIN.search(statement) is not None


def leaves_open(sql: str, was_open: bool = False) -> bool:
    """Whether a transaction is open after a text that was done, by what it says.

    >>> leaves_open("BEGIN; SELECT 1"), leaves_open("BEGIN; COMMIT"), leaves_open("SELECT 1", was_open=True)
    (True, False, True)
    """
    for one in statements(sql):
        if (what := kind(one)) != "plain":
            was_open = what == "begin" or chains(one)
    return was_open


def savepoint(statement: str) -> tuple[Literal["save", "release", "back", ""], str]:
    """What a statement does with a savepoint, and its name.

    >>> savepoint('RELEASE SAVEPOINT "A"'), savepoint("ROLLBACK TO a"), savepoint("SELECT 1")
    (('release', 'a'), ('back', 'a'), ('', ''))
    """
    if found := BACK.fullmatch(statement):
        return "back", _name(found)
    if found := SAVEPOINT.fullmatch(statement):
        return "save" if found["what"].upper() == "SAVEPOINT" else "release", _name(found)
    return "", ""


def _name(found: re.Match[str]) -> str:
    return found["name"].strip().strip('"`[]').lower()
