# %% [markdown]
# # Indexes, third evening: paying for writes
#
# Every index is a copy of some columns that must be kept right, in every write, for as long as it exists. An agent that is asked to make reads
# fast adds indexes. Who is asked what they cost?
#
# Thirty-five minutes. At the end you know the price of an index before you make it, and when to leave everything as it is.

# %%
from itertools import pairwise

from sqlalchemy import text

from workbook import database_of, explain, measure, predict, shop

# %%
engine = shop(orders=100_000)

# %% [markdown]
# ## 1. What one insert costs
#
# `measure` runs a transaction, commits it, and counts all that it did: pages touched, and bytes written to the write-ahead log (WAL), the journal that
# every change goes through before it counts as saved. You copy ten thousand orders into a table without any index.

# %%
def copy_orders(*indexes, on=engine):
    """Make an empty copy of orders with these columns indexed, fill it, and say what the filling cost."""
    with on.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS copies"))
        connection.execute(text("CREATE TABLE copies (LIKE orders)"))
        for columns in indexes:
            connection.execute(text(f"CREATE INDEX ON copies ({columns})"))
    return measure("INSERT INTO copies SELECT * FROM orders WHERE order_id <= 10000", on)

# %%
bare = copy_orders()
print(f"{bare.wal_bytes / 10_000:.0f} bytes of WAL a row, {bare.buffers / 10_000:.1f} pages")

# %% [markdown]
# Now with six indexes, as a helpful agent leaves behind. How many times as much WAL?

# %%
six = ("order_id", "customer_id", "status", "placed_at", "customer_id, placed_at", "status, placed_at")
guess = predict("writes-six-indexes", between=(..., ...))

# %%
costs = [copy_orders(*six[:count]) for count in range(7)]
guess.measured(round(costs[6].wal_bytes / costs[0].wal_bytes, 1))

# %%
print("indexes  WAL bytes a row  pages a row")
for count, cost in enumerate(costs):
    print(f"{count:7}{cost.wal_bytes / 10_000:17.0f}{cost.buffers / 10_000:13.1f}")

# %%
assert all(less.wal_bytes < more.wal_bytes for less, more in pairwise(costs))
assert costs[6].wal_bytes > 4 * costs[0].wal_bytes

# %% [markdown]
# WAL is not only disk. Each byte of it goes to the replicas and into the backups, and a restart after a crash reads again what came since the last checkpoint. An index that no query
# uses, that guards no rule and spares no delete, costs all of this and gives nothing.

# %% [markdown]
# ## 2. What an update costs
#
# PostgreSQL never changes a row in place: an update writes a new version of it. Where there is room on the same page *and no indexed column changed*, the indexes need
# not hear of it. That is a heap-only tuple (HOT) update. The shop marks two thousand orders as paid; `status` has no index. How many of the updates are HOT?

# %%
def new_desk(*indexes, on):
    """A table of two thousand orders with room on each page, and these columns indexed."""
    with on.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS desk"))
        connection.execute(text("CREATE TABLE desk (LIKE orders) WITH (fillfactor = 50)"))
        connection.execute(text("INSERT INTO desk SELECT * FROM orders WHERE order_id <= 2000"))
        for columns in indexes:
            connection.execute(text(f"CREATE INDEX ON desk ({columns})"))

# %%
fresh = shop(orders=100_000)
new_desk("customer_id", on=fresh)

# %%
guess = predict("writes-hot", between=(..., ...))

# %%
pay = "UPDATE desk SET status = 'paid'"
hot = measure(pay, fresh)
guess.measured(hot.tuples["desk"].hot_updated)

# %% [markdown]
# `fillfactor = 50` left half of each page free, so there was room. Now somebody adds an index on `status`, "so that the dashboard is fast". Nothing else changes.

# %%
new_desk("customer_id", "status", on=fresh)

# %%
guess = predict("writes-not-hot", between=(..., ...))

# %%
cold = measure(pay, fresh)
guess.measured(cold.tuples["desk"].hot_updated)

# %%
for name, cost in (("status without an index", hot), ("with one", cold)):
    print(f"{name:24} {cost.tuples['desk'].hot_updated:>5,} HOT {cost.wal_bytes:>9,} bytes of WAL")
assert hot.tuples["desk"].hot_updated == 2000 and cold.tuples["desk"].hot_updated == 0
assert cold.wal_bytes > 1.5 * hot.wal_bytes

# %% [markdown]
# Not some of them: none. An index on the one column that changes makes *every* update that changes it write to *all* indexes, `customer_id` too, which did not change. A partial index that
# mentions `status` in its `WHERE` does the same.

# %% [markdown]
# ## 3. What a delete costs
#
# Each line belongs to an order: `REFERENCES orders`. A foreign key is checked when a parent goes: is there still a child? The agent's migration declares the key, as it should.

