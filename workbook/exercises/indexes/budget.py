"""Direct: the acceptance check for an agent, written before any design is seen.

    goals in the words of a business ──▶ accept(small, large) ──▶ tells the right designs of a bank from the wrong ones
    2,000,000 orders, 1.5 MB a second     facts measured at 2,000 and at 20,000 orders

An agent delivers an index design with measurements on a sample. At that size every design is quick. The check has to say from two
samples what happens at a hundred times the size, add up what is written each second, and leave alone what no goal asks
for: a check that refuses a right design is as wrong as one that lets a wrong one pass.

The facts of the bank were measured on clones by `python -m workbook.exercises.indexes.budget`, which writes them to bank.json; which designs are
right follows from them and the goals. Tests measure them again, and build the bank at a larger size to see whether what was worked out holds there.

    >>> {name for name in BANK} >= {"lean", "customer alone", "everything"}
    True

Source: Neil Gunther, "Guerrilla Capacity Planning" (2007), on extrapolating from few measurements; facts of this workbook's own.
Left out: growth that is neither constant nor linear; a B-tree's next level comes once in some hundredfold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workbook.engines import Recipe, database
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.plans import explain

SMALL, LARGE, GOAL = 2_000, 20_000, 2_000_000
CUSTOMERS, WRITTEN = 40, 100
TABLE = """CREATE TABLE orders (
    order_id bigint PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, placed_minute int NOT NULL, seen_minute int NOT NULL,
    parcel_code text NOT NULL, note text NOT NULL
) WITH (fillfactor = 80)"""
ROW = """i, i * 7 % {customers} + 1, CASE WHEN i % 50 = 7 AND i > {rows} * 0.6 THEN 'open' ELSE 'done' END, i, i * 7919 % 9973, 'P-' || i * 31 % 1000003,
    repeat('n', 60)"""
INSERT = "INSERT INTO orders SELECT {row} FROM generate_series({rows} + 1::bigint, {rows} + {written}) i"
UPDATE = "UPDATE orders SET seen_minute = 10000 WHERE order_id % ({rows} / {written}) = 3 AND order_id <= {rows}"
READS = {
    "list_pages": "SELECT order_id, status FROM orders WHERE customer_id = 7 ORDER BY placed_minute DESC LIMIT 10",
    "queue_pages": "SELECT order_id, note FROM orders WHERE status = 'open' ORDER BY placed_minute LIMIT 20",
    "lookup_pages": "SELECT order_id, status FROM orders WHERE parcel_code = 'P-3100'",
}
LIST, QUEUE, PARCEL = (
    "orders (customer_id, placed_minute)",
    "orders (placed_minute) WHERE status = 'open'",
    "orders (parcel_code)",
)
COVERED = "orders (customer_id) INCLUDE (placed_minute, order_id, status)"
HASHED = "orders USING hash (parcel_code)"
BANK = {
    "lean": (LIST, QUEUE, PARCEL),
    "lean, hashed": (LIST, QUEUE, HASHED),
    "customer alone": ("orders (customer_id)", QUEUE, PARCEL),
    "queue by time": (LIST, "orders (placed_minute)", PARCEL),
    "no lookup": (LIST, QUEUE),
    "seen, too": (LIST, QUEUE, PARCEL, "orders (seen_minute)"),
    "notes carried": ("orders (customer_id, placed_minute) INCLUDE (note)", QUEUE, PARCEL),
    "everything": (LIST, "orders (status, placed_minute)", PARCEL, "orders (status)", "orders (customer_id)", "orders (placed_minute)"),
    "queue unfiltered": (LIST, "orders (status, placed_minute)", PARCEL),
    "customer covered": (COVERED, QUEUE, PARCEL),
    "customer covered, hashed": (COVERED, QUEUE, HASHED),
    "customer covered, no lookup": (COVERED, QUEUE),
    "queue of open": (LIST, "orders (order_id) WHERE status = 'open'", PARCEL),
    "two more": (LIST, QUEUE, PARCEL, "orders (customer_id)", "orders (status)"),
    "hashed, two more": (LIST, QUEUE, HASHED, "orders (customer_id)", "orders (status)"),
    "hashed, seen": (LIST, QUEUE, HASHED, "orders (seen_minute)"),
    "no list, seen": (QUEUE, PARCEL, "orders (seen_minute)"),
    "no lookup, seen": (LIST, QUEUE, "orders (seen_minute)"),
    "none": (),
}  # fmt: skip
"""The designs: a name and their indexes. Learners are shown the facts of the last one, as an example. Each shortcut is told from a check by
one of them: within the limits on the larger sample, and growing; above a limit, and not growing; no HOT update, and right where nobody asked;
a disk that is kept to in megabytes of 1,048,576 bytes alone; a log that the new orders fill, not the looks."""
EXAMPLE = "none"
STORED = Path(__file__).with_name("bank.json")

Facts = dict[str, float]


def recipe_of(rows: int) -> Recipe:
    """The orders of a sample, without any index but the key."""
    row = ROW.format(customers=CUSTOMERS, rows=rows)
    return Recipe(
        f"{rows:,} orders, a sample",
        f"{TABLE};\nINSERT INTO orders SELECT {row} FROM generate_series(1::bigint, {rows}) i",
    )


def facts_of(name: str, rows: int) -> Facts:
    """What is measured of a design on a sample: pages of each read; bytes of WAL of a new order and of one that was looked at; the share of HOT
    updates; bytes of all indexes but the key."""
    with database(recipe_of(rows)) as orders:
        for number, index in enumerate(BANK[name]):
            orders.run(f"CREATE INDEX i{number} ON {index}")
        size = sum(orders.relation_bytes(f"i{number}") for number in range(len(BANK[name])))
        pages = {read: float(explain(sql, orders.engine).buffers.value or 0) for read, sql in READS.items()}
        row = ROW.format(customers=CUSTOMERS, rows=rows)
        insert = orders.measure(INSERT.format(row=row, rows=rows, written=WRITTEN))
        update = orders.measure(UPDATE.format(rows=rows, written=WRITTEN))
    return {
        "rows": rows, **pages, "insert_wal": insert.wal_bytes / WRITTEN, "update_wal": update.wal_bytes / WRITTEN,
        "hot": update.tuples["orders"].hot_updated / WRITTEN, "index_bytes": float(size),
    }  # fmt: skip


@cache
def bank() -> dict[str, tuple[Facts, Facts]]:
    """The stored facts of each design, small and large."""
    return {name: (small, large) for name, (small, large) in json.loads(STORED.read_text(encoding="utf-8")).items()}


@dataclass(frozen=True)
class Variant:
    """What a design must keep to at two million orders; 0 where nothing is asked. Pages of the three reads, megabytes of all indexes, and megabytes of
    WAL a second at so many new orders and looks a second."""

    story: str
    list_pages: int
    queue_pages: int
    lookup_pages: int
    disk_mb: int
    log_mb: float = 0.0
    orders_s: int = 0
    looks_s: int = 0


VARIANTS = (
    Variant("A shop whose customers look at their orders all day", 20, 60, 10, 170, 0.75, 1_000, 4_000),
    Variant("A shop without a warehouse of its own", 20, 0, 10, 154),
    Variant("A clearing house: orders pour in, and customers never see them", 0, 60, 10, 0, 1.25, 3_000, 100),
    Variant("A kiosk with a small disk, where nobody follows parcels", 20, 60, 0, 110),
    Variant("A parcel service on rented disks, of which there are enough", 20, 60, 2, 0, 0.75, 500, 4_000),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The larger sample, to try on."""
    return recipe_of(LARGE)


