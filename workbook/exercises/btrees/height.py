"""The height of an index from its rows and the width of its key: how seldom does a tree grow?

    470 bytes a key, built at once          leaves 90 % full: 15 rows each       15 · 13⁰ =     15 rows in 1 level
    inner pages 70 % full: 13 children each                                      15 · 13¹ =    195 rows in 2 levels
                                                                                 15 · 13³ = 32,955 rows in 4 levels

A level multiplies the rows by the children of an inner page, some dozens or hundreds of them. So the height is a
logarithm to a large base, a billion bigints stand in five levels, and what decides is how wide an entry is, on
a leaf and on an inner page, and how full each kind of page becomes. The variants change just that: the fill factor,
which only leaves obey; rows that arrive from the largest to the least, which leave pages half full; columns that travel along on the
leaves and are cut off above; a digest, as wide whatever it digests.

How many entries stand on a page is read off real indexes of four widths (`capacities`); a height is those numbers,
multiplied. The rule is asked beside the places where the height changes, with room for one entry a page more or less,
and for a root that is cut only when it is full: whoever rounds otherwise is right, too.

    >>> Capacity(15, 13).height(195), Capacity(15, 13).height(196), Capacity(366, 285).height(1_000_000_000)
    (2, 3, 4)

Source: PostgreSQL's src/backend/access/nbtree/README ("Suffix Truncation"), src/include/access/nbtree.h
(BTREE_NONLEAF_FILLFACTOR). Left out: random arrival, where pages breathe (`btrees-leaves`); keys that repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from workbook.btree import read_index
from workbook.engines import Recipe, database
from workbook.exercises.rules import Belief, Instance, accepts_rule, called, kin
from workbook.grading.answer import Function
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

WIDTHS = (36, 100, 250, 470)
ROWS_MAX = 10_000_000_000
ROOM_BYTES = 8192 - 24 - 16
INNER_SHARE = 0.7
SIGNATURE = "height(rows, key_bytes)"


@dataclass(frozen=True)
class Variant:
    """How the index is made: its columns, its `options`, whether it `grows` row by row and in which order; how full its
    leaves and its inner pages are, to begin a belief with; `because`."""

    story: str
    index: str
    options: str = ""
    grows: str = ""
    leaf_share: float = 0.9
    inner_share: float = INNER_SHARE
    because: str = ""

    def made(self, width: int) -> str:
        """SQL that makes the table of words of one width, and its index."""
        table = f"words_{width}"
        create = f"CREATE INDEX {table}_index ON {table} {self.index}{self.options and f' {self.options}'};"
        fill = (
            f"INSERT INTO {table} SELECT i, lpad(i::text, {width}, '0') "
            f"FROM generate_series(1, {self.rows(width)}) i ORDER BY i {self.grows.upper()};"
        )
        steps = (create, fill) if self.grows else (fill, create)
        return "\n".join((f"CREATE TABLE {table} (id bigint NOT NULL, word text NOT NULL);", *steps))

    def rows(self, width: int) -> int:
        """Rows that fill an inner page that is not the last of its level; twenty leaves where a narrower word has
        inner pages of the same kind."""
        leaf, inner = self.entry_bytes(width)
        known = width != WIDTHS[0] and inner == self.entry_bytes(WIDTHS[0])[1]
        children = 20 if known else ROOM_BYTES * self.inner_share / inner
        times = {"": 1.2, "asc": 1.6, "desc": 7.0}[self.grows]
        return int(times * (ROOM_BYTES * self.leaf_share / leaf) * children)

    def entry_bytes(self, width: int) -> tuple[int, int]:
        """Bytes of an entry on a leaf and on an inner page, the slot included."""
        word = 1 + width if width <= 126 else 4 + width
        if "md5" in self.index:
            return _entry(16), _entry(16)
        return (_entry(8 + word), _entry(8)) if "INCLUDE" in self.index else (_entry(word), _entry(word))


def _entry(key_bytes: float) -> int:
    """Header of 8, the key, rounded up to a multiple of 8, and a slot of 4."""
    return 8 + -(-int(key_bytes) // 8) * 8 + 4


VARIANTS = (
    Variant(
        "A catalogue is loaded once a night, and the index is made when all rows are there",
        "(word)",
        because="Leaves are filled to 90 per cent. Inner pages are filled to 70, since the separators that come later need room there, and no option changes it.",
    ),
    Variant(
        "Somebody has read that splits are dear, and leaves most of each page free; the index is made when all rows are there",
        "(word)",
        "WITH (fillfactor = 40)",
        leaf_share=0.4,
        because="The fill factor is one of the leaves: they hold less than half of what they could. The inner pages are filled to 70 per cent all the "
        "same, so that one more level still multiplies the rows by as much as ever.",
    ),
    Variant(
        "Rows come in one by one from the largest word to the least: a queue whose priorities count down",
        "(word)",
        grows="desc",
        leaf_share=0.5,
        inner_share=0.5,
        because="Each split is one in the middle, and the right half gets nothing more: leaves and inner pages stay half full. Only the right-most page of a level is "
        "cut at 90 (or 70) per cent, when rows come in ascending order.",
    ),
    Variant(
        "The index is by number and carries the word along, so that the table need not be looked at; it is made when all rows are there",
        "(id) INCLUDE (word)",
        because="A separator keeps no more than what it takes to tell two neighbours apart, and never an INCLUDE column: 20 bytes. So an inner page has 285 children "
        "whatever the words take; only the leaves are wide.",
    ),
    Variant(
        "Words are looked up by their digest; the index is made when all rows are there",
        "((md5(word)::uuid))",
        because="An entry holds the 16 bytes of the digest, however long the word is: 28 bytes with its header and slot, so that `key_bytes` decides nothing.",
    ),
    Variant(
        "A journal: rows come in one by one in ascending order, and nothing is ever changed",
        "(word)",
        "WITH (fillfactor = 100)",
        "asc",
        leaf_share=1.0,
        because="The right-most leaf is cut so that all stay on the left: the leaves are full. The right-most inner pages are cut at 70 per cent: the fill factor is one of the "
        "leaves alone.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Capacity:
    """Rows of most leaves, and children of most inner pages. A root that has grown is cut only when it is full: it may
    hold `root_leaf` rows or `root_inner` children."""

    leaf: int
    inner: int
    root_leaf: int = 0
    root_inner: int = 0

    def height(self, rows: int) -> int:
        """Levels that so many rows need."""
        levels, pages = 1, -(-rows // self.leaf)
        while pages > 1:
            levels, pages = levels + 1, -(-pages // self.inner)
        return levels

    def below(self, levels: int) -> int:
        """Rows that surely fit into so many levels, if each page held an entry (or three in a hundred) less."""
        return int(_less(self.leaf) * _less(self.inner) ** (levels - 1))

    def above(self, levels: int) -> int:
        """Rows that surely need one level more, if each page held an entry (or three in a hundred) more."""
        if levels == 1:
            return _more(max(self.leaf, self.root_leaf)) + 1
        root = _more(max(self.inner, self.root_inner))
        return int(_more(self.leaf) * _more(self.inner) ** (levels - 2) * root) + 1


def _more(count: int) -> int:
    return count + max(1, round(0.03 * count))


def _less(count: int) -> int:
    return count - max(1, round(0.03 * count))


def recipe(variant: Variant) -> Recipe:
    """A table of words for each width, with the variant's index on it."""
    return Recipe("words of four widths", "\n".join(variant.made(width) for width in WIDTHS))


