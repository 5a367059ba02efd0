"""The endpoint: what mends each of six, what only looks like it, and what tries to go round the counting."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, joinedload, load_only, selectinload

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import cluster, database
from workbook.exercises.indexes import delivered as agents
from workbook.exercises.indexes import endpoint as module
from workbook.exercises.indexes.delivered import Customer, Order, OrderLine, Parcel, Product, Supplier
from workbook.exercises.indexes.endpoint import EXERCISE, JUDGED, LARGE, SMALL, VARIANTS, Variant

ROOT = Path(__file__).resolve().parents[2]
Rows = list[dict[str, Any]]
IDS = [variant.delivered.__name__ for variant in VARIANTS]


def told(order: Order, *parts: str) -> dict[str, Any]:
    """An order as the endpoints tell it."""
    lines = [{"product": one.product_id, "quantity": one.quantity, "note": one.note} for one in order.lines]
    every = {
        "order": order.order_id,
        "placed_on": order.placed_on.isoformat(),
        "letter": order.letter,
        "lines": lines if "note" in parts else [{key: line[key] for key in ("product", "quantity")} for line in lines],
    }
    if "parcels" in parts:
        every["parcels"] = [
            {"parcel": one.parcel_id, "carrier": one.carrier, "sent_on": one.sent_on and one.sent_on.isoformat()}
            for one in order.parcels
        ]
    return {key: every[key] for key in ("order", *parts) if key in every}


def history(
    *options: Any, order: tuple[Any, ...] = (Order.placed_on.desc(), Order.order_id.desc())
) -> Callable[..., Rows]:
    def endpoint(engine: Engine, customer_id: int) -> Rows:
        wanted = select(Order).where(Order.customer_id == customer_id).order_by(*order).options(*options)
        with Session(engine) as session:
            return [told(one, "placed_on", "lines", "note", "parcels") for one in session.scalars(wanted).unique()]

    return endpoint


def history_in_three(engine: Engine, customer_id: int) -> Rows:
    """Three statements of one's own, also where there is no order."""
    with engine.connect() as connection:
        orders = connection.execute(
            select(Order.order_id, Order.placed_on)
            .where(Order.customer_id == customer_id)
            .order_by(Order.placed_on.desc(), Order.order_id.desc())
        ).all()
        keys = [one.order_id for one in orders]
        lines, parcels = (
            connection.execute(select(table).where(table.order_id.in_(keys)).order_by(*by)).all()
            for table, by in ((OrderLine, (OrderLine.line_no,)), (Parcel, (Parcel.parcel_id,)))
        )
    return [
        {
            "order": one.order_id,
            "placed_on": str(one.placed_on),
            "lines": [
                {"product": line.product_id, "quantity": line.quantity, "note": line.note}
                for line in lines
                if line.order_id == one.order_id
            ],
            "parcels": [
                {"parcel": part.parcel_id, "carrier": part.carrier, "sent_on": part.sent_on and str(part.sent_on)}
                for part in parcels
                if part.order_id == one.order_id
            ],
        }
        for one in orders
    ]


def history_as_json(engine: Engine, customer_id: int) -> Rows:
    """One statement, in which PostgreSQL makes the JSON."""
    text = """SELECT json_build_object('order', order_id, 'placed_on', placed_on,
                'lines', (SELECT coalesce(json_agg(json_build_object('product', product_id, 'quantity', quantity, 'note', note) ORDER BY line_no), '[]')
                          FROM order_lines l WHERE l.order_id = o.order_id),
                'parcels', (SELECT coalesce(json_agg(json_build_object('parcel', parcel_id, 'carrier', carrier, 'sent_on', sent_on) ORDER BY parcel_id), '[]')
                            FROM parcels p WHERE p.order_id = o.order_id))
              FROM orders o WHERE customer_id = :c ORDER BY placed_on DESC, order_id DESC"""
    with engine.connect() as connection:
        return [row[0] for row in connection.execute(sa.text(text), {"c": customer_id})]