# %%
def new_notes(on):
    """A table whose rows refer to orders, and twenty orders to which nothing refers."""
    with on.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS notes"))
        connection.execute(text("CREATE TABLE notes (order_id bigint)"))
        connection.execute(text("INSERT INTO notes SELECT generate_series(1001, 51000)"))
        connection.execute(text("ALTER TABLE notes ADD FOREIGN KEY (order_id) REFERENCES orders"))
        connection.execute(text("DELETE FROM order_lines WHERE order_id <= 20"))

# %%
parents = shop(orders=100_000)
new_notes(parents)

# %%
remove = "DELETE FROM orders WHERE order_id <= 20"
shown = explain(remove, parents)
print(f"the plan shows {shown.buffers.value:,} pages")

# %% [markdown]
# Twenty orders that nobody refers to. `explain` has run the delete and rolled it back. (At work `EXPLAIN` alone runs nothing, and `EXPLAIN ANALYZE` deletes in earnest: write `BEGIN` before it and `ROLLBACK` behind it.) How
# many pages will the committed transaction touch?

# %%
guess = predict("writes-foreign-key", between=(..., ...))

# %%
true = measure(remove, parents)
guess.measured(true.buffers)

# %%
print(*shown.notes)
assert true.buffers > 20 * shown.buffers.value and "notes_order_id_fkey" in shown.notes[0]

# %% [markdown]
# A plan counts the pages of the statement's own boxes. The checks run afterwards, once for each parent: `EXPLAIN ANALYZE` gives each key a line below the plan,
# `Trigger for constraint notes_order_id_fkey: time=... calls=20`, and no pages. At work a large time there is how you find it. PostgreSQL does not index the referring column for you
# (MySQL's InnoDB does): each check read all of `notes`. One index ends it:

# %%
with parents.begin() as connection:
    connection.execute(text("CREATE INDEX ON notes (order_id)"))
    connection.execute(text("DELETE FROM order_lines WHERE order_id BETWEEN 21 AND 40"))

# %%
mended = measure("DELETE FROM orders WHERE order_id BETWEEN 21 AND 40", parents)
print(f"{true.buffers:,} pages without the index, {mended.buffers:,} with it")
assert true.buffers > 10 * mended.buffers

# %% [markdown]
# ## 4. What one page image costs
#
# So far you measured in the profile `counting`, in which WAL holds changes only. PostgreSQL's default is safer: after each checkpoint (now and then all changed pages are written to the tables' files; by default every five minutes), the first change to a page writes the *whole
# page* into the WAL. How many pages that is depends on where in the index the new keys belong. Three hundred rows, one index; the keys arrive in order, or scattered.

# %%
def new_keys(on):
    """Two tables of a hundred thousand keys with an index each, just after a checkpoint."""
    with on.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS in_order, scattered"))
        connection.execute(text("CREATE TABLE in_order AS SELECT order_id AS key FROM orders"))
        far_apart = "SELECT key * 7919 % 100003 * 100 AS key FROM in_order"
        connection.execute(text(f"CREATE TABLE scattered AS {far_apart}"))
        connection.execute(text("CREATE INDEX ON in_order (key)"))
        connection.execute(text("CREATE INDEX ON scattered (key)"))
    database_of(on).checkpoint()

# %%
production = shop(orders=100_000, profile="production")
new_keys(production)

# %% [markdown]
# How many times as much WAL do three hundred scattered keys write, just after a checkpoint?

# %%
guess = predict("writes-page-images", between=(..., ...))

# %%
add = "INSERT INTO {} SELECT {} FROM orders WHERE order_id <= 300"
behind = add.format("in_order", "200000 + order_id")
between = add.format("scattered", "order_id * 61803 % 100003 * 100 + 7")
ascending, random = measure(behind, production), measure(between, production)
guess.measured(round(random.wal_bytes / ascending.wal_bytes, 1))

# %%
print(f"page images: {ascending.wal_fpi} in order, {random.wal_fpi} scattered")
assert random.wal_bytes > 5 * ascending.wal_bytes

# %% [markdown]
# So the same index costs another price under another setting, and the difference only shows where page images are switched on. Say under which settings you measured, every time.

# %% [markdown]
# ## 5. When to leave everything as it is
#
# Three wishes from one sprint. Before you read on: which would you grant?
#
# - `products` (a few thousand rows) is filtered by `price_cents` in a report that runs once a night.
# - `orders.status` should be indexed, since "we filter by it everywhere". Nearly every order has the same one.
# - `order_lines.product_id` should be indexed: products are deleted twice a year.

# %%
wishes = {
    "products by price": "SELECT sku FROM products WHERE price_cents > 3000",
    "orders by status": "SELECT customer_id FROM orders WHERE status = 'shipped'",
}
before = {name: explain(sql, fresh).buffers.value for name, sql in wishes.items()}
with fresh.begin() as connection:
    connection.execute(text("CREATE INDEX ON products (price_cents)"))
    connection.execute(text("CREATE INDEX ON orders (status)"))

# %%
for name, sql in wishes.items():
    print(f"{name:20}{before[name]:>8,} pages before, {explain(sql, fresh).buffers.value:>8,} with the index")
    assert explain(sql, fresh).buffers.value > 0.5 * before[name]