@cache
def capacities(variant: Variant) -> Mapping[int, Capacity]:
    """By width: how many entries stand on most pages of a level, read off the real pages. What an inner page holds is
    a matter of its entries' bytes, and known from the narrowest words that have such."""
    found: dict[int, Capacity] = {}
    inner: dict[int, int] = {}
    with database(recipe(variant)) as words:
        for width in WIDTHS:
            tree, separator = read_index(words.engine, f"words_{width}_index"), variant.entry_bytes(width)[1]
            if separator not in inner:
                inner[separator] = _most([len(page.entries) for page in tree.level(1)])
            leaf = _most([page.rows for page in tree.level(0)])
            full = [int(ROOM_BYTES / size) * bool(variant.grows) for size in variant.entry_bytes(width)]
            found[width] = Capacity(leaf, inner[separator], *full)
    return found


def _most(counts: list[int]) -> int:
    """The count of most pages, the first and the last of the level left out: these still fill."""
    return Counter(counts[1:-1] or counts[:-1]).most_common(1)[0][0]


@cache
def instances(variant: Variant) -> tuple[Instance, ...]:
    """Facts on both sides of each place where the height changes, and a single row."""
    found = []
    for width, capacity in capacities(variant).items():
        asked, levels = [1], 1
        while (rows := capacity.below(levels)) <= ROWS_MAX:
            asked += [rows, capacity.above(levels)]
            levels += 1
        found += [
            Instance((rows, width), capacity.height(rows), f"{rows:,} rows of {width} bytes")
            for rows in asked
            if rows <= ROWS_MAX
        ]
    return tuple(found)


