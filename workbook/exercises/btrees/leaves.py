"""Leaf pages from the order in which rows arrive: nobody decides it, and it is worth a factor of two.

    built at once    │█████████░│█████████░│        filled to the fill factor
    ascending        │█████████░│█████████░│        the right-most leaf is cut there, and nothing comes back
    descending       │█████░░░░░│█████░░░░░│        cut in the middle; the right half gets nothing more
    random           │██████░░░░│████████░░│        cut in the middle; both halves fill again: ln 2 = 69 % in the mean

How full leaves are is one half of the answer, what a row takes on them the other. The variants change the second:
a narrow key and a wide one, columns that travel along, an index of a fifth of the rows, and keys that repeat, whose
rows share one entry. Truth is a real index for each of the instances.

A small tree of random keys breathes: all of its leaves fill, and are cut, at about the same time. The rows asked for
are such that it is in the middle of a breath.

    >>> VARIANTS[0].leaves(21_000, "built", 90), VARIANTS[0].leaves(21_000, "descending", 90)
    (57, 103)

Source: PostgreSQL's src/backend/access/nbtree/nbtsplitloc.c; A. Yao, "On Random 2-3 Trees", 1978, for the 69 %;
Glombiewski, Seeger, Graefe, "Waves of Misery After Index Creation", BTW 2019. Left out: deletes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from workbook.btree import read_index
from workbook.engines import Database, Recipe, database
from workbook.exercises.rules import Belief, Instance, accepts_rule, called, kin
from workbook.grading.answer import Function
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

MARGIN = 0.08
LIKE = 0.04
ROOM_BYTES = 8192 - 24 - 16
LN_2 = math.log(2)
ORDERS = {"built": "i", "ascending": "i", "descending": "i DESC", "random": "md5(i::text)"}
SAID = {
    "built": "built at once",
    "ascending": "in ascending order",
    "descending": "in descending order",
    "random": "in random order",
}
SIGNATURE = "leaves(rows, order, fill_factor)"


@dataclass(frozen=True)
class Variant:
    """An index: the table's `columns`, the `values` of row i, what the index is `on`, bytes that a row takes on a leaf
    (`row_bytes`, slots included), the `share` of the rows that is in it, and rows of a random tree in mid-breath, at fill factors
    of 90, 90 and 60; `because`; a belief that tempts here, and what a row takes by it."""

    story: str
    columns: str
    values: str
    on: str
    row_bytes: float
    random_rows: tuple[int, int, int]
    because: str
    tempting: str
    tempting_bytes: float
    share: float = 1.0
    tempting_share: float = 1.0

    def leaves(self, rows: int, order: str, fill_factor: int) -> int:
        """Leaf pages by the rule of this exercise."""
        filled = {"random": LN_2, "descending": 0.5}.get(order, fill_factor / 100)
        return max(1, round(rows * self.share * self.row_bytes / (ROOM_BYTES * filled)))


VARIANTS = (
    Variant(
        "The key of a table of events: a number",
        "event_id bigint NOT NULL",
        "i",
        "(event_id)",
        20,
        (21_000, 42_000, 22_000),
        "An entry of a bigint takes 8 bytes of header, 8 of value and 4 of slot: 20.",
        "bare-key",
        8,
    ),
    Variant(
        "The key of a table of events: a UUID",
        "event_id uuid NOT NULL",
        "lpad(to_hex(i), 32, '0')::uuid",
        "(event_id)",
        28,
        (19_500, 38_000, 18_500),
        "An entry of a UUID takes 8 bytes of header, 16 of value and 4 of slot: 28, not twice the bigint's 20.",
        "bare-key",
        16,
    ),
    Variant(
        "Pages of a catalogue, by their address of 60 characters (ASCII)",
        "address text NOT NULL",
        "lpad(i::text, 60, '0')",
        "(address)",
        76,
        (20_000, 40_000, 20_000),
        "An entry takes 8 bytes of header, 61 of text with its length, rounded up to 72, and 4 of slot: 76.",
        "bare-key",
        60,
    ),
    Variant(
        "Orders by number; the index carries two amounts along, so that the table need not be looked at",
        "order_id bigint NOT NULL, net_cents bigint NOT NULL, tax_cents bigint NOT NULL",
        "i, i, i",
        "(order_id) INCLUDE (net_cents, tax_cents)",
        36,
        (15_000, 31_500, 22_000),
        "An INCLUDE column stands in each entry of a leaf: 8 bytes of header, 24 of values, 4 of slot: 36 instead of 20.",
        "included-are-free",
        20,
    ),
    Variant(
        "Orders by customer; each customer has fifty, and the number of a customer stands in each of them",
        "customer_id bigint NOT NULL",
        "(i - 1) / 50",
        "(customer_id)",
        (8 + 8 + 50 * 6 + 4 + 4) / 50,
        (16_500, 33_000, 20_500),
        "Equal keys share an entry: 8 bytes of header, 8 of the key, once, 6 for each of the fifty rows, rounded up to 320, and 4 of slot: 6.5 bytes a row. "
        "It is done when a leaf is full, before it is cut.",
        "each-row-an-entry",
        20,
    ),
    Variant(
        "Orders that wait, by number: one order in five does",
        "order_id bigint NOT NULL, waits boolean NOT NULL",
        "i, i * 7919::bigint % 5 = 3",
        "(order_id) WHERE waits",
        20,
        (27_000, 52_000, 42_000),
        "Only a fifth of the rows have an entry, of 20 bytes each.",
        "partial-is-whole",
        20,
        share=0.2,
    ),
)  # fmt: skip


def facts(variant: Variant) -> list[tuple[int, str, int]]:
    """Rows, order and fill factor of each instance."""
    few, many, third = variant.random_rows
    return [
        (many, "built", 90),
        (few, "built", 60),
        (many, "ascending", 90),
        (few, "ascending", 50),
        (few, "descending", 90),
        (many, "descending", 100),
        (few, "random", 90),
        (many, "random", 90),
        (third, "random", 60),
    ]


def recipe(variant: Variant) -> Recipe:
    """What there is to practise on: the empty table `t`, to fill in any order."""
    return Recipe("an empty table", f"CREATE TABLE t ({variant.columns});")


def judged(variant: Variant) -> Recipe:
    """A table for each instance, its index grown or built as the instance says."""
    made = []
    for rows, order, fill_factor in facts(variant):
        table = table_name(rows, order, fill_factor)
        on, _, where = variant.on.partition(" WHERE ")
        options = f" WITH (fillfactor = {fill_factor})" + (f" WHERE {where}" if where else "")
        index = f"CREATE INDEX {table}_index ON {table} {on}{options};"
        fill = (
            f"INSERT INTO {table} SELECT {variant.values} FROM generate_series(1, {rows}) i ORDER BY {ORDERS[order]};"
        )
        made += [f"CREATE TABLE {table} ({variant.columns});", *((fill, index) if order == "built" else (index, fill))]
    return Recipe("nine indexes by order of arrival", "\n".join(made))


def table_name(rows: int, order: str, fill_factor: int) -> str:
    return f"{order}_{rows}_{fill_factor}"


@cache
def instances(variant: Variant) -> tuple[Instance, ...]:
    """The leaf pages of each real index."""
    found = []
    with database(judged(variant)) as tables:
        for rows, order, fill_factor in facts(variant):
            pages = leaf_pages(tables, f"{table_name(rows, order, fill_factor)}_index")
            told = f"{rows:,} rows {SAID[order]}, fill factor {fill_factor}"
            found.append(Instance((rows, order, fill_factor), pages, told))
    return tuple(found)


def leaf_pages(tables: Database, index: str) -> int:
    """The leaf pages of an index, counted by the entries above them: only the inner pages are read."""
    tree = read_index(tables.engine, index, pages=[1])
    numbers, level = [tree.root], tree.height - 1
    while level:
        tree = read_index(tables.engine, index, pages=numbers)
        numbers, level = [child for number in numbers for child in tree.pages[number].children], level - 1
    return len(numbers)


def beliefs(variant: Variant) -> dict[str, Belief]:
    """Rules that people have in mind, by the misconception's key."""

    def rule(row_bytes: float = variant.row_bytes, share: float = variant.share, **filled: float) -> Belief:
        def leaves(rows: int, order: str, fill_factor: int) -> float:
            right = {"random": LN_2, "descending": 0.5}.get(order, fill_factor / 100)
            full = filled.get(order, right) or fill_factor / 100
            return rows * share * row_bytes / (ROOM_BYTES * full)

        return leaves

    every = dict.fromkeys(ORDERS, 0.5)
    return {
        "half-full": rule(**every),
        "always-90": rule(**dict.fromkeys(ORDERS, 0.9)),
        "order-is-free": rule(**dict.fromkeys(ORDERS, 0.0)),
        "descending-is-ascending": rule(descending=0.0),
        "descending-fills-again": rule(descending=LN_2),
        "random-is-half": rule(random=0.5),
        "random-keeps-fill": rule(random=0.0),
        "fill-factor-is-ignored": rule(built=0.9, ascending=0.9),
        "ascending-is-halved": rule(ascending=0.5),
        variant.tempting: rule(variant.tempting_bytes, variant.tempting_share),
    }


