# %% [markdown]
# # Indexes, appendix: nine more surprises
#
# What did not fit into the three evenings. Each section stands alone (only the table at the end needs sections 2, 4 and 5) and takes three minutes: a sentence that you have heard, a prediction, a
# measurement. Read the one that your working day brings up.

# %%
from sqlalchemy import text

from workbook import explain, predict, read_plan, shop, tpch
from workbook.draw.charts import bars

# %%
engine = shop(orders=300_000)


def run(sql, on=engine):
    with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(sql))


# %% [markdown]
# ## 1. "Two indexes can be combined, so one a column is enough"
#
# Which orders of the best customer are paid and not yet shipped? There is an index on the customer, with more than a thousand orders, and one on the status, with more than a thousand paid orders. Neither order nor
# `LIMIT` is asked for, so both can be used together. Only the few orders that match need to be read. How many pages?

# %%
run("CREATE INDEX IF NOT EXISTS one_customer ON orders (customer_id)")
run("CREATE INDEX IF NOT EXISTS one_status ON orders (status)")
paid = "SELECT order_id FROM orders WHERE customer_id = 1 AND status = 'paid'"
guess = predict("appendix-bitmap-and", between=(..., ...))

# %%
combined = explain(paid, engine)
combined

# %%
guess.measured(combined.buffers)

# %%
run("CREATE INDEX IF NOT EXISTS customer_status ON orders (customer_id, status)")
composite = explain(paid, engine)
print(f"two indexes combined: {combined.buffers} pages, one on both: {composite.buffers}")
assert combined.find(kind="BitmapAnd") and composite.buffers.value < combined.buffers.value

# %% [markdown]
# Each index gives a bitmap of places, the engine takes what is in both, and reads the table for those alone. It works well. The composite does better, costs one index in every write and not two, and keeps an order,
# which a bitmap loses. Two indexes are right where people filter by *any* of many columns.

# %% [markdown]
# ## 2. "A partial index serves any filter on its column"
#
# Orders that wait are few. An index that holds *only them* is tiny:

# %%
run("DROP INDEX IF EXISTS one_customer, one_status, customer_status")
run("CREATE INDEX IF NOT EXISTS all_orders ON orders (status, placed_at)")
run("CREATE INDEX IF NOT EXISTS waiting ON orders (placed_at) WHERE status = 'placed'")
with engine.connect() as connection:
    sizes = text("SELECT pg_relation_size('all_orders') / 8192, pg_relation_size('waiting') / 8192")
    full_pages, partial_pages = connection.execute(sizes).one()
print(f"whole index {full_pages:,} pages, partial index {partial_pages}")
assert full_pages > 100 * partial_pages

# %% [markdown]
# Now the whole index goes. Three queries for the twenty oldest: those that wait; those that wait, by a **parameter**, from a prepared statement whose plan is kept; those that wait *or* are
# paid. Which of them does the partial index serve: `"first"`, `"first and second"`, `"all"`?

# %%
guess = predict("appendix-partial", choice=..., confidence=...)

# %%
run("DROP INDEX IF EXISTS all_orders")
oldest = "SELECT order_id FROM orders WHERE status {} ORDER BY placed_at LIMIT 20"
literal = explain(oldest.format("= 'placed'"), engine)
wider = explain(oldest.format("IN ('placed', 'paid')"), engine)

# %%
with engine.begin() as connection:
    connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
    connection.execute(text(f"PREPARE oldest (text) AS {oldest.format('= $1')}"))
    said = connection.execute(text("EXPLAIN (ANALYZE, BUFFERS) EXECUTE oldest('placed')")).scalars()
    kept = read_plan("\n".join(said))
    connection.execute(text("DEALLOCATE oldest"))

# %%
served = {"first": literal, "second": kept, "third": wider}
print(*(f"{name}: {plan.buffers} pages" for name, plan in served.items()), sep="\n")
guess.measured(" and ".join(name for name, plan in served.items() if plan.find(index="waiting")))

# %%
assert literal.find(index="waiting")
assert kept.buffers.value > 100 * literal.buffers.value
assert wider.buffers.value > 100 * literal.buffers.value

