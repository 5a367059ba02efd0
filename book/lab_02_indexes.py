# %% [markdown]
# # Lab: indexes
#
# Eight core exercises and five further ones. Each is a small situation at work: what you hand in runs on a fresh copy of a real database, and is judged by
# what happens there, in pages, bytes of WAL and rows. Nothing is compared with a stored answer, so that several answers are right, and your
# neighbour's is probably wrong for you: a seed of your own chooses the variants.
#
# **How to work.** Read the task that `ask` shows. `practice("...")` gives you the same database to try on: `explain(sql, engine)` shows a plan with its
# pages (where the SQL has a `:name`, add the values: `explain(sql, engine, {"name": 7})`), `measure(sql, engine)` what a write truly costs, and you may add cells. Put your answer in the place of the `...`, run the cell and the one below it. Check as often as you like.
# (The two comment lines around the `...` are for a teacher's tools: leave them as they are.)
# `hint("...")`, three times at most, goes from a question to nearly the answer. Points are for answers, hints cost nothing.
#
# The core takes about seventy-five minutes. Agents are welcome.

# %%
from datetime import date

from sqlalchemy import Engine, ForeignKey, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, load_only, mapped_column, relationship, selectinload

from workbook import ask, check, explain, hint, measure, practice, progress, start_lab

# %%
start_lab("02_indexes", seed=1)

# %% [markdown]
# ## 1. One index for an equality, a range and an order
#
# Most slow queries of a shop look like this one: something is equal, something is in a range, the result is wanted in an order, and only the first few. One index can
# serve all of it. In which order its columns stand decides whether three pages are read or three hundred. *Equal, order, range* is where you begin; the pages decide.

# %%
ask("indexes-order")

# %%
one_index = (
    ### BEGIN SOLUTION
    "CREATE INDEX ON orders (country, total_cents, placed_minute)"
    ### END SOLUTION
)

# %%
check("indexes-order", one_index)

# %% [markdown]
# ## 2. No DDL
#
# The index is there, everybody is sure that it is used, and it is not. You may not change the schema: it is frozen until Monday. You may change the query.

# %%
ask("indexes-rewrite")

# %%
rewritten = (
    ### BEGIN SOLUTION
    """SELECT order_id, status, total_cents FROM orders
    WHERE total_cents >= 4900 AND total_cents < 5000 ORDER BY total_cents, order_id"""
    ### END SOLUTION
)

# %%
check("indexes-rewrite", rewritten)

# %% [markdown]
# ## 3. Act, or leave
#
# An agent has been asked how three reads could be made faster. It suggests an index for each, and each looks sensible. Whether a read gets faster by it
# shows in its plan; whether it is worth it is written in no plan: that depends on how often is read and how often is written.

# %%
ask("indexes-act")

# %%
granted = (
    ### BEGIN SOLUTION
    "CREATE INDEX ON orders (total_cents)"
    ### END SOLUTION
)

# %%
check("indexes-act", granted)

# %% [markdown]
# ## 4. The other side of the crossover
#
# In the review of a new report an agent writes: *above five per cent of the rows PostgreSQL will not use the index.* It sounds like something that one
# learns once and keeps for life. Where does PostgreSQL really change its mind?
#
# You hand in a witness, not an opinion: two values of the report's parameter, one on either side. **Look** how the rows lie, **bracket** the place, **narrow** it by halves.

# %%
ask("indexes-crossover")

# %%
crossover = (
    ### BEGIN SOLUTION
    {"index": 21_300, "sequential": 21_400}
    ### END SOLUTION
)

# %%
check("indexes-crossover", crossover)

# %% [markdown]
# ## 5. Twelve indexes, and who misses them
#
# Over two years every slow query got an index, most of them suggested by an agent, none ever dropped. Now a payment takes longer to write than to
# check, and the dashboard helpfully lists indexes that nobody has scanned for a month. Somebody is about to drop exactly those.
#
# You decide which go. An index can earn its keep in three ways, and only one of them shows in a count of scans:
#
# - **Reads:** which query would have to read more pages without it? Which other index begins with the same columns?
# - **Rules:** what would PostgreSQL accept that it refuses now?
# - **Deletes:** what has to be looked up, in another table, before a row may go?
# - **The rest:** each of them is written with every new order, and stands in the way of a HOT update if it holds the column that changes.
#
# You hand in `DROP INDEX` statements. The judge runs them on a copy, tries to break the rules, counts the pages of the reads and of a delete, and
# the WAL of an hour of writes. The budgets are measured beside it, on a copy with a sensible set of indexes.