def history_by_inner_joins(engine: Engine, customer_id: int) -> Rows:
    with Session(engine) as session:
        wanted = select(Order).join(Order.lines).join(Order.parcels).where(Order.customer_id == customer_id).distinct()
        orders = session.scalars(
            wanted.order_by(Order.placed_on.desc(), Order.order_id.desc()).options(
                selectinload(Order.lines), selectinload(Order.parcels)
            )
        )
        return [told(one, "placed_on", "lines", "note", "parcels") for one in orders]


def slips(*options: Any, every: bool = False, joined: bool = False) -> Callable[..., Rows]:
    def endpoint(engine: Engine, batch: int) -> Rows:
        wanted = select(Order).order_by(Order.order_id).options(*options)
        wanted = wanted.where(Order.batch.is_not(None)) if every else wanted.where(Order.batch == batch)
        wanted = wanted.join(Order.lines) if joined else wanted
        with Session(engine) as session:
            orders = session.scalars(wanted)
            orders = orders if joined else orders.unique()
            return [told(one, "letter", "lines") for one in orders if one.batch == batch]

    return endpoint


def slips_in_two(engine: Engine, batch: int) -> Rows:
    with engine.connect() as connection:
        text = "SELECT order_id, letter FROM orders WHERE batch = :b ORDER BY order_id"
        found = {row[0]: (row[1], []) for row in connection.execute(sa.text(text), {"b": batch})}
        text = "SELECT order_id, product_id, quantity FROM order_lines JOIN orders USING (order_id) WHERE batch = :b ORDER BY line_no"
        for order, product, quantity in connection.execute(sa.text(text), {"b": batch}):
            found[order][1].append({"product": product, "quantity": quantity})
    return [{"order": order, "letter": letter, "lines": lines} for order, (letter, lines) in found.items()]


def waiting(*options: Any, inner: bool = False, unsorted: bool = False) -> Callable[..., Rows]:
    def endpoint(engine: Engine, carrier: str) -> Rows:
        wanted = select(Parcel).where(Parcel.carrier == carrier, Parcel.sent_on.is_(None)).options(*options)
        wanted = wanted.join(Parcel.order).join(Order.customer) if inner else wanted
        with Session(engine) as session:
            parcels = session.scalars(wanted if unsorted else wanted.order_by(Parcel.parcel_id))
            return [
                {
                    "parcel": one.parcel_id,
                    "placed_on": one.order.placed_on.isoformat(),
                    "customer": one.order.customer and one.order.customer.name,
                    "country": one.order.customer and one.order.customer.country,
                }
                for one in parcels
            ]

    return endpoint


def waiting_by_columns(engine: Engine, carrier: str) -> Rows:
    wanted = (
        select(Parcel.parcel_id.label("parcel"), Order.placed_on, Customer.name.label("customer"), Customer.country)
        .join(Parcel.order)
        .outerjoin(Order.customer)
        .where(Parcel.carrier == carrier, Parcel.sent_on.is_(None))
        .order_by(Parcel.parcel_id)
    )
    with engine.connect() as connection:
        return [{**row, "placed_on": str(row["placed_on"])} for row in connection.execute(wanted).mappings()]


def shelf(*options: Any, inner: bool = False, by: Any = Product.product_id) -> Callable[..., Rows]:
    def endpoint(engine: Engine, category: str) -> Rows:
        wanted = select(Product).where(Product.category == category).order_by(Product.price_cents, by).options(*options)
        wanted = wanted.join(Product.supplier) if inner else wanted
        with Session(engine) as session:
            return [
                {
                    "product": one.product_id,
                    "name": one.name,
                    "price_cents": one.price_cents,
                    "supplier": one.supplier and one.supplier.name,
                }
                for one in session.scalars(wanted)
            ]

    return endpoint


COLUMNS = load_only(Product.name, Product.price_cents, Product.supplier_id)


