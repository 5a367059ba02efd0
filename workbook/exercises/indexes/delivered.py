"""What the agent delivered: the models of a shop, and six endpoints on them. Each answers rightly.

    Supplier ◀── Product ◀── OrderLine ──▶ Order ──▶ Customer
                                             ▲
                                           Parcel

The learner is shown this code as it stands here (`shown`), and the models stand in a cell of the lab. It is the code
that one writes and reads every day. A test on three orders is green; what is wrong shows in what is sent for twenty.

    >>> print(shown(history).splitlines()[0])
    def endpoint(engine: Engine, customer_id: int) -> list[dict]:

Source: SQLAlchemy 2.1's documentation, "Relationship Loading Techniques": a relationship is loaded when it is first
read, unless told otherwise. Left out: async sessions, where the same code raises MissingGreenlet instead of being slow.
"""

import inspect
import textwrap
from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import Engine, ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

Json = list[dict[str, Any]]
Endpoint = Callable[..., Json]


TABLES = """
CREATE TABLE suppliers (supplier_id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE products (
    product_id int PRIMARY KEY, category text NOT NULL, name text NOT NULL, price_cents int NOT NULL, description text NOT NULL,
    supplier_id int REFERENCES suppliers
);
CREATE TABLE customers (customer_id int PRIMARY KEY, name text NOT NULL, country text NOT NULL);
CREATE TABLE orders (order_id int PRIMARY KEY, customer_id int REFERENCES customers, batch int, placed_on date NOT NULL, letter text);
CREATE TABLE order_lines (
    order_id int REFERENCES orders, line_no int, product_id int NOT NULL REFERENCES products, quantity int NOT NULL, note text,
    PRIMARY KEY (order_id, line_no)
);
CREATE TABLE parcels (parcel_id int PRIMARY KEY, order_id int NOT NULL REFERENCES orders, carrier text NOT NULL, sent_on date);
"""
ROWS = """
INSERT INTO suppliers SELECT s, (ARRAY['Nordlicht', 'Salt & Co', 'Weber', 'Atelier 9', 'Finch'])[(s + {salt}) % 5 + 1] FROM generate_series(1, 59) s;
INSERT INTO products
    SELECT p, 'shelf-' || p % 20, (ARRAY['Lamp', 'Chair', 'Mug', 'Rug', 'Shelf', 'Clock', 'Bowl'])[(p * 31 + {salt}) % 7 + 1], p * 7919 % 12 * 500 + 400 + {salt},
        (SELECT string_agg(md5(p || '-' || n), '') FROM generate_series(1, 180) n), CASE WHEN p % 7 > 0 THEN p * 7 % 59 + 1 END
    FROM generate_series(1, 400) p WHERE NOT (p % 20 = 9 AND p > 60 OR p % 20 = 13) ORDER BY p * 7907 % 10007;
INSERT INTO customers
    SELECT c, (ARRAY['Anna', 'Ben', 'Chloe', 'Dario', 'Emil', 'Fatma', 'Gus'])[(c * 13 + {salt}) % 7 + 1], CASE WHEN c > 585 THEN (ARRAY['AD', 'LI', 'MC', 'SM', 'VA'])[c % 5 + 1]
        ELSE (string_to_array('AT BE BG CH CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL NO PL PT RO SE SI SK', ' '))[c % 29 + 1] END
    FROM generate_series(1, 600) c ORDER BY c * 7919 % 10007;
INSERT INTO orders
    WITH wanted (customer_id, batch, many) AS (
        SELECT c, NULL::int, CASE c % 100 WHEN 7 THEN 3 WHEN 42 THEN 20 WHEN 50 THEN 120 WHEN 99 THEN 0 ELSE c * 7919 % 6 END FROM generate_series(1, 600) c
        UNION ALL SELECT NULL, b, CASE b % 10 WHEN 3 THEN 3 WHEN 0 THEN 20 WHEN 9 THEN 0 ELSE 8 END FROM generate_series(1, 40) b
        UNION ALL SELECT NULL, NULL, 200
    ), numbered AS (
        SELECT row_number() OVER (ORDER BY (coalesce(customer_id, 0) * 7919 + coalesce(batch, 0) * 104729 + n * 1299709) % 1000003, customer_id, batch, n)::int AS o,
            customer_id, batch
        FROM wanted, generate_series(1, many) n
    )
    SELECT o, customer_id, batch, date '2025-03-01' + {salt} + o * 37 % 40,
        CASE WHEN batch > 0 THEN repeat('Dear order ' || o || ', with love, ' || {salt} || '. ', 50) END
    FROM numbered ORDER BY o * 7919 % 10007;
INSERT INTO order_lines
    SELECT o, l, (o * 11 + l / 2 * 29) % 12 * 20 + 1, (o * 3 + l * 5 + {salt}) % 4 + 1, CASE WHEN (o + l + {salt}) % 5 = 0 THEN 'for ' || l END
    FROM (SELECT order_id FROM orders) x (o), generate_series(1, o * 7 % 13) l ORDER BY (o * 31 + l * 7919) % 10007, o, l;
INSERT INTO parcels
    WITH every AS (
        SELECT row_number() OVER (ORDER BY o * 7919 % 10007, n)::int AS p, o
        FROM (SELECT order_id FROM orders WHERE batch IS NULL) x (o), generate_series(1, o * 5 % 9) n
    ), carried AS (SELECT p, o, p % 12 AS k, row_number() OVER (PARTITION BY p % 12 ORDER BY p * 104729 % 99991) AS place FROM every)
    SELECT p, o, 'carrier-' || k, CASE WHEN place > CASE k % 4 WHEN 1 THEN 3 WHEN 2 THEN 20 WHEN 3 THEN 0 ELSE 8 END THEN date '2025-04-15' + p % 9 + {salt} END
    FROM carried ORDER BY p * 7919 % 10007;
"""
INDEXES = """
CREATE INDEX products_category ON products (category);
CREATE INDEX customers_country ON customers (country);
CREATE INDEX orders_customer ON orders (customer_id, order_id);
CREATE INDEX orders_batch ON orders (batch);
CREATE INDEX parcels_order ON parcels (order_id);
CREATE INDEX parcels_waiting ON parcels (carrier) WHERE sent_on IS NULL;
"""