# %% [markdown]
# The planner has to *prove* that the query wants nothing beyond the index's own condition. `'paid'` is beyond it. And of a parameter it knows nothing when it plans for every value at once. PostgreSQL may do so from a
# statement's sixth execution on, where such a plan looks no dearer; many drivers prepare statements on their own. Here you forced it: left alone, PostgreSQL sees that the plan for every value looks far dearer, and plans anew each time. Write the status of a partial index into the query as a literal.

# %% [markdown]
# ## 3. "LIKE 'abc%' uses the index"
#
# The support desk types the beginning of an email. The databases of this workbook compare text byte by byte (the collation `C`), and there it does. At work, your database probably sorts as a language
# does. Which collations of that kind has this machine?

# %%
run("CREATE INDEX IF NOT EXISTS email ON customers (email)")
begins = "SELECT customer_id FROM customers WHERE email LIKE 'Anna12%'"
bytewise = explain(begins, engine)
with engine.connect() as connection:
    known = """SELECT quote_ident(collname) FROM pg_collation
               WHERE collprovider = 'c' AND collencoding = pg_char_to_encoding('UTF8')
               ORDER BY collname LIKE 'en%' DESC, collname"""
    collation = connection.execute(text(known)).scalars().first()
print(f"collation C: {bytewise.buffers} pages. Also here: {collation}")

# %% [markdown]
# The column now gets that collation, and its index is built anew. The table has 267 pages. How many does the same query touch?

# %%
guess = predict("appendix-like", between=(..., ...))

# %%
run(f"ALTER TABLE customers ALTER email TYPE text COLLATE {collation}")
language = explain(begins, engine)
guess.measured(language.buffers)

# %%
run("CREATE INDEX IF NOT EXISTS email_pattern ON customers (email text_pattern_ops)")
pattern = explain(begins, engine)
print(f"{language.root.kind}: {language.buffers} pages. With text_pattern_ops: {pattern.buffers}")
assert language.find(kind="Seq Scan") and language.buffers.value > 10 * pattern.buffers.value

# %% [markdown]
# Under a language's rules, what begins with the same letters need not stand together, so PostgreSQL does not even try. `text_pattern_ops` makes an index that compares character by character. (`C.utf8` sorts by code points, but the
# planner goes by the name. From PostgreSQL 17 on a database may use the built-in provider's `C.UTF-8`, where the plain index does serve.)
#
# And the *end* of an email, `LIKE '%42@example.com'`? A sorted list knows beginnings. Turn the text round, in an index on an expression, and the end becomes one:

# %%
ends = explain("SELECT customer_id FROM customers WHERE email LIKE '%1742@example.com'", engine)
run("CREATE INDEX IF NOT EXISTS backwards ON customers (reverse(email) text_pattern_ops)")
run("ANALYZE customers")
turned = "SELECT customer_id FROM customers WHERE reverse(email) LIKE reverse('%1742@example.com')"
turned = explain(turned, engine)
print(f"LIKE '%1742...': {ends.buffers} pages. Turned round: {turned.buffers}")
assert ends.rows.value == turned.rows.value and ends.buffers.value > 20 * turned.buffers.value

# %% [markdown]
# For a part in the middle there is the extension `pg_trgm` with a GIN index. It is not in this workbook's server, so nothing is claimed about it here.

# %% [markdown]
# ## 4. "COUNT(*) is metadata"
#
# The list of order lines wants a total at its top. Surely the database knows how many rows a table has. How many pages does `SELECT count(*) FROM order_lines` touch?

# %%
guess = predict("appendix-count", between=(..., ...))

# %%
count = explain("SELECT count(*) FROM order_lines", engine)
guess.measured(count.buffers)

# %%
with engine.connect() as connection:
    known = text("SELECT reltuples FROM pg_class WHERE relname = 'order_lines'")
    estimate = connection.execute(known).scalar_one()
print(f"counted: {count.buffers} pages, the whole table. An estimate is kept: {estimate:,.0f}")
assert count.buffers.value > 4000

