r"""InnoDB's locks, read from the text of SHOW ENGINE INNODB STATUS: who waits, for whom, on which record.

    ---TRANSACTION 30, ACTIVE 1 sec starting index read
    LOCK WAIT 2 lock struct(s), ...                                     waits
    MariaDB thread id 6, ...                                            whose it is
    RECORD LOCKS space id 5 page no 3 ... index PRIMARY of table `d`.`test` ... lock_mode X ... waiting
    Record lock, heap no 4 PHYSICAL RECORD: ...                         one of its records, at this place
     0: len 4; hex 7ffffffd; asc ...;;                                  its fields, as InnoDB stores them

The text is made new each time it is asked for; information_schema.INNODB_LOCK_WAITS is renewed only when nobody has
read it for a tenth of a second. Locks stand in it while `innodb_status_output_locks` is on, at most ten entries a
transaction. A lock waits for another transaction's by the rules of `lock_rec_has_to_wait` and of the table of lock
modes; InnoDB's field of a signed integer has its sign bit turned round, so that bytes compare as numbers do.

    >>> shown(b"\x7f\xff\xff\xfd", Column("id", "int", unsigned=False, charset=None))
    '-3'
    >>> shown(b"ann", Column("name", "varchar", unsigned=False, charset="utf8mb4")), shown(None, None)
    ("'ann'", 'NULL')

Source: MariaDB's knowledge base, "InnoDB Monitors" and "InnoDB Lock Modes". Left out: fields of which the text shows
the beginning only, and predicate locks of spatial indexes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint", "date")
COUNTED = ("year", "enum", "set")
"""Types that InnoDB stores as an integer with a sign, and as one without."""
ENCODINGS = {"utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "latin1": "cp1252", "ascii": "ascii"}
SUPREMUM = 1
"""The number, on each page, of the record behind all others."""
WITH = {"IS": {"IS", "IX", "S", "AUTO-INC"}, "IX": {"IS", "IX", "AUTO-INC"}, "S": {"IS", "S"}, "X": set()}
WITH["AUTO-INC"] = {"IS", "IX"}
"""The modes that two transactions may hold on one table or record at the same time."""
THREAD = re.compile(r"^MariaDB thread id (\d+),", re.M)
TABLE = re.compile(r"^TABLE LOCK table (.+?) trx id \d+ lock mode (\S+)( waiting)?$")
RECORDS = re.compile(
    r"^RECORD LOCKS space id (\d+) page no (\d+) n bits \d+ index (.+?) of table (.+?) trx id \d+ lock[_ ]mode (\w)\b(.*)$"
)
RECORD = re.compile(r"^Record lock, heap no (\d+)")
FIELD = re.compile(r"^ \d+: (?:SQL NULL;|len \d+; hex ([0-9a-f]*);)")
SHORTENED = re.compile(r"; \(total \d+ bytes\);$")


@dataclass(frozen=True)
class Column:
    """A column of an index, by which its field is told: the type's name, and a string's character set."""

    name: str
    type: str
    unsigned: bool
    charset: str | None


@dataclass(frozen=True)
class Lock:
    """A transaction's lock on a table (`heap` is None) or on a record; `fields` are the record's, from its key on, and
    None where one is not shown whole."""

    thread: int
    table: str
    index: str
    place: tuple[int, int]
    heap: int | None
    mode: str
    gap: bool
    record_only: bool
    inserts: bool
    waits: bool
    fields: tuple[bytes | None, ...] | None = ()

    @property
    def _of(self) -> tuple[str, str, tuple[int, int], int | None]:
        """What is locked."""
        return self.table, self.index, self.place, self.heap

    def has_to_wait(self, other: Lock) -> bool:
        """Whether this lock cannot be had while another transaction has, or wants, that one."""
        if other.thread == self.thread or other._of != self._of or other.mode in WITH[self.mode]:
            return False
        if self.heap is None:
            return True
        if (self.heap == SUPREMUM or self.gap) and not self.inserts:
            return False  # locks of a gap keep out inserts only
        if other.inserts or (other.gap and not self.inserts):
            return False
        return not (self.gap and other.record_only)


def waiting(status: str) -> set[int]:
    """The threads that wait for one of InnoDB's locks."""
    return {thread for thread, waits, _ in _transactions(status) if waits}


def locks(status: str) -> list[Lock]:
    """Every lock that the text shows."""
    return [lock for thread, _, lines in _transactions(status) for lock in _locks(thread, lines)]


def waits(all_locks: Iterable[Lock]) -> list[tuple[Lock, Lock]]:
    """Each lock that is waited for, with one that stands in its way: held, or wanted by another one that waits."""
    known = dict.fromkeys(all_locks)
    return [(lock, other) for lock in known if lock.waits for other in known if lock.has_to_wait(other)]


def shown(field: bytes | None, column: Column | None) -> str:
    """A field as InnoDB's own list writes it: integers and text; of other types its bytes."""
    if field is None:
        return "NULL"
    if column is not None and column.type in INTEGERS + COUNTED:
        sign = 0 if column.unsigned or column.type in COUNTED else 1 << (8 * len(field) - 1)
        return str(int.from_bytes(field, "big") - sign)
    encoding = ENCODINGS.get(column.charset or "") if column is not None else None
    if encoding is not None:
        return "'" + field.decode(encoding, "replace").replace("'", "''") + "'"
    return "0x" + field.hex().upper()


def _transactions(status: str) -> Iterator[tuple[int, bool, list[str]]]:
    """Of each transaction that a session has: its thread, whether it waits, and what follows the thread's line."""
    listed = status.partition("LIST OF TRANSACTIONS FOR EACH SESSION:")[2].partition("\nFILE I/O\n")[0]
    for block in listed.split("\n---TRANSACTION ")[1:]:
        if thread := THREAD.search(block):
            waits = "\nLOCK WAIT " in block[: thread.start() + 1]
            yield int(thread[1]), waits, block[thread.end() :].split("\n")


def _locks(thread: int, lines: list[str]) -> list[Lock]:
    """What a transaction has and wants; the text repeats the one that it waits for."""
    found: list[Lock] = []
    of: Lock | None = None
    for line in lines:
        if table := TABLE.match(line):
            found.append(_lock(thread, table[1], "", (0, 0), table[2], table[3] or ""))
        elif records := RECORDS.match(line):
            place = int(records[1]), int(records[2])
            of = _lock(thread, records[4], records[3], place, records[5], records[6])
        elif of is not None and (record := RECORD.match(line)):
            found.append(replace(of, heap=int(record[1])))
        elif found and found[-1].fields is not None and (field := FIELD.match(line)):
            value = None if field[1] is None else bytes.fromhex(field[1])
            found[-1] = replace(found[-1], fields=None if SHORTENED.search(line) else (*found[-1].fields, value))
    return found


def _lock(thread: int, table: str, index: str, place: tuple[int, int], mode: str, more: str) -> Lock:
    return Lock(
        *(thread, table, index, place, None, mode),
        gap="locks gap before rec" in more,
        record_only="locks rec but not gap" in more,
        inserts="insert intention" in more,
        waits=more.endswith("waiting"),
    )