def board(count: Any = None, *, inner: bool = False, by: Any = Customer.customer_id) -> Callable[..., Rows]:
    """One statement, as one thinks of it first, or nearly."""
    counted = Order.order_id.distinct() if count is None else count

    def endpoint(engine: Engine, country: str) -> Rows:
        pieces = func.coalesce(func.sum(OrderLine.quantity), 0)
        wanted = select(Customer.customer_id, Customer.name, func.count(counted), pieces, func.max(Order.placed_on))
        wanted = wanted.join(Customer.orders, isouter=not inner).join(Order.lines, isouter=not inner)
        wanted = wanted.where(Customer.country == country).group_by(Customer.customer_id).order_by(by)
        with engine.connect() as connection:
            return [
                {"customer": one, "name": name, "orders": orders, "pieces": sum_of, "latest": latest and str(latest)}
                for one, name, orders, sum_of, latest in connection.execute(wanted)
            ]

    return endpoint


def board_by_subqueries(engine: Engine, country: str) -> Rows:
    text = """SELECT customer_id AS customer, name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.customer_id) AS orders,
                (SELECT coalesce(sum(quantity), 0) FROM orders o JOIN order_lines USING (order_id) WHERE o.customer_id = c.customer_id) AS pieces,
                (SELECT max(placed_on)::text FROM orders o WHERE o.customer_id = c.customer_id) AS latest
              FROM customers c WHERE country = :country ORDER BY customer_id"""
    with engine.connect() as connection:
        rows = connection.execute(sa.text(text.replace("::", "\\:\\:")), {"country": country})
        return [dict(row) for row in rows.mappings()]


def board_by_loading(engine: Engine, country: str) -> Rows:
    wanted = select(Customer).where(Customer.country == country).order_by(Customer.customer_id)
    with Session(engine) as session:
        return [
            {
                "customer": one.customer_id,
                "name": one.name,
                "orders": len(one.orders),
                "pieces": sum(line.quantity for order in one.orders for line in order.lines),
                "latest": max((order.placed_on.isoformat() for order in one.orders), default=None),
            }
            for one in session.scalars(wanted.options(selectinload(Customer.orders).selectinload(Order.lines)))
        ]


def page(*options: Any, inclusive: bool = False, inner: bool = False) -> Callable[..., Rows]:
    def endpoint(engine: Engine, customer_id: int, before: int) -> Rows:
        wanted = select(Order).where(Order.customer_id == customer_id, Order.order_id < before + inclusive)
        wanted = wanted.order_by(Order.order_id.desc()).options(*options)
        wanted = wanted.where(Order.lines.any()) if inner else wanted
        with Session(engine) as session:
            orders = session.scalars(wanted.limit(10)).unique()
            return [told(one, "placed_on", "lines", "note") for one in orders]

    return endpoint


def page_of_a_join(engine: Engine, customer_id: int, before: int) -> Rows:
    wanted = (
        select(Order, OrderLine).outerjoin(Order.lines).where(Order.customer_id == customer_id, Order.order_id < before)
    )
    found: dict[int, Any] = {}
    with Session(engine) as session:
        for order, line in session.execute(wanted.order_by(Order.order_id.desc(), OrderLine.line_no).limit(10)):
            one = {"order": order.order_id, "placed_on": order.placed_on.isoformat(), "lines": []}
            lines = found.setdefault(order.order_id, one)["lines"]
            if line:
                lines.append({"product": line.product_id, "quantity": line.quantity, "note": line.note})
    return list(found.values())