# %% [markdown]
# Two people may see different numbers of rows at the same moment, so nobody can keep *the* number. It has to be counted, row by row, on the table or on an index where the planner finds that cheaper; both grow with every order. InnoDB
# counts too. Often an estimate will do (`reltuples`, as fresh as the last `ANALYZE` or `VACUUM`), or "more than a thousand", with a `LIMIT` in a subquery.

# %% [markdown]
# ## 5. "SELECT * is harmless"
#
# The dates of the best customer, who has more than 1,700 orders, from an index that carries them. The ORM fetches the whole object "in case it is needed". The first needs ten pages. And the second?

# %%
run("CREATE INDEX IF NOT EXISTS dates ON orders (customer_id) INCLUDE (placed_at)")
two = explain("SELECT customer_id, placed_at FROM orders WHERE customer_id = 1", engine)
guess = predict("appendix-star", between=(..., ...))

# %%
star = explain("SELECT * FROM orders WHERE customer_id = 1", engine)
guess.measured(star.buffers)

# %%
print(f"two columns: {two.buffers} pages ({two.root.kind}); all: {star.buffers} ({star.root.kind})")
assert two.buffers.value == 10 and star.buffers.value > 40 * two.buffers.value

# %% [markdown]
# One column more than the index holds, and every row must be fetched from the table. It also breaks *later*: somebody adds a column, nobody touches the query, and its index no longer covers it.

# %% [markdown]
# ## 6. "NOT IN is NOT EXISTS"
#
# Nine products have no photo. The photos come from an upload, and one of them belongs to no product (yet). How many products does `NOT IN` find?

# %%
run("DROP TABLE IF EXISTS photos")
photos = """CREATE TABLE photos AS
            SELECT product_id FROM products WHERE product_id > 9 UNION ALL SELECT NULL"""
run(photos)
guess = predict("appendix-not-in", between=(..., ...))

# %%
not_in = "SELECT product_id FROM products WHERE product_id NOT IN (SELECT product_id FROM photos)"
not_exists = """SELECT product_id FROM products p
                WHERE NOT EXISTS (SELECT 1 FROM photos f WHERE f.product_id = p.product_id)"""
with engine.connect() as connection:
    found = [len(connection.execute(text(sql)).all()) for sql in (not_in, not_exists)]
guess.measured(found[0])

# %%
print(f"NOT IN finds {found[0]}, NOT EXISTS finds {found[1]}")
assert found == [0, 9]

# %% [markdown]
# Is product 3 *not* equal to something unknown? Nobody knows, so the row is left out, and with one `NULL` in the list so is every other row. It is no bug; it is what the standard says, and others obey it as well:

# %%
for kind in ("sqlite", "duckdb"):
    other = shop(kind=kind)
    with other.begin() as connection:
        connection.execute(text(photos))
        found = [len(connection.execute(text(sql)).all()) for sql in (not_in, not_exists)]
    print(f"{kind}: NOT IN finds {found[0]}, NOT EXISTS finds {found[1]}")
    assert found == [0, 9]

# %% [markdown]
# And it may be far dearer too: PostgreSQL 18 does not make an anti join (which keeps the rows without a partner) of `NOT IN`. Customers without orders, as the planner sees it (its belief, without running either):

# %%
pairs = "customers c WHERE c.customer_id NOT IN (SELECT customer_id FROM orders)"
anti = "customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.customer_id)"
plans = [explain(f"SELECT FROM {rest}", engine, analyze=False) for rest in (pairs, anti)]
believed = [plan.cost.value for plan in plans]
print(f"cost of NOT IN: {believed[0]:,.0f}, of NOT EXISTS: {believed[1]:,.0f}")
assert believed[0] > 1000 * believed[1]

# %% [markdown]
# The list of all orders' customers does not fit into the memory of a hash table (`work_mem` times `hash_mem_multiplier`, 8 MB here), so it would be read again for each customer.

# %% [markdown]
# ## 7. "Skip scans are a thing of PostgreSQL 18"
#
# SQLite, the same shop with 50,000 orders, the index `(status, customer_id)`, a query on the customer alone. SQLite counts no pages by step; its machine counts the instructions that it runs. By what factor does `ANALYZE` change them?