QUESTIONS = {
    "half-full": "A leaf is full and the next key belongs behind its last entry. What does a cut in the middle gain there?",
    "always-90": "Where does a leaf get room from if a key arrives between two others on a full one?",
    "order-is-free": "Of which cut is the fill factor the place: of any, or only of the cut of the right-most leaf?",
    "descending-is-ascending": "The next key is below all others: which half of the leaf that was cut will get the following ones?",
    "descending-fills-again": "After a cut in descending order, which keys would come back to the right half?",
    "random-is-half": "After a cut in the middle, what do the following random keys do to both halves?",
    "random-keeps-fill": "A random key meets a full leaf in the middle of the tree: how much stays on the left?",
    "fill-factor-is-ignored": "Compare two indexes built with fill factors of 60 and of 90: what has changed?",
    "ascending-is-halved": "Where is the right-most leaf cut when the keys ascend?",
    "bare-key": "What else belongs to an entry: who finds it on the page, and where is its row?",
    "included-are-free": "Where do the values of the INCLUDE columns stand, so that the table need not be read?",
    "each-row-an-entry": "Fifty entries have the same key: which part of them differs?",
    "partial-is-whole": "For which rows is there an entry at all?",
}  # fmt: skip


def judge(answer: Function, variant: Variant) -> Judgement:
    asked = instances(variant)
    said = called(answer, asked)
    if isinstance(said, Finding):
        return Judgement(0.0, (said,))
    wrong = [n for n, each in enumerate(asked) if abs(said[n] - each.truth) > MARGIN * each.truth]
    if not wrong:
        worst = max(abs(said[n] / each.truth - 1) for n, each in enumerate(asked))
        return Judgement(
            1.0,
            (Finding(True, f"Within {MARGIN:.0%} of {len(asked)} real indexes; the farthest is off by {worst:.1%}."),),
        )
    belief = kin(said, asked, beliefs(variant), share=LIKE, margin=MARGIN)
    first = asked[wrong[0]]
    ratio = said[wrong[0]] / first.truth
    return Judgement(
        0.0,
        (
            Finding(
                ok=False,
                seen=f"For {first.told}, the function says {said[wrong[0]]:,.0f} leaf pages; {len(wrong)} of {len(asked)} indexes are missed by more than {MARGIN:.0%}.",
                expected=f"The real index has {first.truth:,.0f}. {right_ones(said, asked)}",
                question=QUESTIONS.get(belief)
                or f"Your pages are {'fuller' if ratio < 1 else 'emptier'} than the real ones, or a row takes {'less' if ratio < 1 else 'more'}: which of the two, at this order?",
                misconception=belief,
            ),
        ),
    )


