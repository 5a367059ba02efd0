"""An endpoint with the same JSON out: as few statements, rows, bytes and pages as it takes, and no fewer.

    as delivered     SELECT orders; SELECT lines (1); SELECT lines (2); ... (20)        1 + N statements
    join everything  ┌ order 986 ┬ line 1 ┬ parcel 1     order × lines × parcels rows,
                     │           │        └ parcel 2     the order's own columns in each of them
                     │           └ line 2 ┬ parcel 1
                     │                    └ parcel 2
    mended           SELECT orders; SELECT lines IN (...); SELECT parcels IN (...)      3 statements, each row once

The variants move what is right. Two collections beside each other, or a wide parent: a statement for each. A chain of
many-to-one: one join, since it multiplies nothing. A wide column that nobody asked for: name the columns. Numbers over
collections: count where the rows are. A page: LIMIT before the join. What the learner hands in is called with values
that were not shown, on data with other values than those to practise on, and once more after a change. Its traffic is
counted between its engine and the server (`grading/wire.py`), against that of a reference measured the same way.

    >>> [variant.delivered.__name__ for variant in VARIANTS]
    ['history', 'slips', 'waiting', 'shelf', 'board', 'page']

Source: SQLAlchemy 2.1's documentation, "Relationship Loading Techniques", "What Kind of Loading to Use?". Left out:
pools and the network, where each statement also waits for a journey; here only what is sent counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from workbook.engines import Database, Recipe, database
from workbook.exercises.indexes.delivered import (
    INDEXES,
    ROWS,
    TABLES,
    Customer,
    Endpoint,
    Json,
    Order,
    OrderLine,
    Parcel,
    Product,
    Supplier,
    board,
    history,
    page,
    shelf,
    shown,
    slips,
    waiting,
)
from workbook.grading.answer import Function
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.parting import parting
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed
from workbook.grading.wire import Traffic, wired

PRACTICE, JUDGED = 1, 5
"""What the values of the data depend on; its shape does not."""
SMALL, LARGE = 0, 1
DEADLINE_S = 5.0
"""A slow answer is to be told what it sends, not that it is slow."""

Call = Mapping[str, Any]
Asked = tuple[str, str]
"""A question, and the key of the misconception that it goes with."""
Served = Sequence[tuple[int, Traffic]]
"""Of each call, how many entries its JSON has, and what it cost."""
BOTH = "Call both functions in a cell with these arguments: what does the old one do there that the new one does not?"
PARTINGS: dict[str, Asked] = {
    "lacks": ("Which row has no partner on the other side of the join, and what becomes of it?", "partners"),
    "cut": ("Which row has no partner on the other side of the join, and what becomes of it?", "partners"),
    "repeats": ("What does a join make of one order that has seven lines?", "join-everything"),
    "more": ("Which condition lets it in?", ""),
    "order": ("What decides where two rows stand that are equal in all that you sort by?", "order-is-kept"),
}
NEEDLESS = ("What is read of which the answer shows nothing?", "take-all")
IDLE = ("Which condition stands in Python, and could stand in the statement?", "take-all")
JOINED = (
    "In how many rows does one order arrive that has seven lines, and what stands in each of them?",
    "join-everything",
)


@dataclass(frozen=True)
class Variant:
    """An endpoint as `delivered` and as `mended`.

    The `calls` it is judged by, of which the first two are shown; what changes before the last call (`later`); what an
    entry of its JSON is called (`unit`); the second and the third hint (`direction`, `nearly`); why, and what would
    change it; by which factor it may take more rows than the reference (`spare`). `asks` and `partings` hold the
    questions on a budget that is passed, and on JSON that parts, where the usual ones do not lead on.
    """

    story: str
    delivered: Endpoint
    mended: Endpoint
    unit: str
    calls: tuple[Call, ...]
    later: str
    direction: str
    nearly: str
    because: str
    otherwise: str
    spare: float = 1.25
    asks: Mapping[str, Asked] = field(default_factory=dict)
    partings: Mapping[str, Asked] = field(default_factory=dict)

    __hash__ = object.__hash__


def _calls(name: str, *values: Any, **rest: Any) -> tuple[Call, ...]:
    return tuple({name: value, **rest} for value in values)


def mended_history(engine: Engine, customer_id: int) -> Json:
    wanted = select(Order).where(Order.customer_id == customer_id)
    with Session(engine) as session:
        orders = session.scalars(
            wanted.order_by(Order.placed_on.desc(), Order.order_id.desc()).options(
                selectinload(Order.lines), selectinload(Order.parcels)
            )
        )
        return [
            {
                "order": order.order_id,
                "placed_on": order.placed_on.isoformat(),
                "lines": [
                    {"product": line.product_id, "quantity": line.quantity, "note": line.note} for line in order.lines
                ],
                "parcels": [
                    {
                        "parcel": parcel.parcel_id,
                        "carrier": parcel.carrier,
                        "sent_on": parcel.sent_on.isoformat() if parcel.sent_on else None,
                    }
                    for parcel in order.parcels
                ],
            }
            for order in orders
        ]


def mended_slips(engine: Engine, batch: int) -> Json:
    wanted = select(Order).where(Order.batch == batch).order_by(Order.order_id)
    with Session(engine) as session:
        return [
            {
                "order": order.order_id,
                "letter": order.letter,
                "lines": [{"product": line.product_id, "quantity": line.quantity} for line in order.lines],
            }
            for order in session.scalars(wanted.options(selectinload(Order.lines)))
        ]


def mended_waiting(engine: Engine, carrier: str) -> Json:
    wanted = select(Parcel).where(Parcel.carrier == carrier, Parcel.sent_on.is_(None)).order_by(Parcel.parcel_id)
    with Session(engine) as session:
        parcels = session.scalars(wanted.options(joinedload(Parcel.order).joinedload(Order.customer)))
        return [
            {
                "parcel": parcel.parcel_id,
                "placed_on": parcel.order.placed_on.isoformat(),
                "customer": parcel.order.customer.name if parcel.order.customer else None,
                "country": parcel.order.customer.country if parcel.order.customer else None,
            }
            for parcel in parcels
        ]


def mended_shelf(engine: Engine, category: str) -> Json:
    columns = select(Product.product_id, Product.name, Product.price_cents, Supplier.name.label("supplier"))
    wanted = columns.outerjoin(Product.supplier).where(Product.category == category)
    with Session(engine) as session:
        rows = session.execute(wanted.order_by(Product.price_cents, Product.product_id))
        return [
            {"product": row.product_id, "name": row.name, "price_cents": row.price_cents, "supplier": row.supplier}
            for row in rows
        ]


def mended_board(engine: Engine, country: str) -> Json:
    wanted = (
        select(
            Customer.customer_id,
            Customer.name,
            func.count(Order.order_id.distinct()).label("orders"),
            func.coalesce(func.sum(OrderLine.quantity), 0).label("pieces"),
            func.max(Order.placed_on).label("latest"),
        )
        .outerjoin(Customer.orders)
        .outerjoin(Order.lines)
        .where(Customer.country == country)
        .group_by(Customer.customer_id)
        .order_by(Customer.customer_id)
    )
    with Session(engine) as session:
        return [
            {
                "customer": row.customer_id,
                "name": row.name,
                "orders": row.orders,
                "pieces": row.pieces,
                "latest": row.latest.isoformat() if row.latest else None,
            }
            for row in session.execute(wanted)
        ]


def mended_page(engine: Engine, customer_id: int, before: int) -> Json:
    wanted = select(Order).where(Order.customer_id == customer_id, Order.order_id < before)
    with Session(engine) as session:
        orders = session.scalars(
            wanted.order_by(Order.order_id.desc()).limit(10).options(selectinload(Order.lines)),
        )
        return [
            {
                "order": order.order_id,
                "placed_on": order.placed_on.isoformat(),
                "lines": [
                    {"product": line.product_id, "quantity": line.quantity, "note": line.note} for line in order.lines
                ],
            }
            for order in orders
        ]


VARIANTS = (
    Variant(
        story="A customer looks at all her orders, with what was in them and where the parcels are.",
        delivered=history,
        mended=mended_history,
        unit="orders",
        calls=_calls("customer_id", 7, 42, 107, 342, 99, 9999),
        later="UPDATE order_lines l SET quantity = l.quantity + 1 FROM orders o WHERE o.order_id = l.order_id AND o.customer_id = 42",
        direction="Two collections stand beside each other. Joined to one result they multiply: seven lines and four parcels make twenty-eight rows of one order. How many "
        "statements fetch each row once, however many orders there are?",
        nearly="`select(Order)....options(selectinload(Order.lines), selectinload(Order.parcels))`: three statements; the rest of the function stays.",
        because="`selectinload` sends one statement for each collection, with the keys of all orders in it, and each row crosses once. Joined, each line of an order arrives "
        "beside each of its parcels.",
        otherwise="a second collection that hardly ever has a row; thousands of orders, whose keys are sent in portions of 500.",
        asks={"rows": ("How many rows does a join make of an order with seven lines and four parcels?", "join-everything"), "bytes": JOINED},
    ),
    Variant(
        story="The packing table prints the slips of a batch of gift orders; each order carries the giver's letter.",
        delivered=slips,
        mended=mended_slips,
        unit="orders",
        calls=_calls("batch", 3, 10, 20, 13, 9, 999),
        later="UPDATE orders SET letter = letter || ' PS: hurry.' WHERE batch = 10",
        direction="There is one collection only, and a join makes no more rows than there are lines. Now look at the kilobytes: which column of the answer is the widest, and how "
        "often does it travel?",
        nearly="`select(Order)....options(selectinload(Order.lines))`; or two statements of your own: the orders with their letters, then all lines `WHERE order_id IN (...)`.",
        because="A join repeats the parent in the row of each of its children. That is nothing where the parent is a number, and most of the traffic where it is a letter of 1,500 "
        "characters.",
        otherwise="an order of one line or two, or no letter: then one join is as good, and saves a journey.",
        asks={"bytes": JOINED},
    ),
    Variant(
        story="A carrier's screen lists the parcels that wait for it, and whom they are from.",
        delivered=waiting,
        mended=mended_waiting,
        unit="parcels",
        calls=_calls("carrier", "carrier-1", "carrier-2", "carrier-10", "carrier-9", "carrier-3", "nobody"),
        later="UPDATE customers SET name = name || ' II' WHERE customer_id % 2 = 0",
        direction="Follow the arrows: a parcel has one order, an order has one customer or none. What would a join multiply here?",
        nearly="`options(joinedload(Parcel.order).joinedload(Order.customer))`; or a select of the columns with a `join` to the order and an `outerjoin` to the customer.",
        because="From the many to the one a join multiplies nothing: each parcel is one row, with its order and its customer beside it. A statement for each level waits for two "
        "more answers and saves nothing. (It may touch some pages more than the loop did: for a join PostgreSQL plans with a look at the ends of the indexes. What is saved are journeys.) The join to the customer is an outer one: guests order, too.",
        otherwise="a wide row on the side of the one, shared by many parcels: then it is fetched once, by a statement of its own.",
        spare=2,
        asks={"statements": ("A parcel has one order and at most one customer: what would a join multiply?", "never-join")},
    ),
    Variant(
        story="The app shows a shelf of the shop: a list of names, prices and suppliers.",
        delivered=shelf,
        mended=mended_shelf,
        unit="products",
        calls=_calls("category", "shelf-9", "shelf-1", "shelf-4", "shelf-17", "shelf-13", "cellar"),
        later="UPDATE products SET price_cents = price_cents + 100 WHERE product_id % 3 = 0",
        direction="Mend the statements first: a product has one supplier. Then look at the kilobytes and the pages, and at the model: which of its columns does the answer never show?",
        nearly="`select(Product.product_id, Product.name, Product.price_cents, Supplier.name).outerjoin(Product.supplier)`; or keep the entity, and add `load_only(...)`.",
        because="An entity is loaded with all its columns. The description of a product takes six kilobytes, stands outside the row (TOAST), and is fetched from its own pages, sent "
        "and thrown away. A list that names its columns leaves it where it is.",
        otherwise="columns that are all narrow: then an entity costs a few bytes more, and nobody will see it.",
        spare=2,
        asks={
            "bytes": ("Which column is loaded with each product, though nobody sees it in the list?", "columns-are-free"),
            "pages": ("Where does PostgreSQL keep a text of six kilobytes, and who asked for it?", "columns-are-free"),
        },
    ),
    Variant(
        story="The sales desk watches the customers of a country: how many orders, how many pieces, and when the latest was placed.",
        delivered=board,
        mended=mended_board,
        unit="customers",
        calls=_calls("country", "LI", "PT", "AT", "SM", "VA", "XX"),
        later="UPDATE orders SET placed_on = placed_on + 50 WHERE order_id % 2 = 0",
        direction="How many numbers does the answer hold, and how many rows are loaded to work them out? Count where the rows are; and mind what a join of orders and lines does to a "
        "count of orders.",
        nearly="One select of the customer with `func.count(Order.order_id.distinct())`, `func.coalesce(func.sum(OrderLine.quantity), 0)` and `func.max(Order.placed_on)`, "
        "`outerjoin(Customer.orders).outerjoin(Order.lines)`, `group_by(Customer.customer_id)`.",
        because="Three numbers of each customer cross, and not her orders and lines. Both joins are outer ones, since some customers have no order and some orders no line; and the "
        "orders are counted as distinct ones, since each stands in the join as often as it has lines.",
        otherwise="an answer that shows the lines as well: then they come anyway, and adding them up costs nothing more.",
        asks={
            "statements": ("Three numbers of each customer are shown: which rows have to leave the database for them?", "count-in-python"),
            "rows": ("The answer holds three numbers of each customer: how many rows came for them?", "count-in-python"),
            "bytes": ("The answer holds three numbers of each customer: what else was sent?", "count-in-python"),
        },
        partings={"larger": ("How often does an order with seven lines stand in the join, and what does count() count?", "join-everything")},
    ),
    Variant(
        story="The app pages through a customer's orders, ten at a time, from the latest back. The agent had been told to avoid N+1, and it did.",
        delivered=page,
        mended=mended_page,
        unit="orders",
        calls=(
            {"customer_id": 7, "before": 5000}, {"customer_id": 50, "before": 1948}, {"customer_id": 150, "before": 696},
            {"customer_id": 242, "before": 312}, {"customer_id": 50, "before": 170}, {"customer_id": 99, "before": 5000},
        ),
        later="UPDATE order_lines l SET quantity = l.quantity + 1 FROM orders o WHERE o.order_id = l.order_id AND o.customer_id = 50",
        direction="There is one statement already, so count its rows. Where are the orders left out that the page does not show, and where could they be? And if you put a LIMIT "
        "to a join: which rows does it count?",
        nearly="`where(Order.customer_id == customer_id, Order.order_id < before).order_by(Order.order_id.desc()).limit(10).options(selectinload(Order.lines))`: the ten orders "
        "first, then their lines.",
        because="The condition and the LIMIT stand with the orders, before anything is joined: ten orders are read from the index, and their lines fetched. A LIMIT behind the join "
        "would count lines. SQLAlchemy puts it into a subquery where `joinedload` is used, and so may you.",
        otherwise="customers who never have more than ten orders: then there is one page, and nothing to leave out.",
        asks=dict.fromkeys(("rows", "bytes", "pages", "idle"), ("At which point are the orders left out that the page does not show?", "paginate-late")),
        partings={"cut": ("What does LIMIT count in your statement: orders, or rows of a join?", "paginate-late")},
    ),
)  # fmt: skip


def data(salt: int) -> Recipe:
    """The shop whose values depend on `salt`, and whose shape does not."""
    return Recipe(f"a shop for endpoints, {salt}", TABLES + ROWS.format(salt=salt), then=INDEXES)


def recipe(variant: Variant) -> Recipe:
    """The shop to practise on: the same for all variants."""
    return data(PRACTICE)


def answers_of(endpoint: Endpoint, shop: Database, calls: Sequence[Call]) -> list[Json]:
    """What an endpoint of ours gives for each call; no session is left open."""
    given = [endpoint(shop.engine, **call) for call in calls]
    shop.engine.dispose()
    return given


def served_by(endpoint: Endpoint, variant: Variant) -> Served:
    """What each call of an endpoint of ours costs, on a clone of its own."""
    with database(data(JUDGED)) as shop:
        answers_of(variant.mended, shop, variant.calls)
        with wired(shop) as wire:
            counted = [wire.count(partial(called, endpoint, call)) for call in variant.calls]
    return [(len(given), traffic) for given, traffic in counted]


def called(endpoint: Any, call: Call, engine: Engine) -> Any:
    return endpoint(engine, **call)


@cache
def budgets(variant: Variant) -> tuple[Traffic, ...]:
    """What each call may cost: what the reference costs, measured, and a margin; statements alike for all.

    The margin of pages has room for what PostgreSQL looks up to plan a join: the ends of its indexes, some twenty-five.
    """
    best = [traffic for _, traffic in served_by(variant.mended, variant)]
    statements = max(traffic.statements for traffic in best) + 1
    return tuple(
        Traffic(statements, int(one.rows * variant.spare) + 2, one.bytes // 50 * 100 + 500, int(one.pages * 1.5) + 40)
        for one in best
    )


@cache
def evidence(variant: Variant) -> Served:
    """What the two shown calls cost as delivered."""
    return served_by(variant.delivered, replace(variant, calls=variant.calls[: LARGE + 1]))


def accepts(answer: Any) -> str:
    if callable(answer):
        return ""
    return (
        f"The answer is a function that takes an engine and what the endpoint takes; this is {type(answer).__name__}."
    )


def judge(answer: Function, variant: Variant) -> Judgement:
    allowed, answer.deadline_s = budgets(variant), DEADLINE_S
    with database(data(JUDGED)) as shop:
        catalog, wanted = shop.catalog(), answers_of(variant.mended, shop, variant.calls)
        served: list[tuple[int, Traffic]] = []
        with wired(shop) as wire:
            for call, right in zip(variant.calls, wanted, strict=True):
                got, traffic = wire.count(partial(called, answer, call))
                if found := another_way(traffic) or differs(got, right, call, variant):
                    return Judgement(0.0, (found,))
                served.append((len(right), traffic))
            shop.run(variant.later)
            late, traffic = wire.count(partial(called, answer, variant.calls[LARGE]))
        (now,) = answers_of(variant.mended, shop, [variant.calls[LARGE]])
        changed = changes_allowed(catalog, shop.catalog(), (), may="only read: the schema is frozen until Monday")
    if not changed.ok:
        return Judgement(0.0, (changed,))
    if found := another_way(traffic) or stale(late, wanted[LARGE], now, variant):
        return Judgement(0.0, (found,))
    findings = (
        Finding(True, f"The JSON is the same for {len(wanted)} calls, and after a change."),
        few_statements(served, allowed[LARGE].statements, variant),
        *(little(kind, served, allowed, variant) for kind in ("rows", "bytes", "pages")),
    )
    return Judgement(float(all(finding.ok for finding in findings)), findings)


def another_way(traffic: Traffic) -> Finding | None:
    """What has nothing to do with an endpoint that reads through its engine."""
    if traffic.strangers:
        return Finding(
            False, "The database was reached by another way than the engine that the function is given.", "All that is asked goes through `engine`.",
            "Whose database does your function ask in production?",
        )  # fmt: skip
    if traffic.written:
        return Finding(
            False, f"The function wrote: {traffic.written:,} rows of the shop are not what they were.", "An endpoint that reads.",
            "What does a second reader see while the first one writes?",
        )  # fmt: skip
    return None


def call_text(call: Call) -> str:
    """A call as a person writes it."""
    return f"`endpoint(engine, {', '.join(f'{name}={value!r}' for name, value in call.items())})`"


def differs(got: Any, wanted: Json, call: Call, variant: Variant) -> Finding | None:
    """Where the JSON of a call is another; None where it is the same."""
    found = parting(got, wanted)
    if found is None:
        return None
    question, belief = {**PARTINGS, **variant.partings}.get(found.how, (BOTH, ""))
    return Finding(
        False, f"For {call_text(call)} the JSON is not the same: {found.text}.", "The same JSON as before, for every call.", question, belief
    )  # fmt: skip


def stale(late: Any, before: Json, now: Json, variant: Variant) -> Finding | None:
    """Whether a change in the shop is seen by the next call."""
    if parting(late, now) is None:
        return None
    call = variant.calls[LARGE]
    if parting(late, before) is None:
        return Finding(
            False, f"The shop has changed, and {call_text(call)} still gives what it gave before.", "What is in the database now.",
            "Who tells what you have kept that it is no longer true?", "cache-it",
        )  # fmt: skip
    return differs(late, now, call, variant)


def few_statements(served: Served, limit: int, variant: Variant) -> Finding:
    """Whether each call keeps to `limit` statements; told are the smallest call and the one that sends most."""
    sizes = sorted((size, traffic.statements) for size, traffic in served if size)
    (few, least), (many, most) = sizes[0], max(sizes, key=lambda pair: pair[::-1])
    if all(traffic.statements <= limit for _, traffic in served):
        return Finding(True, f"It sends at most {counted(most, 'statement')}, for {many} {variant.unit} as for {few}.")
    if most > least + 2:
        return Finding(
            False, f"Statements grow with the {variant.unit}: {least} at {few} {variant.unit}, {most} at {many}.",
            f"At most {counted(limit, 'statement')}, however many {variant.unit} there are.",
            "Which line sends a statement each time round, though it looks like reading an attribute?", "lazy-is-free",
        )  # fmt: skip
    question, belief = variant.asks.get("statements", ("Which of them could be answered by another one of them?", ""))
    return Finding(
        False, f"It sends {counted(most, 'statement')}, for {few} {variant.unit} as for {many}.", f"At most {limit}.", question, belief
    )  # fmt: skip


def little(kind: str, served: Served, allowed: Sequence[Traffic], variant: Variant) -> Finding:
    """Whether rows, bytes or pages keep within their budgets.

    Told is the call that is furthest above its own; where a call that gives nothing fetches rows all the same, that one.
    """
    sizes = [size for size, _ in served]
    seen, limits = [getattr(cost, kind) for _, cost in served], [getattr(budget, kind) for budget in allowed]
    over = [n for n, number in enumerate(seen) if number > limits[n]]
    if not over:
        n = max(range(len(sizes)), key=sizes.__getitem__)
        text = f"For {sizes[n]} {variant.unit} {measured(kind, seen[n])}, within the {amount(kind, limits[n])} allowed there."
        return Finding(True, text)
    idle = [n for n in over if not sizes[n] and served[n][1].rows > allowed[n].rows]
    n = max(idle or over, key=lambda n: seen[n] - limits[n])
    question, belief = variant.asks.get("idle" if idle else kind, IDLE if idle else NEEDLESS)
    return Finding(
        False, f"For {call_text(variant.calls[n])}, {sizes[n]} {variant.unit}, {measured(kind, seen[n])}.",
        f"At most {amount(kind, limits[n])} for this call: what a good answer takes there, and a margin.", question, belief
    )  # fmt: skip


def amount(kind: str, number: int) -> str:
    """A number with its unit: bytes as kB of a thousand, rounded up.

    >>> amount("bytes", 12_345), amount("rows", 1)
    ('12.4 kB', '1 row')
    """
    return f"{-(-number // 100) / 10:,.1f} kB" if kind == "bytes" else counted(number, kind.removesuffix("s"))


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def measured(kind: str, number: int) -> str:
    """'131 rows come over the wire', 'it touches 20 pages'."""
    if kind == "pages":
        return f"it touches {amount(kind, number)}"
    return f"{amount(kind, number)} come{'s' if kind == 'rows' and number == 1 else ''} over the wire"


def brief(variant: Variant) -> str:
    now, may = evidence(variant), budgets(variant)
    rows = "\n".join(
        f"| {kind} | " + " | ".join(
            f"{amount(kind, getattr(now[n][1], kind)).split()[0]} | {amount(kind, getattr(may[n], kind)).split()[0]}" for n in (SMALL, LARGE)
        ) + " |"
        for kind in ("statements", "rows", "bytes", "pages")
    ).replace("| bytes |", "| kB |")  # fmt: skip
    told = [f"{call_text(variant.calls[n])}, {now[n][0]} {variant.unit}" for n in (SMALL, LARGE)]
    head = " | ".join(f"{now[n][0]} {variant.unit}, now | allowed" for n in (SMALL, LARGE))
    return (
        f"{variant.story} The agent delivered this, on the models that stand above:\n\n```python\n{shown(variant.delivered)}\n```\n\n"
        f"It answers rightly. What went over the wire for {told[SMALL]}, and for {told[LARGE]}, and what PostgreSQL touched:\n\n"
        f"| | {head} |\n|---|---|---|---|---|\n{rows}\n\n"
        "Write an `endpoint` that takes the same arguments, gives **the same JSON**, and keeps within what is allowed. It is called with other values as well, "
        "each with an allowance of its own (what a good answer takes there, and a margin), on a shop whose numbers and names are others, and once more after something has changed. "
        "What is counted is counted between your engine and the server. "
        "The schema is frozen: no index, no view. "
        '`engine = practice("indexes-endpoint")` is such a shop; after `engine.echo = True` it prints each statement that you send.'
    )


def why(variant: Variant) -> str:
    guard = (
        ""
        if variant.delivered is page
        else ' `relationship(..., lazy="raise")` in the models turns the next such loop into a failing test.'
    )
    return f"{variant.because} What would change it: {variant.otherwise}{guard}"


EXERCISE = register(
    Exercise(
        id="indexes-endpoint",
        lab="02_indexes",
        number=11,
        title="An endpoint, and the same JSON out",
        kind="P",
        declares="value",
        points=4,
        core=False,
        minutes=12,
        answer="a function that takes an engine and the endpoint's arguments",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "Set `engine.echo = True` and call it as delivered: which statements come, how many for each entry of the JSON, and what in them does the JSON not show?"
            ),
            lambda variant: variant.direction,
            lambda variant: variant.nearly,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "lazy-is-free": "The ORM loads what is needed when it is needed, so nothing is wasted.",
            "join-everything": "One joined statement is always cheaper than several.",
            "never-join": "Since joins multiply rows, each relation gets a statement of its own.",
            "columns-are-free": "A row costs the same, whichever of its columns are asked for.",
            "count-in-python": "To count rows one has to load them.",
            "paginate-late": "A page is cut off at the end, when everything is there.",
            "take-all": "What is loaded too much does no harm as long as the answer is right.",
            "cache-it": "What is slow is kept in memory, and then it is fast.",
            "partners": "A join keeps every row.",
            "order-is-kept": "Rows come in the order in which they were stored.",
        },
    )
)