# %%
lite = shop(kind="sqlite")
run("CREATE INDEX IF NOT EXISTS status_customer ON orders (status, customer_id)", on=lite)
account = "SELECT order_id, placed_at FROM orders WHERE customer_id = 77"
scanned = explain(account, lite)
guess = predict("appendix-sqlite", between=(..., ...))

# %%
run("ANALYZE", on=lite)
skipped = explain(account, lite)
before, after = (plan.root.number("vm_steps").value for plan in (scanned, skipped))
guess.measured(round(before / after))

# %%
sentence = skipped.find(relation="orders")[0].details["sentence"]
print(f"{before:,} steps before ANALYZE, {after} after: {sentence}")
assert before > 100 * after and "ANY(status)" in sentence

# %% [markdown]
# `ANY(status)` is SQLite's word for the skip. It skips only where it knows that the front column repeats often, and without statistics it does not guess.

# %% [markdown]
# ## 8. "An index on the date makes the report fast"
#
# TPC-H, query 6: one year of revenue by date, discount and quantity. The agent proposes an index on the ship date, and the plan confirms that it is used. The table has more than ten thousand pages.

# %%
reports = tpch()
revenue = """SELECT sum(l_extendedprice * l_discount) FROM lineitem
             WHERE l_shipdate >= date '1994-01-01' AND l_shipdate < date '1995-01-01'
               AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24"""
whole = explain(revenue, reports)
guess = predict("appendix-report", between=(..., ...))

# %%
run("CREATE INDEX IF NOT EXISTS shipdate ON lineitem (l_shipdate)", on=reports)
dated = explain(revenue, reports)
guess.measured(dated.buffers)

# %%
run("""CREATE INDEX IF NOT EXISTS report ON lineitem
       (l_shipdate, l_discount, l_quantity) INCLUDE (l_extendedprice)""", on=reports)
covered = explain(revenue, reports)
measured = {"no index": whole, "on the date": dated, "on all that it reads": covered}
bars({name: plan.buffers.value for name, plan in measured.items()}, "Query 6", unit="pages")

# %%
assert dated.find(index="shipdate") and dated.buffers.value > 0.9 * whole.buffers.value
assert covered.buffers.value < 0.1 * whole.buffers.value

# %% [markdown]
# One year in seven is scattered over nearly every page, so the index on the date is used, and useless. The index that covers the report works, at more than a quarter of the table's bytes, and serves this one report. If it runs once a night: leave everything as it
# is.

# %%
with reports.connect() as connection:
    share = "SELECT pg_relation_size('report')::float / pg_relation_size('lineitem')"
    share = connection.execute(text(share)).scalar_one()
print(f"the covering index is {share:.0%} of the table")
assert share > 0.25

# %% [markdown]
# ## 9. "DuckDB needs indexes too"
#
# DuckDB, half a million orders, no index on the time. A week of orders. It keeps rows in groups of 122,880, each with the least and the largest value of every column: a **zone map**. How many of five groups does it read?

# %%
duck = shop(kind="duckdb", orders=500_000)
week = "SELECT count(status) FROM orders WHERE placed_at BETWEEN '2024-06-01' AND '2024-06-08'"
guess = predict("appendix-zones", between=(..., ...))

# %%
in_order = explain(week, duck)
in_order

# %%
orders = in_order.find(relation="orders")[0]
print(f"{orders.number('row_groups_total')} groups of orders")
guess.measured(orders.number("row_groups_scanned"))

# %%
one_price = "SELECT sum(quantity) FROM order_lines WHERE unit_price_cents = 777"
scattered = explain(one_price, duck).find(relation="order_lines")[0]
read, total = scattered.number("row_groups_scanned"), scattered.number("row_groups_total")
print(f"one price, scattered: {read} of {total} groups")
assert orders.number("row_groups_scanned").value == 1 < orders.number("row_groups_total").value
assert read.value == total.value > 1