def right_ones(said: list[float], asked: tuple[Instance, ...]) -> str:
    """'Right for the orders built, ascending.'"""
    missed = {
        each.args[1] for value, each in zip(said, asked, strict=True) if abs(value - each.truth) > MARGIN * each.truth
    }
    held = [SAID[order] for order in ORDERS if order not in missed]
    return f"It is right for what arrives {', '.join(held)}." if held else "It is right for no order."


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}.\n\n```sql\nCREATE TABLE t ({variant.columns});\nINSERT INTO t SELECT {variant.values} FROM generate_series(1, :rows) i ORDER BY ...;\n"
        f"CREATE INDEX ON t {variant.on.replace(' WHERE ', ' WITH (fillfactor = :fill_factor) WHERE ') if ' WHERE ' in variant.on else variant.on + ' WITH (fillfactor = :fill_factor)'};\n```\n\n"
        f"Write `{SIGNATURE}`: the number of leaf pages of that index. `order` is one of\n\n"
        "- `'built'`: the rows are there, then the index is made;\n- `'ascending'`, `'descending'`, `'random'`: the index is there, and the rows come one by one, by `i`, by `i` from the end, or shuffled.\n\n"
        f"`rows` are those of the table, {min(variant.random_rows):,} and more; `fill_factor` is in per cent. It is asked for nine indexes, which are real and not shown, and must be **within {MARGIN:.0%}** of each. "
        "(A tree of random keys of this size breathes, between half full and nearly full; the sizes asked for are in the middle of a breath, where the long run's mean holds.)\n\n"
        "A page has 8,192 bytes, 24 of them for its header and 16 for its siblings. An entry is a header of 8 bytes, the values, rounded up to a multiple of 8 in all, and 4 bytes for its slot; a text of up to "
        "126 bytes takes one byte more, and an entry for several rows takes 6 for each of them. `read_index(engine, name).counts` tells the pages of an index of your own; "
        '`practice("btrees-leaves")` has the table, empty.'
    )