def later(small: float, large: float) -> float:
    """What grows from `small` to `large` with ten times the rows will be at the goal, if it goes on as a power of the rows."""
    return large * (large / small) ** 2


def broken(variant: Variant, small: Facts, large: Facts) -> str:
    """The goal that a design breaks, as a sentence with its numbers; '' for none."""
    for name, what, limit in (
        ("list_pages", "A customer's list", variant.list_pages),
        ("queue_pages", "The queue", variant.queue_pages),
        ("lookup_pages", "The look-up of a parcel", variant.lookup_pages),
    ):
        if limit and later(small[name], large[name]) > limit:
            return f"{what} touches {small[name]:.0f} pages at {SMALL:,} orders and {large[name]:.0f} at {LARGE:,}; {limit} are allowed at {GOAL:,}"
    disk = large["index_bytes"] * GOAL / LARGE / 1e6
    if variant.disk_mb and disk > variant.disk_mb:
        return f"Its indexes take {large['index_bytes'] / 1e6:.1f} MB at {LARGE:,} orders, a hundred times as much at {GOAL:,}; {variant.disk_mb} MB are allowed"
    log = (variant.orders_s * large["insert_wal"] + variant.looks_s * large["update_wal"]) / 1e6
    if variant.log_mb and log > variant.log_mb:
        return f"It logs {large['insert_wal']:.0f} bytes for a new order and {large['update_wal']:.0f} for a look, {log:.2f} MB in a second; {variant.log_mb:g} are allowed"
    return ""


