"""Real indexes as bytes, and what their leaves hold."""

from __future__ import annotations

from typing import Any

from workbook.btree import postgres
from workbook.btree.page import Snapshot
from workbook.btree.postgres_pages import Layout
from workbook.btree.postgres_tree import Held
from workbook.engines import Database


def pointers(snapshot: Snapshot) -> list[tuple[Any, tuple[int, int]]]:
    """Key and pointer of every row, in the order of the leaves."""
    leaves = [page for page in snapshot.leaves() if page.state == "live"]
    return [(entry.key, pointer) for page in leaves for entry in page.entries for pointer in entry.pointers]


def place(ctid: str) -> tuple[int, int]:
    block, offset = ctid.strip("()").split(",")
    return int(block), int(offset)


def image(made: Database, index: str) -> tuple[Held, Layout]:
    """The bytes of an index, and what its pages have in common."""
    made.checkpoint()
    with made.cluster.connect(made.name) as connection:
        oid, name = postgres._relation(connection, made.name, index)
        layout, source = postgres._layout(connection, oid, name)
        return Held(source.read(0, source.count), layout.page_bytes), layout
