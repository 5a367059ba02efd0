"""Whatever is done to a tree, in whatever order: it holds what a sorted list would hold, and stays a B+tree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.btree.rules import holds, ordered
from workbook.btree.checking import faults
from workbook.btree.tree import Tree

KEYS: dict[str, st.SearchStrategy[Any]] = {
    "whole numbers": st.integers(-20, 60),
    "large numbers": st.integers(-(2**63), 2**63 - 1),
    "numbers or NULL": st.none() | st.integers(0, 12),
    "text": st.text(alphabet="abé€", max_size=5),
    "long text": st.text(alphabet="ab", max_size=120),
    "bytes": st.binary(max_size=6),
    "UUIDs": st.uuids(),
    "two columns": st.tuples(st.integers(0, 3), st.text(alphabet="xy", max_size=4)),
    "two columns with NULL": st.tuples(st.none() | st.integers(0, 2), st.none() | st.integers(0, 9)),
}
PAGE_BYTES = {"text": 256, "long text": 640, "two columns": 256, "two columns with NULL": 256, "UUIDs": 256}


class Operations(RuleBasedStateMachine):
    """A tree beside a list of (key, row), and everything that can be done to both."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.kind = data.draw(st.sampled_from(sorted(KEYS)), label="kind")
        self.keys = KEYS[self.kind]
        least = PAGE_BYTES.get(self.kind, 128)
        self.frames = data.draw(st.none() | st.integers(1, 6), label="pool")
        first = data.draw(st.lists(self.keys, min_size=0, max_size=80), label="loaded")
        self.tree = Tree.load(
            ((key, None) for key in first),
            page_bytes=data.draw(st.sampled_from([least, least + 8, 2 * least, 1024]), label="page_bytes"),
            fill_factor=data.draw(st.sampled_from([10, 50, 90, 100]), label="fill_factor"),
            duplicates=data.draw(st.sampled_from(["posting", "plain"]), label="duplicates"),
            truncation=data.draw(st.sampled_from(["columns", "characters", "none"]), label="truncation"),
            pool_pages=self.frames,
            replacement=data.draw(st.sampled_from(["lru", "clock"]), label="replacement"),
        )
        self.pairs: list[tuple[Any, int]] = [(key, row) for row, key in enumerate(first)]
        self.rows = len(first)
        self.loaded = len(self.tree.snapshot().pages)

    def sorted_pairs(self) -> list[tuple[Any, int]]:
        return sorted(self.pairs, key=lambda pair: (ordered(pair[0]), pair[1]))

    def some_key(self, data: st.DataObject) -> Any:
        """One that is there, more often than not."""
        there = [key for key, _ in self.pairs]
        return data.draw(st.sampled_from(there) | self.keys if there else self.keys, label="key")

    def put(self, key: Any, row: int | None = None) -> None:
        given = self.tree.insert(key, row)
        assert given == self.rows if row is None else given == row
        self.pairs.append((key, given))
        self.rows = max(self.rows, given + 1)

    @rule(data=st.data())
    def insert_one(self, data: st.DataObject) -> None:
        self.put(self.some_key(data))

    @rule(data=st.data())
    def insert_several(self, data: st.DataObject) -> None:
        several = data.draw(st.lists(self.keys, min_size=2, max_size=25), label="keys")
        order = data.draw(st.sampled_from(["as they come", "ascending", "descending"]), label="order")
        if order != "as they come":
            several.sort(key=ordered, reverse=order == "descending")
        for key in several:
            self.put(key)

    @rule(data=st.data(), times=st.integers(2, 40))
    def insert_duplicates(self, data: st.DataObject, times: int) -> None:
        key = self.some_key(data)
        for _ in range(times):
            self.put(key)

    @rule(data=st.data(), row=st.integers(0, 400))
    def insert_a_row_out_of_order(self, data: st.DataObject, row: int) -> None:
        if all(row != taken for _, taken in self.pairs):
            self.put(self.some_key(data), row)

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def delete_a_row(self, data: st.DataObject) -> None:
        key, row = data.draw(st.sampled_from(self.pairs), label="pair")
        assert self.tree.delete(key, row) == 1
        self.pairs.remove((key, row))
        assert self.tree.delete(key, row) == 0

    @rule(data=st.data())
    def delete_a_key(self, data: st.DataObject) -> None:
        key = self.some_key(data)
        left = [pair for pair in self.pairs if ordered(pair[0]) != ordered(key)]
        assert self.tree.delete(key) == len(self.pairs) - len(left)
        self.pairs = left

    @precondition(lambda self: len(self.pairs) > 3)
    @rule(share=st.floats(0, 1), size=st.floats(0, 1))
    def delete_a_range(self, share: float, size: float) -> None:
        pairs = self.sorted_pairs()
        begin = int(share * len(pairs))
        gone = pairs[begin : begin + 1 + int(size * len(pairs))]
        for key, row in gone:
            assert self.tree.delete(key, row) == 1
        self.pairs = [pair for pair in self.pairs if pair not in gone]

    @rule()
    def vacuum(self) -> None:
        before = self.tree.snapshot()
        freed = self.tree.vacuum()
        after = self.tree.snapshot()
        assert sum(after.counts.values()) == sum(before.counts.values()) - freed

    @rule()
    def flush(self) -> None:
        self.tree.flush()
        assert self.tree.flush() == 0

    @rule(data=st.data())
    def find(self, data: st.DataObject) -> None:
        key = self.some_key(data)
        assert self.tree.find(key) == tuple(sorted(row for k, row in self.pairs if ordered(k) == ordered(key)))

    @rule(data=st.data(), reverse=st.booleans())
    def scan(self, data: st.DataObject, reverse: bool) -> None:
        real = self.keys.filter(lambda key: None not in (key if isinstance(key, tuple) else (key,)))
        low, high = (data.draw(st.none() | real, label=label) for label in ("low", "high"))
        expected = [
            (key, row)
            for key, row in self.sorted_pairs()
            if (low is None or ordered(key) >= ordered(low))
            and (high is None or ordered(key) <= ordered(high))
            and ((low is None and high is None) or ordered(key)[0][0] is False)
        ]
        assert list(self.tree.scan(low, high, reverse=reverse)) == (expected[::-1] if reverse else expected)

    @invariant()
    def every_rule_holds(self) -> None:
        if not hasattr(self, "tree"):
            return
        holds(self.tree, self.sorted_pairs(), loaded=self.loaded)
        assert faults(self.tree.snapshot()) == []
        counted = self.tree.counters
        if self.frames is None:
            assert counted.hits == counted.misses == counted.evictions == 0 and not self.tree.pool
        else:
            assert counted.reads == counted.misses and len(self.tree.pool) <= self.frames
            assert len(set(self.tree.pool)) == len(self.tree.pool)


class TestOperations(Operations.TestCase):
    settings = settings(max_examples=50, stateful_step_count=30, deadline=None, derandomize=True)


@pytest.mark.slow
class TestManyOperations(Operations.TestCase):
    settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