# %%
ask("indexes-drop")

# %%
drop_indexes = (
    ### BEGIN SOLUTION
    """DROP INDEX orders_reference, orders_customer, orders_customer_placed, orders_customer_all, orders_status,
                  orders_placed, orders_coupon, orders_country, orders_total, orders_day"""
    ### END SOLUTION
)

# %%
check("indexes-drop", drop_indexes)

# %% [markdown]
# ## 6. Wrong by a hundred, on purpose
#
# The planner expects two thousand groups, twenty come; it expects two rows, two hundred come. Each such number decides on joins, memory and the order of things,
# and from outside it looks like any other number. You have seen it happen in the lesson. Now you make it happen: only who can cause a misestimate
# knows which statistics mend it.
#
# - **Believe:** from which numbers of `pg_stats` does PostgreSQL work out this estimate?
# - **Fool:** which rows keep each of these numbers right, and make the result wrong a hundredfold?
# - **Tell:** which one thing does the planner have to know? How many combinations there are (`ndistinct`), that one column follows from another (`dependencies`), how often each combination occurs (`mcv`),
#   how the values of an expression are distributed; or something simpler?
#
# You hand in a dict of two SQL texts: `data` inserts rows, `mend` tells the planner what it lacks. The judge compares what is expected with what comes:
# after your rows, after your mend, and once more after the next `ANALYZE`.

# %%
ask("indexes-estimates")

# %%
misestimate = (
    ### BEGIN SOLUTION
    {
        "data": """INSERT INTO shipments SELECT i, 'C' || i % 20, 'T' || i % 20, 'P' || i % 20, 'sent', i % 365, i % 365 + 2, i
                   FROM generate_series(1, 20000) i""",
        "mend": """CREATE STATISTICS shipments_places (ndistinct) ON country, city, carrier FROM shipments;
                   ANALYZE shipments""",
    }
    ### END SOLUTION
)

# %%
check("indexes-estimates", misestimate)

# %% [markdown]
# ## 7. Quick to read, and still HOT
#
# The read is slow, and one column changes all day. The index that one thinks of first is the one that every update has to write into from then on. Which one would you make?

# %%
ask("indexes-hot")

# %%
quiet_index = (
    ### BEGIN SOLUTION
    "CREATE INDEX ON parcels (courier_id, weight_g)"
    ### END SOLUTION
)

# %%
check("indexes-hot", quiet_index)

# %% [markdown]
# ## 8. Incident: eight indexes, each of them right
#
# Reads are fine. Writes are not, since yesterday. Nobody changed the hardware, nobody changed the traffic; somebody closed eight tickets. The evidence is in the table below:
# every number in it was measured just now.
#
# - **Find out what the eight have in common.** No single one of them is a mistake.
# - **Look for reads that could share.** What is allowed leaves room: a read need not be perfect.
# - **Look at what changes.** Which of the indexes does each look have to write into?

# %%
ask("indexes-incident")

# %%
after_the_incident = (
    ### BEGIN SOLUTION
    """DROP INDEX for_read_1, for_read_2, for_read_3, for_read_4, for_read_5, for_read_6, for_read_7, for_read_8;
    CREATE INDEX ON orders (customer_id, placed_minute);
    CREATE INDEX ON orders (placed_minute, country) WHERE status = 'open';
    CREATE INDEX ON orders (country, placed_minute) INCLUDE (total_cents);
    CREATE INDEX ON orders (lower(parcel_code))"""
    ### END SOLUTION
)

# %%
check("indexes-incident", after_the_incident)

# %% [markdown]
# ## Where you stand
#
# That was the core. `workbook check` calls the lab done when all eight have full marks.

# %%
progress()

# %% [markdown]
# ## 9. Further: the smallest index that serves three queries
#
# Three queries look at a few rows of a large table, and always at the same kind of rows. An index on all rows would serve them, and would be written with every order
# of which none of them ever asks.