# %% [markdown]
# Neither index helps these reads: the engine does not even use it, or gains nothing. (Who asks for the few orders that *wait* would gain: by a partial index, in the appendix.) The third wish is about a delete, so you measure one: of a product that nobody ever bought.

# %%
def delete_one(on):
    """Add a product, delete it again, and say how many pages the delete touched."""
    with on.begin() as connection:
        new = "INSERT INTO products VALUES (2001, 'SKU-002001', 'Vase', 'category-01', 999, now())"
        connection.execute(text(new))
    return measure("DELETE FROM products WHERE product_id = 2001", on).buffers

# %%
without = delete_one(fresh)
with fresh.begin() as connection:
    connection.execute(text("CREATE INDEX ON order_lines (product_id)"))
indexed = delete_one(fresh)
print(f"one product deleted: {without:,} pages before, {indexed:,} with the index")
assert without > 20 * indexed

# %% [markdown]
# Without the index each deleted product reads all lines. Twice a year that may be bearable, and every new line would pay for the index. The question is never "is there a filter on this column?". It is:
#
# 1. How many rows does the query *leave out*, and on how many pages do the others lie?
# 2. How often is it asked, and how often is the table written?
# 3. What breaks without it: a constraint, a delete, a deadline? (So the third wish depends on those two days a year.)
#
# Where you do act at work, write `CREATE INDEX CONCURRENTLY`: while the plain form runs, nobody can write to the table. (Where it fails it leaves an `INVALID` index behind: drop that one, and try again.)

# %% [markdown]
# ## The same in production
#
# The other prices once more, where page images are on, statistics are sampled and autovacuum is at work; and the scattered keys where page images are off:

# %%
new_desk("customer_id", on=production)
hot_there = measure(pay, production).tuples["desk"].hot_updated
new_desk("customer_id", "status", on=production)
cold_there = measure(pay, production).tuples["desk"].hot_updated
new_notes(production)
new_keys(fresh)

# %%
ratio = costs[6].wal_bytes / costs[0].wal_bytes
ratio_there = copy_orders(*six, on=production).wal_bytes / copy_orders(on=production).wal_bytes
removed_there = measure(remove, production).buffers
times = measure(between, fresh).wal_bytes / measure(behind, fresh).wal_bytes
times_there = random.wal_bytes / ascending.wal_bytes

# %%
print(f"{'':36}{'counting':>10}{'production':>12}")
print(f"{'six indexes, times the WAL':36}{ratio:>10.1f}{ratio_there:>12.1f}")
print(f"{'HOT of 2,000 updates':36}{hot.tuples['desk'].hot_updated:>10,}{hot_there:>12,}")
print(f"{'HOT, status indexed':36}{cold.tuples['desk'].hot_updated:>10,}{cold_there:>12,}")
print(f"{'pages of twenty deletes':36}{true.buffers:>10,}{removed_there:>12,}")
print(f"{'300 scattered keys, times the WAL':36}{times:>10.1f}{times_there:>12.1f}")

# %%
assert ratio_there > 4 and (hot_there, cold_there) == (2000, 0)
assert removed_there > 20 * shown.buffers.value and times < 1.5

# %% [markdown]
# The first four do not depend on the settings: they are rules of how rows and indexes are kept. (Page images are on in production, and six indexes still cost the same: a page that was made new since the
# checkpoint needs no image.) The last one is the settings alone: where page images are off, scattered keys write what any others do.

# %% [markdown]
# ## What you know now
#
# - An index costs WAL and pages in every insert; the price is there before the first read.
# - An index on a column that changes ends HOT updates, for all the other indexes of the table too.
# - `EXPLAIN` counts no pages of triggers and foreign-key checks; `EXPLAIN ANALYZE` gives each a line with its time. Measure the transaction.
# - Page images make scattered keys dear, under PostgreSQL's defaults and not under the settings that repeat.
#
# ## Tomorrow at work
#
# Both only read: indexes that nobody has used since the statistics began (a unique one may still guard a rule, and a replica keeps its own count), and tables whose updates are seldom HOT.

# %%
unused = """SELECT s.relname, s.indexrelname, pg_relation_size(s.indexrelid) AS bytes
            FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
            WHERE s.idx_scan = 0 AND NOT i.indisunique ORDER BY bytes DESC LIMIT 5"""
seldom_hot = """SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
                WHERE n_tup_upd > 1000 ORDER BY n_tup_hot_upd::numeric / n_tup_upd LIMIT 5"""
with fresh.connect() as connection:
    for sql in (unused, seldom_hot):
        for row in connection.execute(text(sql)).mappings():
            print(dict(row))

# %% [markdown]
# **To read**: PostgreSQL's manual, *Heap-Only Tuples* and *WAL Configuration*; Athanassoulis and others, *Designing Access Methods: The RUM Conjecture* (EDBT 2016).
# **Next**: the graded lab, `labs/02_indexes.ipynb`.