def accepts(answer: Any) -> str:
    return "" if callable(answer) else f"The answer is a function of two dicts; this is {type(answer).__name__}."


def judge(answer: Callable[[Facts, Facts], Any], variant: Variant) -> Judgement:
    designs = [facts for name, facts in bank().items() if name != EXAMPLE]
    let_pass, refused, right = [], [], 0
    for small, large in designs:
        said = answer(dict(small), dict(large))
        if type(said) is not bool:
            return Judgement(0.0, (no_decision(said),))
        why = broken(variant, small, large)
        right += said is not bool(why)
        if said and why:
            let_pass.append(why)
        elif not said and not why:
            refused.append(large)
    findings = [told(right, len(designs), len(let_pass), len(refused))]
    if let_pass:
        findings.append(passed(let_pass[0]))
    if refused:
        findings.append(turned_away(refused[0], variant))
    return Judgement(float(right == len(designs)), tuple(findings))


def no_decision(said: Any) -> Finding:
    return Finding(
        False, f"The function gave back {said!r:.60}, which is {type(said).__name__}.", "True for a design that is accepted, False for one that is not.",
        "What does an agent do with an answer that is neither?",
    )  # fmt: skip


def told(right: int, count: int, let_pass: int, refused: int) -> Finding:
    if right == count:
        return Finding(True, f"All {count} designs are told rightly.")
    kinds = ((let_pass, "that break a goal", "accepted"), (refused, "that keep to all goals", "refused"))
    parts = [f"{number} {kind} {'was' if number == 1 else 'were'} {what}" for number, kind, what in kinds if number]
    seen = f"{right} of {count} designs are told rightly; {' and '.join(parts)}."
    return Finding(False, seen, "All of them.", "Which number in the two dicts belongs to which goal?")


def passed(why: str) -> Finding:
    grows = "pages at" in why
    return Finding(
        False, f"{why}, and it was accepted.", "A refusal.",
        "The sample grew tenfold. How much did this number grow, and what is it after two more such steps?" if grows
        else "Which goal has the unit of what this adds up to, and does your function compute it?",
        "small-is-enough" if grows else "reads-only",
    )  # fmt: skip


def turned_away(large: Facts, variant: Variant) -> Finding:
    return Finding(
        False,
        f"A design that keeps to every goal was refused: at {LARGE:,} orders {large['list_pages']:.0f}, {large['queue_pages']:.0f} and {large['lookup_pages']:.0f} pages, "
        f"{large['index_bytes'] / 1e6:.1f} MB, {large['insert_wal']:.0f} and {large['update_wal']:.0f} bytes of WAL, {large['hot']:.0%} HOT.",
        "Acceptance: nobody asked for more.", "Which line of your function refused it, and which goal is that line for?", "strict-is-safe",
    )  # fmt: skip