# %% [markdown]
# Orders arrive in the order of time, so a week lies in one group, and the others are left out without anybody having built or paid for anything. Prices are scattered: every group might hold one, and all are read. (It reads the two columns
# that the query names and no more, which is why a column store can afford it.) DuckDB has `CREATE INDEX`, too. What would it change?

# %%
with duck.begin() as connection:
    connection.execute(text("CREATE INDEX IF NOT EXISTS times ON orders (placed_at)"))
    connection.execute(text("CREATE INDEX IF NOT EXISTS prices ON order_lines (unit_price_cents)"))
queries = {"a week": (week, "orders"), "one price": (one_price, "order_lines")}
queries["cheaper"] = (one_price.replace("= 777", "< 777"), "order_lines")
queries["cheapest"] = (one_price.replace("= 777", "< 203"), "order_lines")
queries["ten prices"] = (one_price.replace("= 777", "BETWEEN 777 AND 786"), "order_lines")
after = {name: explain(sql, duck).find(relation=table)[0] for name, (sql, table) in queries.items()}
groups = {name: scan.number("row_groups_scanned").value for name, scan in after.items()}
print(groups)
every = total.value
assert groups == {"a week": 1, "one price": 0, "cheaper": every, "cheapest": 0, "ten prices": every}

# %%
with duck.begin() as connection:
    connection.execute(text("DROP INDEX times"))
    connection.execute(text("DROP INDEX prices"))

# %% [markdown]
# Nothing, for the week, nor for the cheaper lines: DuckDB asks its tree (an ART) only where few rows match (some two thousand, or a thousandth of the table if that is more), and not for a range with two ends. For *one* price it does, and for
# the very cheapest, and no group is read. So an index there is for keys and for rare lookups; reports live on order. PostgreSQL has the same idea for whoever asks for it: a BRIN index.

# %%
run("""CREATE INDEX IF NOT EXISTS blocks
       ON orders USING brin (placed_at) WITH (pages_per_range = 16)""")
brin = explain(week, engine)
with engine.connect() as connection:
    brin_kb = connection.execute(text("SELECT pg_relation_size('blocks') / 1024")).scalar_one()
print(f"BRIN: an index of {brin_kb} kB, {brin.buffers} pages touched of 2,240")
assert brin.find(index="blocks") and brin.buffers.value < 100

# %% [markdown]
# ## The same in production
#
# All of this was measured in the profile `counting` (PostgreSQL 18, 300,000 orders; TPC-H at scale 0.1; SQLite; DuckDB 2). Some of the claims of sections 2, 4 and 5 again, under PostgreSQL's own defaults; run those
# sections first.

# %%
production = shop(orders=300_000, profile="production")
run("CREATE INDEX ON orders (placed_at) WHERE status = 'placed'", on=production)
run("CREATE INDEX ON orders (customer_id) INCLUDE (placed_at)", on=production)
claims = {
    "served by the partial index": (oldest.format("= 'placed'"), literal),
    "beyond it": (oldest.format("IN ('placed', 'paid')"), wider),
    "two columns": ("SELECT customer_id, placed_at FROM orders WHERE customer_id = 1", two),
    "SELECT *": ("SELECT * FROM orders WHERE customer_id = 1", star),
    "count(*)": ("SELECT count(*) FROM order_lines", count),
}

# %%
there = {claim: explain(sql, production).buffers.value for claim, (sql, _) in claims.items()}
print(f"{'pages':30}{'counting':>10}{'production':>12}")
for claim, (_, plan) in claims.items():
    print(f"{claim:30}{plan.buffers.value:>10,.0f}{there[claim]:>12,.0f}")
assert there["beyond it"] > 100 * there["served by the partial index"]
assert there["SELECT *"] > 40 * there["two columns"]

# %% [markdown]
# **To read**: PostgreSQL's manual, *Combining Multiple Indexes*, *Partial Indexes*, *Operator Classes and Operator Families*, *BRIN Indexes*; SQLite's *The Query Optimizer Overview* (the skip-scan optimization); Moerkotte, *Small Materialized Aggregates* (VLDB 1998),
# where zone maps come from. **Practise**: the further exercises of `labs/02_indexes.ipynb`.