# %%
ask("indexes-partial")

# %%
few_rows = (
    ### BEGIN SOLUTION
    "CREATE INDEX ON orders (customer_id) WHERE status IN ('open', 'packed')"
    ### END SOLUTION
)

# %%
check("indexes-partial", few_rows)

# %% [markdown]
# ## 10. Further: the guilty step
#
# A plan, as it comes from production: most of the pages are touched in one place; the mistake may have been made in another. Which step is to blame?

# %%
ask("indexes-guilty")

# %%
blamed = (
    ### BEGIN SOLUTION
    {
        "step": 3,
        "mend": "CREATE STATISTICS together (dependencies) ON country, city, carrier FROM orders; ANALYZE orders",
    }
    ### END SOLUTION
)

# %%
check("indexes-guilty", blamed)

# %% [markdown]
# ## 11. Further: an endpoint, and the same JSON out
#
# Models, an endpoint, tests, all green: the agent's pull request took four minutes. The test database has three orders. Production has customers with twenty, and at
# ten past nine the pool is empty. Nothing in the code looks like it: an ORM sends statements from places that look like attributes, and brings along what nobody
# will see.
#
# The indexes are as they should be, this time. What is wrong is how often the database is asked, and for what.
#
# - **Count:** how many statements, rows and kilobytes come for three entries, and how many for twenty?
# - **Follow the arrows:** from many to one a join multiplies nothing; from one to many it repeats the one; two collections side by side it multiplies.
# - **Ask for what is shown:** which rows, which columns, which numbers does the JSON hold?
#
# These are the agent's models. Run the cell; they stay as they are.

# %%
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

# %%
ask("indexes-endpoint")

# %% [markdown]
# Copy the agent's function to where the second `...` stands, and mend it there.

# %%
endpoint = ...
### BEGIN SOLUTION
def endpoint(engine: Engine, carrier: str) -> list[dict]:
    wanted = select(Parcel).where(Parcel.carrier == carrier, Parcel.sent_on.is_(None))
    with Session(engine) as session:
        parcels = session.scalars(
            wanted.order_by(Parcel.parcel_id).options(joinedload(Parcel.order).joinedload(Order.customer))
        )
        return [
            {
                "parcel": parcel.parcel_id,
                "placed_on": parcel.order.placed_on.isoformat(),
                "customer": parcel.order.customer.name if parcel.order.customer else None,
                "country": parcel.order.customer.country if parcel.order.customer else None,
            }
            for parcel in parcels
        ]
### END SOLUTION

# %%
check("indexes-endpoint", endpoint)

# %% [markdown]
# ## 12. Further: into service beside writers
#
# The right index, deployed at noon: for forty seconds nobody could order anything. On the empty table of the test system it took two milliseconds.

# %%
ask("indexes-online")

# %%
deployment = (
    ### BEGIN SOLUTION
    """CREATE INDEX CONCURRENTLY orders_customer_placed ON orders (customer_id, placed_minute);
    DROP INDEX CONCURRENTLY orders_customer"""
    ### END SOLUTION
)

# %%
check("indexes-online", deployment)

# %% [markdown]
# ## 13. Further: the check before the agent
#
# From next week on agents deliver index designs, ten a day, each with measurements. You will not read them all. You write what reads them: the goals are a business's,
# the measurements are a sample's, and between the two is what you know.
#
# You hand in a function: write `def accept(small, large):` where the `...` stands.

# %%
ask("indexes-budget")

# %%
accept = ...
### BEGIN SOLUTION
def accept(small, large):
    for read, limit in {"queue_pages": 60, "lookup_pages": 10}.items():
        if large[read] * (large[read] / small[read]) ** 2 > limit:
            return False
    return (3000 * large["insert_wal"] + 100 * large["update_wal"]) / 1e6 <= 1.25
### END SOLUTION

# %%
check("indexes-budget", accept)

# %% [markdown]
# ## What you can do now
#
# You can say what an index costs before it exists, find the one that eight queries share, tell a wrong estimate from a dear step, say what an endpoint sends before it is
# slow, and write down what an agent's design has to keep to. In a week, run `python3 start.py reset 02_indexes` (the old file stays) and take the exercise that you
# liked least: your seed stays, your answers do not.

# %%
progress()