def goals(variant: Variant) -> str:
    told = [
        f"- {what}: at most **{limit} pages**"
        for what, limit in (
            ("a customer's latest ten orders (`list_pages`)", variant.list_pages),
            ("the twenty orders that have been open longest (`queue_pages`)", variant.queue_pages),
            ("a parcel by its code (`lookup_pages`)", variant.lookup_pages),
        )
        if limit
    ]
    if variant.disk_mb:
        told.append(
            f"- the disk for all indexes: at most **{variant.disk_mb} MB** (`index_bytes`; a megabyte is a million bytes)"
        )
    if variant.log_mb:
        told.append(
            f"- the log: at most **{variant.log_mb:g} MB a second**, with {variant.orders_s:,} new orders (`insert_wal`, bytes each) and {variant.looks_s:,} looks "
            "(`update_wal`, bytes each) a second"
        )
    return "\n".join(told)


def brief(variant: Variant) -> str:
    small, large = (json.dumps({name: round(value, 2) for name, value in facts.items()}) for facts in bank()[EXAMPLE])
    return (
        f"{variant.story}. One day it will hold **{GOAL:,} orders**. What a design must keep to then, and nothing else:\n\n{goals(variant)}\n\n"
        f"Agents will deliver index designs, each measured on two samples, of {SMALL:,} and of {LARGE:,} orders. Write the check: a function `accept(small, large)` of two "
        "dicts that returns `True` or `False`. It is tried on a bank of right and wrong designs, and must tell **all** of them. For a design without any index but the "
        f"key it is called with\n\n```python\nsmall = {small}\nlarge = {large}\n```\n\n(`hot` is the share of looks that were heap-only updates.) "
        "Pages of a tree's upper levels come and go: a number that grows by a third while the rows grow tenfold does not grow with the rows."
    )


EXERCISE = register(
    Exercise(
        id="indexes-budget",
        lab="02_indexes",
        number=13,
        title="Direct: the check before the agent",
        kind="R",
        declares="value",
        points=4,
        core=False,
        minutes=10,
        answer="a function of two dicts that returns True or False",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "For each goal: which of the measured numbers grow with the rows, which with the traffic, and which stay?",
            lambda variant: "Reads: compare small with large; a number that grows nearly tenfold will grow a hundredfold more. Disk: bytes for each row. Log: bytes times rate, "
            "added up. Then read your function for a line that no goal asks for.",
            lambda variant: "For a read: `large[k] * (large[k] / small[k]) ** 2 <= limit`. For the disk: `large['index_bytes'] * 100 / 1e6 <= limit`. For the log: "
            "`(orders * large['insert_wal'] + looks * large['update_wal']) / 1e6 <= limit`. Take those that have a goal here.",
        ),
        judge=judge,
        why=lambda variant: (
            "A sample shows a slope, not a size: two sizes tell what is constant from what grows, one does not. What no goal asks for is no reason to refuse; "
            f"of this bank {sum(not broken(variant, *facts) for name, facts in bank().items() if name != EXAMPLE)} designs are right here, and another shop would take others. "
            "What would change it: a read that grows by steps, a table that no longer fits into memory, and updates that crowd into one hour."
        ),
        misconceptions={
            "small-is-enough": "What is quick on a sample is quick.",
            "reads-only": "A design is accepted for its reads.",
            "strict-is-safe": "A check cannot be too strict.",
        },
    )
)  # fmt: skip


if __name__ == "__main__":
    from rich.progress import track

    found = {name: [facts_of(name, rows) for rows in (SMALL, LARGE)] for name in track(BANK, "measuring the bank")}
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
