"""Direct: the acceptance check for an agent, written before any design is seen.

    goals in the words of a business ──▶ accept(small, large) ──▶ tells the right designs of a bank from the wrong ones
    2,000,000 orders, 1.5 MB a second     facts measured at 2,000 and at 20,000 orders

An agent delivers an index design with measurements on a sample. At that size every design is quick. The check has to say from two
samples what happens at a hundred times the size, add up what is written each second, and leave alone what no goal asks
for: a check that refuses a right design is as wrong as one that lets a wrong one pass.

A verdict shows a design of the bank with its numbers, and so the bank can be learned by heart, a design with each check. Whoever tells the bank is therefore asked
about others, of which no verdict shows the numbers (`unseen`): those of the bank as measured on another day, some with one fault, close to a limit or within it
and growing, and some that keep to all goals, only just, or are bad where nobody asks.

The facts of the bank were measured on clones by `python -m workbook.exercises.indexes.budget`, which writes them to bank.json; which designs are
right follows from them and the goals. Tests measure them again, and build the bank at a larger size to see whether what was worked out holds there.

    >>> {name for name in BANK} >= {"lean", "customer alone", "everything"}
    True
    >>> {one.kind.right for one in unseen(VARIANTS[0]) if one.kind}
    {False, True}

Source: Neil Gunther, "Guerrilla Capacity Planning" (2007), on extrapolating from few measurements; facts of this workbook's own.
Left out: growth that is neither constant nor linear; a B-tree's next level comes once in some hundredfold. Whether the disk is worked out from the larger sample's
bytes for each order or along the line through both makes some percent; no design is so close to the limit.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
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
    Variant("A shop whose customers look at their orders all day", 20, 60, 10, 168, 0.75, 1_000, 4_000),
    Variant("A shop without a warehouse of its own", 20, 0, 10, 166),
    Variant("A clearing house: orders pour in, and customers never see them", 0, 60, 10, 0, 1.25, 3_000, 100),
    Variant("A kiosk with a small disk, where nobody follows parcels", 20, 60, 0, 106),
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


@dataclass(frozen=True)
class Kind:
    """Designs that no verdict shows, of one kind: whether they are right, what they are in words, and for whoever does not tell them, a question and the
    misconception."""

    right: bool
    told: str
    question: str
    misconception: str


@dataclass(frozen=True)
class Unseen:
    """A design that no verdict shows: its facts, and its kind, or None where it is one of the bank, measured on another day."""

    kind: Kind | None
    right: bool
    small: Facts
    large: Facts


OF_A_KIND = 8
READ_NAMES = {"list_pages": "customer's list", "queue_pages": "queue", "lookup_pages": "look-up of a parcel"}
PAGE_BYTES, INSERT_LEAST, UPDATE_HOT = 8192, 217.34, 72.34
Pair = tuple[float, float]


@cache
def unseen(variant: Variant) -> tuple[Unseen, ...]:
    """The designs that no verdict shows, in an order that tells nothing. Each is told alike by whoever works out pages by their growth from sample to
    sample or takes for constant what grows by a third at most, and bytes of the disk for each order or along a straight line."""
    drawn = random.Random(f"unseen {variant}")
    found = [again(variant, small, large, drawn) for name, (small, large) in bank().items() if name != EXAMPLE]
    for kind, changes in kinds(variant, drawn):
        found.append(Unseen(kind, kind.right, *facts_with(variant, drawn, changes)))
    drawn.shuffle(found)
    return tuple(found)


def again(variant: Variant, small: Facts, large: Facts, drawn: random.Random) -> Unseen:
    """A design of the bank, measured on another day: a page more or less where there are many, some bytes more or less; as right as it was."""
    page, share = drawn.choice((-1, 1)), drawn.choice((0.996, 0.998, 1.002, 1.004))
    facts = []
    for one in (small, large):
        pages = {name: one[name] + page if one[name] > 9 else one[name] for name in READS}
        logged = {name: round(one[name] * share, 2) for name in ("insert_wal", "update_wal")}
        facts.append({**one, **pages, **logged, "index_bytes": one["index_bytes"] + page * PAGE_BYTES})
    return Unseen(None, not broken(variant, small, large), *facts)


def kinds(variant: Variant, drawn: random.Random) -> Iterator[tuple[Kind, dict[str, Pair]]]:
    """Each design of each kind: the kind, and in which facts the design is other than one that is at its ease (small, large)."""
    limits = {name: getattr(variant, name) for name in READS if getattr(variant, name)}
    for name, limit in limits.items():
        grows = Kind(False, f"whose {READ_NAMES[name]} is within {limit} pages at {LARGE:,} orders, and grows with the rows",
                     "The sample grew tenfold, and will grow a hundredfold more. What has this number done so far?", "small-is-enough")  # fmt: skip
        above = Kind(False, f"whose {READ_NAMES[name]} does not grow, and is above {limit} pages from the start",
                     "What does not grow stays as it is. Is that little enough?", "flat-is-fine")  # fmt: skip
        for _ in range(OF_A_KIND):
            if limit >= 8:
                much = drawn.randint(limit // 2, limit)
                yield grows, {name: (max(1, round(much / drawn.uniform(5, 10))), much)}
            much = limit + drawn.randint(1, max(2, limit // 4))
            yield above, {name: (much, much)}
    for _ in range(OF_A_KIND):
        if variant.disk_mb:
            kind = Kind(False, f"whose indexes need some percent more than {variant.disk_mb} MB at {GOAL:,} orders",
                        "Of how many bytes is a megabyte, for how many orders are the bytes that you are given, and for how many is the limit?", "near-enough")  # fmt: skip
            yield kind, {"index_bytes": disk(variant, drawn.uniform(1.036, 1.045) if drawn.random() < 0.5 else drawn.uniform(1.05, 1.1))}  # fmt: skip
        if variant.log_mb:
            kind = Kind(False, f"that logs some percent more than {variant.log_mb:g} MB in a second",
                        "How many bytes do all new orders of a second log, and all looks? Do they go onto one disk or onto two?", "reads-only")  # fmt: skip
            yield kind, log(variant, drawn.uniform(1.03, 1.1), drawn)
        kind = Kind(True, "that comes close to its limits, or grows by a third at most, and keeps to all of them",
                    "A limit is kept to by whoever reaches it. Does your function want more distance than the goals do?", "strict-is-safe")  # fmt: skip
        close = {name: pages_within(limit, drawn) for name, limit in limits.items()}
        close |= {"index_bytes": disk(variant, drawn.uniform(0.95, 0.995))} if variant.disk_mb else {}
        yield kind, close | (log(variant, drawn.uniform(0.94, 0.97), drawn) if variant.log_mb else {})
        kind = Kind(True, "that is bad in what nobody asks for (no HOT updates, and whatever else), and keeps to all goals",
                    "Which line of your function is for which goal? Is there one for none?", "strict-is-safe")  # fmt: skip
        yield kind, {"hot": (0.0, 0.0)} | unasked(variant, drawn)


def pages_within(limit: int, drawn: random.Random) -> Pair:
    """Pages that keep to a limit, however they are worked out: as many as it allows, or half as many that grew by a third at most."""
    half = limit // 2
    return drawn.choice(((limit, limit), (limit - limit // 10, limit - limit // 10), (half - half // 5, half)))


def disk(variant: Variant, share: float) -> Pair:
    """Bytes of indexes, in whole pages, for a share of the disk at the goal; two pages more on the smaller sample than a tenth."""
    pages = variant.disk_mb * 1e6 * share * LARGE / GOAL / PAGE_BYTES
    whole = int(pages) if share < 1 else -int(-pages // 1)
    return float((whole // 10 + 2) * PAGE_BYTES), float(whole * PAGE_BYTES)


def log(variant: Variant, share: float, drawn: random.Random) -> dict[str, Pair]:
    """Bytes of a new order and of a look that fill a share of the log, the looks more or less of it."""
    room = variant.log_mb * 1e6 * share
    most = min(600.0, (room - variant.orders_s * INSERT_LEAST) / variant.looks_s)
    update = round(drawn.choice((UPDATE_HOT, drawn.uniform(UPDATE_HOT, most), most)), 2)
    insert = round((room - variant.looks_s * update) / variant.orders_s, 2)
    return {"insert_wal": (insert, insert), "update_wal": (update, update)}


def unasked(variant: Variant, drawn: random.Random) -> dict[str, Pair]:
    """Facts that are as bad as can be wherever a shop asks for nothing."""
    much = drawn.randint(39, 60)
    found: dict[str, Pair] = {name: (much, much * 10 - 3) for name in READS if not getattr(variant, name)}
    if not variant.disk_mb:
        found["index_bytes"] = (60.0 * PAGE_BYTES, drawn.randint(500, 900) * float(PAGE_BYTES))
    if not variant.log_mb:
        found |= {"insert_wal": (900.0, 905.0), "update_wal": (480.0, 480.0)}
    return found


def facts_with(variant: Variant, drawn: random.Random, changes: dict[str, Pair]) -> tuple[Facts, Facts]:
    """The facts of a design that is at its ease with all goals, but for some."""
    pages = {name: drawn.randint(1, max(1, getattr(variant, name) // 2) or 40) for name in READS}
    found: dict[str, Pair] = {"rows": (SMALL, LARGE)} | {name: (float(many), float(many)) for name, many in pages.items()}  # fmt: skip
    found |= log(variant, drawn.uniform(0.76, 0.9), drawn) if variant.log_mb else {"insert_wal": (388.5, 390.5), "update_wal": (UPDATE_HOT, UPDATE_HOT)}  # fmt: skip
    found["hot"] = (1.0, 1.0)
    found["index_bytes"] = disk(variant, drawn.uniform(0.5, 0.9)) if variant.disk_mb else (18.0 * PAGE_BYTES, drawn.randint(90, 200) * float(PAGE_BYTES))  # fmt: skip
    found |= changes
    small, large = (
        {name: pair[at] if name == "rows" else float(pair[at]) for name, pair in found.items()} for at in (0, 1)
    )
    return small, large


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
    if right == len(designs):
        findings.append(of_unseen(answer, variant))
    return Judgement(
        float(all(finding.ok for finding in findings)), tuple(sorted(findings, key=lambda finding: finding.ok))
    )


def of_unseen(answer: Callable[[Facts, Facts], Any], variant: Variant) -> Finding:
    """What becomes of the designs that no verdict shows: of those that are not told rightly one kind is named, without its numbers."""
    asked, missed = unseen(variant), []
    for one in asked:
        said = answer(dict(one.small), dict(one.large))
        if type(said) is not bool:
            return no_decision(said)
        if said is not one.right:
            missed.append(one)
    if not missed:
        return Finding(True, f"So are {len(asked)} others, of which no verdict shows the numbers.")
    of_bank = next((one for one in missed if one.kind is None), None)
    if of_bank is not None:
        here, before = ("refused", "accepted") if of_bank.right else ("accepted", "refused")
        return Finding(
            False, f"A design of the bank was measured again on another day: some bytes in a thousand and a page are other than they were. It is {here} now, and was {before}.",
            "The same answer: it keeps to the same goals.", "Which numbers stand in your function, and are they those of a goal, or those of a design?", "told-is-all",
        )  # fmt: skip
    kind = next(one.kind for one in missed if one.kind is not None)
    return Finding(
        False, f"Another agent has delivered a design {kind.told}. It was {'refused' if kind.right else 'accepted'}. Its numbers are not told: it is of no bank that you can adjust to.",
        "Acceptance: it keeps to every goal." if kind.right else "A refusal: by this alone it breaks a goal.", kind.question, kind.misconception,
    )  # fmt: skip


def no_decision(said: Any) -> Finding:
    return Finding(
        False, f"The function gave back {said!r:.60}, which is {type(said).__name__}.", "True for a design that is accepted, False for one that is not.",
        "What does an agent do with an answer that is neither?",
    )  # fmt: skip


def told(right: int, count: int, let_pass: int, refused: int) -> Finding:
    if right == count:
        return Finding(True, f"All {count} designs are told rightly.")
    kinds = ((let_pass, ("breaks a goal", "break a goal"), "accepted"), (refused, ("keeps to all goals", "keep to all goals"), "refused"))  # fmt: skip
    parts = [
        f"{number} that {kind[number > 1]} {'was' if number == 1 else 'were'} {what}"
        for number, kind, what in kinds
        if number
    ]
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
        f"A design that keeps to every goal was refused: at {LARGE:,} orders {', '.join(f'`{name}` {large[name]:,.0f}' for name in (*READS, 'insert_wal', 'update_wal', 'index_bytes'))}, "
        f"`hot` {large['hot']:.2f}.",
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
            "(`update_wal`, bytes each) a second; a megabyte is a million bytes"
        )
    return "\n".join(told)


def brief(variant: Variant) -> str:
    small, large = (json.dumps({name: round(value, 2) for name, value in facts.items()}) for facts in bank()[EXAMPLE])
    return (
        f"{variant.story}. One day it will hold **{GOAL:,} orders**. What a design must keep to then, and nothing else:\n\n{goals(variant)}\n\n"
        f"Agents will deliver index designs, each measured on two samples, of {SMALL:,} and of {LARGE:,} orders. Write the check: a function `accept(small, large)` of two "
        "dicts that returns `True` or `False`. It is tried on a bank of right and wrong designs, then on others of which a verdict shows no numbers, and must judge **all** of them rightly. For a design without any index but the "
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
            "flat-is-fine": "What does not grow is small enough.",
            "near-enough": "A limit is only roughly meant.",
            "told-is-all": "A check that tells the designs on which it was tried tells every design.",
        },
    )
)  # fmt: skip


if __name__ == "__main__":
    from rich.progress import track

    found = {name: [facts_of(name, rows) for rows in (SMALL, LARGE)] for name in track(BANK, "measuring the bank")}
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