BOTH = (selectinload(Order.lines), selectinload(Order.parcels))
ALSO = {
    "history": [history_in_three, history_as_json, history(joinedload(Order.lines), selectinload(Order.parcels))],
    "slips": [slips_in_two],
    "waiting": [waiting_by_columns, waiting(joinedload(Parcel.order).selectinload(Order.customer))],
    "shelf": [
        shelf(COLUMNS, joinedload(Product.supplier)),
        shelf(COLUMNS, selectinload(Product.supplier).load_only(Supplier.name)),
    ],
    "board": [board_by_subqueries, board()],
    "page": [page(selectinload(Order.lines)), page(joinedload(Order.lines))],
}
NEARLY = {
    "history": [
        Wrong(agents.history, says="Statements grow with the orders: 7 at 3 orders, 41 at 20", misconception="lazy-is-free"),
        Wrong(history(joinedload(Order.lines), joinedload(Order.parcels)), says="How many rows does a join make of an order", misconception="join-everything"),
        Wrong(history_by_inner_joins, says="what becomes of it?", misconception="partners"),
        Wrong(history(*BOTH, order=(Order.placed_on.desc(), Order.order_id)), says="is in another order", misconception="order-is-kept"),
        Wrong(history(selectinload(Order.lines)), says="Statements grow with the orders: 5 at 3 orders, 22 at 20"),
    ],
    "slips": [
        Wrong(agents.slips, says="Statements grow with the orders: 4 at 3 orders, 21 at 20", misconception="lazy-is-free"),
        Wrong(slips(joinedload(Order.lines)), says="what stands in each of them?", misconception="join-everything"),
        Wrong(slips(selectinload(Order.lines), joined=True), says=" times.", misconception="join-everything"),
        Wrong(slips(selectinload(Order.lines), every=True), says="Which condition stands in Python", misconception="take-all"),
    ],
    "waiting": [
        Wrong(agents.waiting, says="Statements grow with the parcels", misconception="lazy-is-free"),
        Wrong(waiting(selectinload(Parcel.order).selectinload(Order.customer)), says="It sends 3 statements", misconception="never-join"),
        Wrong(waiting(joinedload(Parcel.order).joinedload(Order.customer), inner=True), says="what becomes of it?", misconception="partners"),
        Wrong(waiting(joinedload(Parcel.order).joinedload(Order.customer), unsorted=True), says="is in another order", misconception="order-is-kept"),
    ],
    "shelf": [
        Wrong(agents.shelf, says="Statements grow with the products", misconception="lazy-is-free"),
        Wrong(shelf(joinedload(Product.supplier)), says="It sends at most 1 statement", misconception="columns-are-free"),
        Wrong(shelf(COLUMNS, joinedload(Product.supplier), inner=True), says="what becomes of it?", misconception="partners"),
        Wrong(shelf(COLUMNS, joinedload(Product.supplier), by=Product.name), says="is in another order", misconception="order-is-kept"),
    ],
    "board": [
        Wrong(agents.board, says="Statements grow with the customers", misconception="lazy-is-free"),
        Wrong(board_by_loading, says="It sends 3 statements, for 3 customers as for 20", misconception="count-in-python"),
        Wrong(board(Order.order_id), says="what does count() count?", misconception="join-everything"),
        Wrong(board(inner=True), says="what becomes of it?", misconception="partners"),
        Wrong(board(by=Customer.name), says="is in another order", misconception="order-is-kept"),
    ],
    "page": [
        Wrong(agents.page, says="At which point are the orders left out", misconception="paginate-late"),
        Wrong(page(), says="Statements grow with the orders: 4 at 3 orders, 11 at 10", misconception="lazy-is-free"),
        Wrong(page_of_a_join, says="What does LIMIT count", misconception="paginate-late"),
        Wrong(page(selectinload(Order.lines), inner=True), says="what becomes of it?", misconception="partners"),
        Wrong(page(selectinload(Order.lines), inclusive=True), says="which does not belong there"),
    ],
}  # fmt: skip


def cached(endpoint: Callable[..., Rows]) -> Callable[..., Rows]:
    kept: dict[str, Rows] = {}

    def remembered(engine: Engine, **call: Any) -> Rows:
        key = json.dumps(call)
        if key not in kept:
            kept[key] = endpoint(engine, **call)
        return kept[key]

    return remembered


def elsewhere(engine: Engine) -> Engine:
    """The same database by its own address, past the engine that was given."""
    address = cluster().address()
    url = engine.url.set(port=int(address["port"]), query={"host": str(address["host"])})
    return sa.create_engine(url, poolclass=sa.NullPool)


def before(statement: str) -> Callable[[Callable[..., Rows]], Callable[..., Rows]]:
    """The endpoint, with a statement sent and committed in front."""

    def wrapped(endpoint: Callable[..., Rows]) -> Callable[..., Rows]:
        def answer(engine: Engine, **call: Any) -> Rows:
            with engine.begin() as connection:
                connection.execute(sa.text(statement))
            return endpoint(engine, **call)

        return answer

    return wrapped


def entities(endpoint: Callable[..., Rows]) -> Callable[..., Any]:
    def answer(engine: Engine, **call: Any) -> Any:
        with Session(engine) as session:
            return session.scalars(select(Order).limit(3)).all()

    return answer