def beliefs(variant: Variant) -> dict[str, Belief]:
    """Rules that people have in mind, by the misconception's key."""

    def tree(leaf_share: float, inner_share: float, leaf: float, inner: float, rows: int) -> int:
        most = [max(2, int(ROOM_BYTES * share / size)) for share, size in ((leaf_share, leaf), (inner_share, inner))]
        return Capacity(*most).height(rows)

    def with_shares(leaf_share: float, inner_share: float) -> Belief:
        return lambda rows, width: tree(leaf_share, inner_share, *variant.entry_bytes(width), rows)

    def bare(rows: int, width: int) -> int:
        leaf = 16 if "md5" in variant.index else width
        return tree(variant.leaf_share, variant.inner_share, leaf, 8 if "INCLUDE" in variant.index else leaf, rows)

    def whole(rows: int, width: int) -> int:
        size = variant.entry_bytes(width)[0]
        return tree(variant.leaf_share, variant.inner_share, size, size, rows)

    def as_wide(rows: int, width: int) -> int:
        size = _entry(1 + width if width <= 126 else 4 + width)
        return tree(variant.leaf_share, variant.inner_share, size, size, rows)

    found: dict[str, Belief] = {
        "binary": lambda rows, width: rows.bit_length(),
        "root-is-none": lambda rows, width: capacities(variant)[width].height(rows) - 1,
        "degrades": lambda rows, width: -(-rows // capacities(variant)[width].leaf),
        "never-grows": lambda rows, width: 3,
        "bare-key": bare,
    }
    if "INCLUDE" in variant.index:
        found["separators-are-rows"] = whole
    if "md5" in variant.index:
        found["value-is-key"] = as_wide
    if variant.leaf_share != 0.5:
        found["half-full"] = with_shares(0.5, 0.5)
    if variant.inner_share != variant.leaf_share:
        found["one-fill"] = with_shares(variant.leaf_share, variant.leaf_share)
    if variant.leaf_share != 0.9:
        found["always-90"] = with_shares(0.9, INNER_SHARE)
    return found


QUESTIONS = {
    "binary": "How many keys does one page of 8,192 bytes tell apart?",
    "root-is-none": "Where does a tree of a single row keep it, and how many levels is that?",
    "degrades": "How many more rows does one more level make room for?",
    "never-grows": "From which number of rows on has one root page too few slots for the pages below?",
    "bare-key": "What stands on a page beside the key: for whom does an entry point where, and how is it found on the page?",
    "separators-are-rows": "What must stand above two leaves so that a search for an id goes to the right one?",
    "value-is-key": "Which value does the index hold, and how many bytes has it?",
    "half-full": "What leaves a page half full, and has that happened to this index?",
    "one-fill": "The fill factor is one of the leaves: read an index's inner pages, how full are they?",
    "always-90": "In which order did the rows arrive, into pages how full: what do the leaves of such an index hold?",
}


def judge(answer: Function, variant: Variant) -> Judgement:
    asked = instances(variant)
    said = called(answer, asked, whole=True)
    if isinstance(said, Finding):
        return Judgement(0.0, (said,))
    wrong = [(value, each) for value, each in zip(said, asked, strict=True) if value != each.truth]
    if not wrong:
        most = max(asked, key=lambda each: each.args[0])
        return Judgement(
            1.0,
            (Finding(True, f"Right for all of {len(asked)} pairs, up to {most.told}: {most.truth:.0f} levels."),),
        )
    return Judgement(0.0, (parts(variant, said, asked, *wrong[0], len(wrong)),))


def parts(
    variant: Variant, said: list[float], asked: tuple[Instance, ...], value: float, first: Instance, count: int
) -> Finding:
    """The first instance at which the rule parts from the engine."""
    belief = kin(said, asked, beliefs(variant))
    capacity = capacities(variant)[first.args[1]]
    rows, each = first.args[0], capacity.leaf
    pages: list[str] = []
    while not pages or rows > 1:
        rows, each = -(-rows // each), capacity.inner
        pages.append(f"{rows:,}")
    low = value < first.truth
    return Finding(
        ok=False,
        seen=f"For {first.told} the function says {value:,.0f}; {count} of {len(asked)} pairs are wrong.",
        expected=f"{first.truth:.0f}: from the leaves up {', '.join(pages)} page{'s' * (len(pages) > 1)}.",
        question=QUESTIONS.get(belief)
        or (
            "Are there so many entries on a page: on a leaf, and on an inner page?"
            if low
            else "How many children has one of the inner pages, and how many rows a leaf?"
        ),
        misconception=belief,
    )


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}:\n\n```sql\n{variant.made(100)}\n```\n\n"
        f"Write `{SIGNATURE}`: the number of levels of such an index, the leaves included, so that a lone root is 1. `rows` goes from 1 to {ROWS_MAX:,}, `key_bytes`, the length of "
        f"each word (ASCII), is one of {', '.join(map(str, WIDTHS))}; all words differ. It is asked for some fifty pairs, on both sides of each place at which the height changes; "
        "the places themselves are left out, so that an entry a page more or less, or a root that happens to be full, does not matter.\n\n"
        "What a page is made of: 8,192 bytes, of which a header takes 24 and the links to its siblings 16. An entry is a header of 8, then the values (a bigint 8, a uuid 16; a text its bytes and "
        "1, beyond 126 bytes 4), rounded up to a multiple of 8 in all; and its slot on the page, 4. How full the pages of this index become, and what an inner page keeps of an entry, is for "
        'you to find out: `read_index(practice("btrees-height"), "words_100_index")` is such an index, and `workbook.btree` has the reader.'
    )