class Base(DeclarativeBase):
    pass


class Supplier(Base):
    __tablename__ = "suppliers"
    supplier_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Product(Base):
    __tablename__ = "products"
    product_id: Mapped[int] = mapped_column(primary_key=True)
    category: Mapped[str]
    name: Mapped[str]
    price_cents: Mapped[int]
    description: Mapped[str]
    supplier_id: Mapped[int | None] = mapped_column(ForeignKey("suppliers.supplier_id"))
    supplier: Mapped[Supplier | None] = relationship()


class Customer(Base):
    __tablename__ = "customers"
    customer_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str]
    orders: Mapped[list["Order"]] = relationship(order_by="Order.order_id", back_populates="customer")


class Order(Base):
    __tablename__ = "orders"
    order_id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.customer_id"))
    batch: Mapped[int | None]
    placed_on: Mapped[date]
    letter: Mapped[str | None]
    customer: Mapped[Customer | None] = relationship(back_populates="orders")
    lines: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.line_no")
    parcels: Mapped[list["Parcel"]] = relationship(order_by="Parcel.parcel_id", back_populates="order")


class OrderLine(Base):
    __tablename__ = "order_lines"
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    line_no: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.product_id"))
    quantity: Mapped[int]
    note: Mapped[str | None]


class Parcel(Base):
    __tablename__ = "parcels"
    parcel_id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.order_id"))
    carrier: Mapped[str]
    sent_on: Mapped[date | None]
    order: Mapped[Order] = relationship(back_populates="parcels")


MODELS: tuple[type, ...] = (Base, Supplier, Product, Customer, Order, OrderLine, Parcel)


def history(engine: Engine, customer_id: int) -> list[dict]:
    wanted = select(Order).where(Order.customer_id == customer_id)
    with Session(engine) as session:
        orders = session.scalars(wanted.order_by(Order.placed_on.desc(), Order.order_id.desc()))
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


def slips(engine: Engine, batch: int) -> list[dict]:
    with Session(engine) as session:
        orders = session.scalars(select(Order).where(Order.batch == batch).order_by(Order.order_id))
        return [
            {
                "order": order.order_id,
                "letter": order.letter,
                "lines": [{"product": line.product_id, "quantity": line.quantity} for line in order.lines],
            }
            for order in orders
        ]


def waiting(engine: Engine, carrier: str) -> list[dict]:
    wanted = select(Parcel).where(Parcel.carrier == carrier, Parcel.sent_on.is_(None))
    with Session(engine) as session:
        parcels = session.scalars(wanted.order_by(Parcel.parcel_id))
        return [
            {
                "parcel": parcel.parcel_id,
                "placed_on": parcel.order.placed_on.isoformat(),
                "customer": parcel.order.customer.name if parcel.order.customer else None,
                "country": parcel.order.customer.country if parcel.order.customer else None,
            }
            for parcel in parcels
        ]


def shelf(engine: Engine, category: str) -> list[dict]:
    wanted = select(Product).where(Product.category == category)
    with Session(engine) as session:
        products = session.scalars(wanted.order_by(Product.price_cents, Product.product_id))
        return [
            {
                "product": product.product_id,
                "name": product.name,
                "price_cents": product.price_cents,
                "supplier": product.supplier.name if product.supplier else None,
            }
            for product in products
        ]


def board(engine: Engine, country: str) -> list[dict]:
    with Session(engine) as session:
        customers = session.scalars(select(Customer).where(Customer.country == country).order_by(Customer.customer_id))
        return [
            {
                "customer": customer.customer_id,
                "name": customer.name,
                "orders": len(customer.orders),
                "pieces": sum(line.quantity for order in customer.orders for line in order.lines),
                "latest": max((order.placed_on.isoformat() for order in customer.orders), default=None),
            }
            for customer in customers
        ]


def page(engine: Engine, customer_id: int, before: int) -> list[dict]:
    wanted = select(Order).where(Order.customer_id == customer_id).order_by(Order.order_id.desc())
    with Session(engine) as session:
        orders = session.scalars(wanted.options(joinedload(Order.lines))).unique()
        older = [order for order in orders if order.order_id < before]
        return [
            {
                "order": order.order_id,
                "placed_on": order.placed_on.isoformat(),
                "lines": [
                    {"product": line.product_id, "quantity": line.quantity, "note": line.note} for line in order.lines
                ],
            }
            for order in older[:10]
        ]


def shown(endpoint: Endpoint) -> str:
    """The source of an endpoint as a learner is shown it: each is called `endpoint`."""
    source = textwrap.dedent(inspect.getsource(endpoint))
    return source.replace(f"def {endpoint.__name__}(", "def endpoint(", 1).rstrip()


def shown_models() -> str:
    """The source of the models, as it stands in the lab."""
    return "\n\n\n".join(inspect.getsource(model).rstrip() for model in MODELS)