def answers(variant: Variant) -> Answers:
    name, mended = variant.delivered.__name__, variant.mended
    index = "CREATE INDEX IF NOT EXISTS parcels_sent ON parcels (sent_on)"
    return Answers(
        right=mended,
        also_right=ALSO[name],
        wrong=[
            *NEARLY[name],
            Wrong(cached(mended), says="still gives what it gave before", misconception="cache-it"),
            Wrong(lambda engine, **call: mended(elsewhere(engine), **call), says="by another way than the engine"),
            Wrong(before(index)(mended), says="created 1 index (parcels_sent)"),
            Wrong(before("UPDATE suppliers SET name = name WHERE supplier_id < 4")(mended), says="The function wrote: 3 rows"),
            Wrong(entities(mended), says="which is no plain data"),
            Wrong(lambda engine, **call: mended(engine, **call) or None, says="it is NoneType, no list"),
            Wrong(lambda engine, **call: json.dumps(mended(engine, **call)), says="it is str, no list"),
            Wrong(lambda engine: [], says="TypeError"),
            Wrong(eval("lambda engine, **call: select(Order)", {"select": select}), says="Which cell defines that name, and has it been run?"),
            Wrong("SELECT 1", says="this is str"),
        ],
    )  # fmt: skip


class TestEndpoint(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.fixture(scope="module")
def served() -> dict[str, list[Rows]]:
    """What each endpoint gives for each of its calls, as delivered; the mended ones must give the same."""
    found = {}
    with database(module.data(JUDGED)) as shop:
        for variant in VARIANTS:
            given = module.answers_of(variant.delivered, shop, variant.calls)
            assert given == module.answers_of(variant.mended, shop, variant.calls)
            assert json.loads(json.dumps(given)) == given
            found[variant.delivered.__name__] = given
    return found


def every(value: Any) -> list[Any]:
    """All that stands in a piece of JSON, at every depth."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(part for one in inside for part in every(one))]


def test_the_calls_hold_the_awkward_cases(served: dict[str, list[Rows]]) -> None:
    for variant in VARIANTS:
        given = served[variant.delivered.__name__]
        sizes = [len(rows) for rows in given]
        assert 0 < sizes[SMALL] < sizes[LARGE] and sizes.count(0) >= 1, sizes
        hidden = [part for rows in given[LARGE + 1 :] for part in every(rows)]
        assert None in hidden or variant.delivered is agents.slips
        lists = [part for part in hidden if isinstance(part, list) and part and "product" in part[0]]
        if variant.delivered in (agents.history, agents.slips, agents.page):
            assert any(part["lines"] == [] for rows in given for part in rows), "an order without lines"
            assert any(len({line["product"] for line in lines}) < len(lines) for lines in lists), "a product twice"


def test_data_to_practise_on_have_the_same_shape_and_other_values(served: dict[str, list[Rows]]) -> None:
    with database(module.recipe(VARIANTS[0])) as shop:
        for variant in VARIANTS:
            there, here = served[variant.delivered.__name__], module.answers_of(variant.mended, shop, variant.calls)
            assert [len(rows) for rows in here] == [len(rows) for rows in there]
            assert all(mine != theirs for mine, theirs in zip(here, there, strict=True) if theirs)


@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_the_last_change_is_seen(variant: Variant, served: dict[str, list[Rows]]) -> None:
    with database(module.data(JUDGED)) as shop:
        shop.run(variant.later)
        (now,) = module.answers_of(variant.mended, shop, [variant.calls[LARGE]])
    was = served[variant.delivered.__name__][LARGE]
    assert now != was and len(now) == len(was)


@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_the_task_shows_the_agents_code_and_what_it_costs(variant: Variant) -> None:
    """The code of the task runs on the imports and the models of the lab; its numbers say that something is wrong."""
    lab = (ROOT / "book" / "lab_02_indexes.py").read_text(encoding="utf-8")
    assert f"# %%\n{agents.shown_models()}\n\n" in lab
    imports = lab.split("# %%\n")[1].split("\nfrom workbook")[0]
    task = EXERCISE.brief(variant)
    code = task.split("```python\n")[1].split("```")[0]
    scope: dict[str, Any] = {}
    exec(compile(f"{imports}\n\n{agents.shown_models()}\n\n\n{code}", "lab", "exec", dont_inherit=True), scope)
    with database(module.data(JUDGED)) as shop:
        assert scope["endpoint"](shop.engine, **variant.calls[SMALL]) == variant.mended(
            shop.engine, **variant.calls[SMALL]
        )
    lines = [
        line.split(" | ")
        for line in task.splitlines()
        if line.startswith(("| statements", "| rows", "| kB", "| pages"))
    ]
    numbers = [[float(cell.strip("| ").replace(",", "")) for cell in line[1:]] for line in lines]
    assert len(numbers) == 4 and any(row[2] > 2 * row[3] for row in numbers), task


def test_a_budget_that_is_passed_is_that_of_the_call_that_is_told() -> None:
    """Two calls with as many entries have allowances of their own."""
    variant = VARIANTS[0]
    limits = dict(zip(map(module.call_text, variant.calls), module.budgets(variant), strict=True))
    found = verdict(EXERCISE, NEARLY["history"][1].answer, variant)
    over = [finding for finding in found.findings if "for this call" in finding.expected]
    assert over
    for finding in over:
        call = finding.seen.split("For ")[1].split(")`")[0] + ")`"
        kind = "pages" if "pages" in finding.seen else "bytes" if "kB" in finding.seen else "rows"
        assert module.amount(kind, getattr(limits[call], kind)) in finding.expected


def test_a_statement_of_an_endpoint_is_not_told_by_its_text() -> None:
    """A loop is told from a chain: both send several statements, but one sends more the more it finds."""
    found = shown(verdict(EXERCISE, NEARLY["waiting"][1].answer, VARIANTS[2]))
    assert "It sends 3 statements, for 3 parcels as for 20." in found and "grow" not in found


LAB = """
from workbook import check, practice, start_lab
start_lab("02_indexes", seed={seed})
from datetime import date
import sqlalchemy as sa
from sqlalchemy import Engine, ForeignKey, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, selectinload
"""
MENDED = """
def endpoint(engine, batch):
    wanted = select(Order).where(Order.batch == batch).order_by(Order.order_id).options({options})
    with Session({engine}) as session:
        return [
            {{
                "order": order.order_id,
                "letter": order.letter,
                "lines": [{{"product": line.product_id, "quantity": line.quantity}} for line in order.lines],
            }}
            for order in session.scalars(wanted)
        ]
"""
PAST = """
other = practice("indexes-endpoint")
beside = other.url
def past(engine):
    "The judge's database, by the way that leads to the one for practice."
    return sa.create_engine(engine.url.set(host=beside.host, port=beside.port, query=beside.query), poolclass=sa.NullPool)
"""


@functools.cache
def seed() -> int:
    return next(seed for seed in range(1000) if EXERCISE.variant(seed) is VARIANTS[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "points", "says"),
    [
        (MENDED.format(options="selectinload(Order.lines)", engine="engine"), 4, "full marks"),
        (MENDED.format(options="", engine="engine"), 0, "Statements grow with the orders: 4 at 3 orders, 21 at 20."),
        (PAST + MENDED.format(options="", engine="past(engine)"), 0, "by another way than the engine"),
        (PAST + MENDED.format(options="selectinload(Order.lines)", engine="other"), 0, "the JSON is not the same"),
    ],
    ids=["mended", "delivered", "past_the_wire", "from_practice"],
)  # fmt: skip
def test_in_a_class_it_is_counted_out_of_reach(cell: str, points: int, says: str, tmp_path: Path) -> None:
    import nbformat

    from workbook.grading.notebook import grade_notebook

    cells = [LAB.format(seed=seed()), agents.shown_models(), cell, 'check("indexes-endpoint", endpoint)']
    path = tmp_path / "lab.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells]), path)
    report = grade_notebook(path)
    (graded,) = [exercise for exercise in report.exercises if exercise.id == "indexes-endpoint"]
    assert (graded.points, graded.state) == (points, "graded"), graded
    assert says in graded.message