def why(variant: Variant) -> str:
    held = ", ".join(f"{each.told}: {each.truth:,.0f}" for each in instances(variant))
    return (
        f"{variant.because} What is left is how full the leaves are: the fill factor where the index is built at once or keys ascend, since it is the place at which the right-most leaf is cut; "
        "one half where they descend; ln 2 = 69 per cent where they come at random, whatever the fill factor. "
        f"The real indexes: {held}. What would change it: a REINDEX, which makes all of them as if built at once; deletes; and for random keys the moment, since after a REINDEX all leaves are full and soon "
        "cut, all at about the same time."
    )


EXERCISE = register(
    Exercise(
        id="btrees-leaves",
        lab="01_btrees",
        number=2,
        title="Leaf pages from the order of arrival",
        kind="R",
        declares="value",
        points=3,
        core=True,
        minutes=9,
        answer=f"a function, def {SIGNATURE}",
        accepts=accepts_rule(SIGNATURE),
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "After a full leaf has been cut: which of the two halves will the next keys go to, in each of the orders?"
            ),
            lambda variant: (
                "Two factors: what a row takes on a leaf, and how full leaves are. For the second, grow four small indexes on `practice(...)`, one for each order, and read `.density`. "
                "Then do it again with another fill factor: for which orders does it matter?"
            ),
            lambda variant: (
                f"A row takes {variant.row_bytes:g} bytes here{f', and {variant.share:.0%} of the rows have an entry' if variant.share < 1 else ''}; a page has room for {ROOM_BYTES:,}. Leaves are full to the fill factor "
                "where the index is built at once or keys ascend, to 50 per cent where they descend, to 69 per cent at random. Divide."
            ),
        ),
        judge=judge,
        why=why,
        misconceptions={
            "half-full": "The nodes of a B-tree stay half full.",
            "always-90": "The leaves of an index are 90 per cent full, whatever happened to it.",
            "order-is-free": "The order in which keys arrive is free: the fill factor decides.",
            "descending-is-ascending": "Descending keys fill an index as ascending ones do, from the other end.",
            "descending-fills-again": "Both halves of a leaf that was cut fill again, whatever the order.",
            "random-is-half": "Random keys leave an index half full.",
            "random-keeps-fill": "The fill factor keeps room free for random keys, and so it is how full they leave the leaves.",
            "fill-factor-is-ignored": "A fill factor is a hint: leaves are 90 per cent full.",
            "ascending-is-halved": "Splits are always fifty to fifty.",
            "bare-key": "An entry takes the bytes of its key.",
            "included-are-free": "INCLUDE columns cost nothing, since they are no part of the key.",
            "each-row-an-entry": "Duplicates bloat an index: each row has an entry with its key.",
            "partial-is-whole": "An index has an entry for each row of its table.",
        },
    )
)