def why(variant: Variant) -> str:
    held = capacities(variant)
    table = "; ".join(
        f"{width} bytes: {found.leaf} rows a leaf, {found.inner} children" for width, found in held.items()
    )
    return (
        f"{variant.because} Read off the real pages: {table}. A level more multiplies the rows by the children: a thousand times "
        "the rows cost one level more, or three where the keys are widest. What would change it: another width of the entry, above all of what the inner pages keep; random arrival, which leaves pages 69 per cent full; "
        "pages of another size, as in SQLite (4,096) or InnoDB (16,384)."
    )


EXERCISE = register(
    Exercise(
        id="btrees-height",
        lab="01_btrees",
        number=1,
        title="Height from rows and key width",
        kind="R",
        declares="value",
        points=3,
        core=True,
        minutes=8,
        answer=f"a function, def {SIGNATURE}",
        accepts=accepts_rule(SIGNATURE),
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "How many pages does the next level up need if you know how many this one has?",
            lambda variant: (
                "Two numbers are enough: rows a leaf and children an inner page. For each, what does one entry take there, and how full is the page? Leaves and inner pages "
                "differ in both: `Counter(page.rows for page in tree.level(0))`, and the same with `len(page.entries)` for level 1."
            ),
            lambda variant: (
                f"Leaves of this index are {variant.leaf_share:.0%} full, inner pages {variant.inner_share:.0%}, of {ROOM_BYTES:,} bytes; at 100 bytes an entry takes "
                f"{variant.entry_bytes(100)[0]} on a leaf and {variant.entry_bytes(100)[1]} above. Begin with ceil(rows / rows a leaf) pages; while there is more than one, divide by the "
                "children, round up, and count a level."
            ),
        ),
        judge=judge,
        why=why,
        misconceptions={
            "degrades": "Lookups degrade with size: twice the rows, twice the pages.",
            "binary": "A B-tree is a binary tree: each level halves what is left.",
            "half-full": "The nodes of a B-tree stay half full.",
            "one-fill": "All pages of an index are filled to its fill factor.",
            "always-90": "The leaves of an index are 90 per cent full, whatever happened to it.",
            "separators-are-rows": "A separator is a copy of a row's entry, with all of its columns.",
            "bare-key": "An entry takes the bytes of its key.",
            "value-is-key": "An index holds the columns that are named in it, whatever the expression makes of them.",
            "root-is-none": "The height counts the steps below the root.",
            "never-grows": "An index has three levels.",
        },
    )
)
