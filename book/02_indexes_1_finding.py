# %% [markdown]
# # Indexes, first evening: finding rows
#
# Tuesday, a quarter to five. *"Which twenty sales of our best seller were the cheapest?"* asks the shop's manager, and the page hangs. The agent has a pull request ready: an index
# on every column in sight. Two colleagues have approved it. Do you merge?
#
# Thirty-five minutes to the end of section 5, and two more surprises when you have the time; seven predictions. Afterwards you look at a query and write down the one index that it wants, or say that it wants none.

# %%
from sqlalchemy import text

from workbook import compare, explain, predict, read_plan, shop
from workbook.draw.charts import bars, lines

# %%
engine = shop(orders=300_000)

# %% [markdown]
# An index is a sorted list with signposts on top. Whoever knows how a key *begins* follows the signposts to one place of the list. Everybody else reads.
# The keys of `order_lines` are sorted by `(order_id, line_no)`:

# %%
by_order = explain("SELECT quantity FROM order_lines WHERE order_id = 4711", engine)
by_product = explain("SELECT quantity FROM order_lines WHERE product_id = 40", engine)
found = {"order_id = 4711": by_order.buffers.value, "product_id = 40": by_product.buffers.value}
bars(found, "Pages touched", unit="pages")

# %% [markdown]
# That is the whole lesson in one picture. The rest is where it surprises people. Three little functions keep a diary of what you change and look at, so
# that the evening can be repeated under production's settings at the end.

# %%
diary = []


def run(sql, on):
    with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(sql))


# %%
def change(sql):
    diary.append(sql)
    run(sql, engine)


def look(claim, sql):
    plan = explain(sql, engine)
    diary.append((claim, sql, plan.buffers.value))
    return plan


# %% [markdown]
# ## 1. An index for each column
#
# Product 1 is the best seller: several thousand lines out of six hundred thousand. Here is the manager's question, and the pull request:

# %%
cheapest = """SELECT order_id, unit_price_cents FROM order_lines
              WHERE product_id = 1 ORDER BY unit_price_cents LIMIT 20"""
whole = explain(cheapest, engine)
change("CREATE INDEX IF NOT EXISTS lines_product ON order_lines (product_id)")
change("CREATE INDEX IF NOT EXISTS lines_price ON order_lines (unit_price_cents)")
print(f"without an index: {whole.buffers} pages, which is the whole table")

# %% [markdown]
# **Predict.** Both indexes are there now. How many pages does the query touch? Choose the interval so wide that you would be right four times in five.

# %%
guess = predict("finding-each-column", between=(..., ...))

# %%
each = look("cheapest, an index a column", cheapest)
each

# %%
guess.measured(each.buffers)

# %% [markdown]
# It uses *one* of the two. It walks the prices from the bottom and throws away every line that is not product 1, and each costs the visit to a page. The other way round, it would fetch
# every line of product 1 and sort by price. No way of combining the two lists gives "the lines of product 1, *by price*". One list does, if it is sorted by both:

# %%
change("""CREATE INDEX IF NOT EXISTS product_price
          ON order_lines (product_id, unit_price_cents)""")
both = look("cheapest, one index on both", cheapest)
compare(each, both)

# %%
assert each.buffers.value > 40 * both.buffers.value

# %% [markdown]
# Twenty rows, twenty pages, and the few signposts on the way. Nothing is filtered, nothing is sorted: the place where product 1 begins *is* the answer. An index for each column
# is not an index for the query. You do not merge; you answer with one line.
#
# PostgreSQL can combine two indexes where neither order nor `LIMIT` matters (`BitmapAnd`, in the appendix). It is a good second best.

# %% [markdown]
# ## 2. The order of the columns
#
# Next ticket: how many lines of product 40 were sold at 100.00 or more? Which index does it want? Ask the query, in this order:
#
# 1. What must be **equal**? `product_id`
# 2. What must come **in order**? nothing
# 3. What is a **range**? `unit_price_cents`

# %%
dear = """SELECT count(*) FROM order_lines
          WHERE product_id = 40 AND unit_price_cents >= 10000"""
equal_first = look("dear sales, equality first", dear)
print(f"(product_id, unit_price_cents): {equal_first.buffers} pages")

# %% [markdown]
# The agent objects: *"most selective column first! There are far more prices than products."* So it turns the columns round. **Predict** the pages.

# %%
guess = predict("finding-range-first", between=(..., ...))

# %%
change("DROP INDEX IF EXISTS product_price, lines_product, lines_price")
change("""CREATE INDEX IF NOT EXISTS price_product
          ON order_lines (unit_price_cents, product_id)""")
range_first = look("dear sales, range first", dear)
range_first

# %%
guess.measured(range_first.buffers)

# %%
assert range_first.buffers.value > 200 * equal_first.buffers.value

# %% [markdown]
# Look at the plan again: it says *Index Only Scan*, and both columns stand in its *Index Cond*. Nothing in it looks wrong. Yet most prices are 100.00 or more, and product 40 is
# scattered over all of them: that part of the list is read from end to end. A range ends the part of the key that leads to *one* place.
#
# So does the more selective column go first? Take the range away, and try both ways:

# %%
fixed = "SELECT order_id FROM order_lines WHERE product_id = 40 AND quantity = 3"
change("CREATE INDEX IF NOT EXISTS product_quantity ON order_lines (product_id, quantity)")
one_way = explain(fixed, engine)
change("DROP INDEX IF EXISTS product_quantity")
change("CREATE INDEX IF NOT EXISTS quantity_product ON order_lines (quantity, product_id)")
other_way = explain(fixed, engine)
print(f"selective first: {one_way.buffers} pages, selective last: {other_way.buffers} pages")
assert one_way.find(index="product_quantity") and other_way.find(index="quantity_product")
assert one_way.buffers.value == other_way.buffers.value

# %% [markdown]
# Between equalities the order makes no difference to the query: "40, then 3" is one place in the one list, and "3, then 40" one place in the other. Choose it by what *other* queries begin with.
#
# Your turn. Cheapest sales of the best seller again, of at least two pieces. Say the third answer before you read the cell.
#
# 1. **equal**: `product_id`
# 2. **in order**: `unit_price_cents`
# 3. **range**: ...

# %%
packs = """SELECT order_id FROM order_lines WHERE product_id = 1 AND quantity >= 2
           ORDER BY unit_price_cents LIMIT 20"""
change("DROP INDEX IF EXISTS price_product, quantity_product, order_range")
change("""CREATE INDEX IF NOT EXISTS range_order
          ON order_lines (product_id, quantity, unit_price_cents)""")
range_order = look("packs: equal, range, order", packs)
change("DROP INDEX IF EXISTS range_order")
change("""CREATE INDEX IF NOT EXISTS order_range
          ON order_lines (product_id, unit_price_cents, quantity)""")
order_range = look("packs: equal, order, range", packs)

# %%
print(f"equal, range, order: {range_order.buffers} pages")
print(f"equal, order, range: {order_range.buffers} pages")
assert range_order.buffers.value > 20 * order_range.buffers.value

# %% [markdown]
# **Equal, order, range.** With a `LIMIT`, the order goes before the range: the scan walks in the right order, drops what is out of range (it sees that in the index), and stops after twenty.
# If the range lets next to nothing through, it walks far before it has twenty; then the range goes first after all, and the few rows are sorted. And a list, `IN (...)`, is no equality:
# it is several places, and their orders do not add up to one.

# %% [markdown]
# ## 3. The leftmost prefix
#
# *"An index on (a, b) is useless for a query on b."* You have read it, said it, and put it in reviews. The back office has an index on `(status, customer_id)`. The account page asks for all orders of
# one customer, whatever their status; customer 77 has about a hundred.

# %%
change("CREATE INDEX IF NOT EXISTS status_customer ON orders (status, customer_id)")
account = "SELECT order_id, status, placed_at FROM orders WHERE customer_id = 77"

# %% [markdown]
# **Predict.** The table has 2,240 pages, and there is no other index with `customer_id`. How many are touched?

# %%
guess = predict("finding-skip", between=(..., ...))

# %%
skipping = look("account page, by the second column", account)
skipping

# %%
print(f"{skipping.root.index_searches} searches in one index")
guess.measured(skipping.buffers)

# %% [markdown]
# There are four statuses. The engine looks for customer 77 under each of them, and skips what lies between; the plan counts each descent as an *index search*. (Seven, and not four: which status
# comes next, and that none is left, it learns only by searching.) That is a **skip scan**, new in PostgreSQL 18. An index of its own
# saves next to nothing:

# %%
change("DROP INDEX IF EXISTS status_customer, orders_customer")
table_pages = explain(account, engine).buffers.value
change("CREATE INDEX IF NOT EXISTS orders_customer ON orders (customer_id)")
own = look("account page, an index of its own", account)
print(f"no index {table_pages:,}, second column {skipping.buffers}, first {own.buffers} pages")
assert table_pages == 2240 and skipping.buffers.value < 1.5 * own.buffers.value

# %% [markdown]
# It works because the column in front has *few* values. Behind a time, which is another in every order, nothing is left to skip: the whole index would be read.

# %%
change("DROP INDEX IF EXISTS orders_customer")
change("CREATE INDEX IF NOT EXISTS time_customer ON orders (placed_at, customer_id)")
behind_time = explain(account, engine)
print(f"behind placed_at: {behind_time.buffers} pages, {behind_time.root.kind}")
assert behind_time.buffers.value >= table_pages

# %% [markdown]
# So the rule was never about correctness, only about price, and the price fell. *Elsewhere*: PostgreSQL up to 17 reads the whole index or the whole table. MySQL skips since 8.0.13, but only when
# the query needs no column outside the index. SQLite skips after `ANALYZE`, behind a column that repeats often (appendix). If you support several of these, the old rule is still your rule.

# %% [markdown]
# ## 4. The key that is not in the index
#
# In the first notebook `order_id = 4711.0` hid a key from its index. Here are four more, each with a plain index on its column. One of them is found by it.

# %%
change("CREATE INDEX IF NOT EXISTS customers_email ON customers (email)")
change("CREATE INDEX IF NOT EXISTS orders_time ON orders (placed_at)")
conditions = {
    "a": "customers WHERE lower(email) = 'anna4709@example.com'",
    "b": "orders WHERE placed_at::date = '2025-03-01'",
    "c": "orders WHERE placed_at + interval '30 days' > '2025-12-30'",
    "d": "orders WHERE placed_at >= '2025-03-01' AND placed_at < date '2025-03-01' + 1",
}

# %% [markdown]
# **Predict** which one, and how sure you are, from 0 to 1: `choice="a", confidence=0.6`.

# %%
guess = predict("finding-hidden", choice=..., confidence=...)

# %%
hidden = {
    letter: explain(f"SELECT count(*) FROM {condition}", engine).buffers.value
    for letter, condition in conditions.items()
}
bars(hidden, "Pages touched", unit="pages")

# %%
guess.measured(min(hidden, key=hidden.get))

# %% [markdown]
# The index holds emails, not lowered emails; times, not days. Work on the *constant's* side is done once, work on the *column's* side is done for every row. So you rewrite: `b` asks for the same day as `d`,
# and `c` becomes `placed_at > timestamptz '2025-12-30' - interval '30 days'`.
#
# Where the query really means the function's value, put *that* into an index, if it is always the same for the same row. (`placed_at::date` is not: it depends on the session's time zone, and PostgreSQL
# refuses the index.) The statistics of an expression come with the next `ANALYZE`:

# %%
change("CREATE INDEX IF NOT EXISTS customers_lower ON customers (lower(email))")
change("ANALYZE customers")
lowered = look("email, index on lower(email)", f"SELECT count(*) FROM {conditions['a']}")
print(f"{hidden['a']} pages before, {lowered.buffers} with an index on lower(email)")
assert hidden["a"] > 50 * lowered.buffers.value and hidden["b"] > 100 * hidden["d"]

# %% [markdown]
# ## 5. Page five thousand and one
#
# The order list shows twenty orders a page, newest first, and there is an index on the time. Somebody's crawler has arrived at page 5,001.

# %%
newest = "SELECT order_id, placed_at FROM orders {} ORDER BY placed_at DESC LIMIT 20"
page_1 = explain(newest.format(""), engine)
print(f"page 1 touches {page_1.buffers} pages of the table and its index")

# %% [markdown]
# **Predict.** How many does page 5,001 touch, with `OFFSET 100000`?

# %%
guess = predict("finding-offset", between=(..., ...))

# %%
deep = look("page 5,001 by OFFSET", newest.format("") + " OFFSET 100000")
guess.measured(deep.buffers)

# %% [markdown]
# The index knows how to begin at a *key*. It does not know how to begin at the hundred-thousandth row: it counts there, row by row, and throws them away. (Orders lie in the order of time, so
# a hundred and more of them in a row are one visit to a page: a thousand pages, not a hundred thousand.) So hand the page a key: the last time that the reader has seen.

# %%
before = "SELECT placed_at FROM orders ORDER BY placed_at DESC LIMIT 1 OFFSET 99999"
by_key = newest.format("WHERE placed_at < :last_seen")
with engine.connect() as connection:
    last_seen = connection.execute(text(before)).scalar_one()
    counted = connection.execute(text(newest.format("") + " OFFSET 100000")).all()
    begun = connection.execute(text(by_key), {"last_seen": last_seen}).all()
assert counted == begun

# %%
keyset = look("page 5,001 by its key", newest.format(f"WHERE placed_at < '{last_seen}'"))
print(f"the same twenty rows: {deep.buffers} pages by OFFSET, {keyset.buffers} by key")
assert deep.buffers.value > 100 * keyset.buffers.value

# %% [markdown]
# Times may tie, and then a row falls between two pages. In earnest: an index on `(placed_at, order_id)`, `ORDER BY placed_at DESC, order_id DESC` and `WHERE (placed_at, order_id) < (:time, :id)`. The price: no jumping to page 5,001, only "next". Nobody but
# the crawler will miss it.

# %% [markdown]
# ## 6. An index that needs no table
#
# *How many pieces of the best seller were sold?* Its lines are scattered over the table. But if the index carries `quantity` along, the table need not be read at all:

# %%
change("DROP INDEX IF EXISTS order_range, product_covering")
change("CREATE INDEX IF NOT EXISTS lines_product ON order_lines (product_id)")
pieces = "SELECT sum(quantity) FROM order_lines WHERE product_id = 1"
plain = explain(pieces, engine)
change("""CREATE INDEX IF NOT EXISTS product_covering
          ON order_lines (product_id) INCLUDE (quantity)""")
covering = look("pieces, covering index", pieces)
print(f"plain index: {plain.buffers} pages, covering index: {covering.buffers} pages")
assert plain.buffers.value > 50 * covering.buffers.value

# %% [markdown]
# What stands behind `INCLUDE` is only carried: a plain index scan looks at it after it has fetched the row, too late to leave that row alone.
#
# A fine pull request, and its test stays green for ever. Then the nightly job corrects prices: one line in fifty, a column that is not even in the index.
#
# **Predict.** The same query, the same index, the same result. How many pages, the morning after?

# %%
guess = predict("finding-morning-after", between=(..., ...))

# %%
change("UPDATE order_lines SET unit_price_cents = unit_price_cents + 1 WHERE order_id % 50 = 0")
morning = look("pieces, the morning after", pieces)
morning

# %%
guess.measured(morning.buffers)

# %%
assert morning.find(kind="Index Only Scan")[0].heap_fetches.value > 1000
assert morning.buffers.value > 20 * covering.buffers.value
assert morning.buffers.value > plain.buffers.value

# %% [markdown]
# Still an *Index Only Scan*. But an index entry does not say whether its row is still visible to you; the table's **visibility map** does, with a bit for each page, and only for pages on which nothing changed. One changed line clears
# the bit for its whole page, and there are more than a hundred lines on a page: one line in fifty spoiled them all. The covering index now touches *more* than the plain one did. *Heap fetches*
# counts the entries for which the table had to be asked. `VACUUM` sets the bits again:

# %%
change("VACUUM order_lines")
vacuumed = look("pieces, after VACUUM", pieces)
print(f"after VACUUM: {vacuumed.buffers} pages")
assert vacuumed.buffers.value < 2 * covering.buffers.value

# %% [markdown]
# In production autovacuum does that, once enough rows have changed: a fifth of the table by default. One line in fifty is not enough. A covering index pays on tables that hold still, or that are vacuumed more often.

# %% [markdown]
# ## 7. Where the index stops paying
#
# *"Above five per cent of the rows the planner reads the table."* Ask for all lines below a price, and raise it. Prices are scattered over the table.

# %%
change("CREATE INDEX IF NOT EXISTS lines_price ON order_lines (unit_price_cents)")
below = "SELECT sum(quantity) FROM order_lines WHERE unit_price_cents < {}"
shares = (0.1, 0.3, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80)


def crossover(on):
    return {share: explain(below.format(200 + round(500 * share)), on) for share in shares}


# %% [markdown]
# **Predict.** Up to which per cent of the rows does the planner still choose the index?

# %%
guess = predict("finding-crossover", between=(..., ...))

# %%
plans = crossover(engine)
last_share = max(share for share, plan in plans.items() if plan.find(index="lines_price"))
guess.measured(last_share, unit="per cent")

# %%
assert last_share >= 30
table = plans[80].buffers.value
curve = {
    "touched": [(share, plan.buffers.value) for share, plan in plans.items()],
    "the table": [(min(shares), table), (max(shares), table)],
}
lines(curve, "All lines below a price", x="per cent of the rows", y="pages", log_x=True)

# %% [markdown]
# The plan changes somewhere between 50 and 60 per cent. (The table has 4,500 pages by now, and not 4,416: the nightly job's new row versions took the others.)
#
# Look where the curve meets the table's size. From a few per cent on, some wanted line lies on nearly *every* page. The plan says "index" far beyond that (a **bitmap scan**: collect the places, sort them, read each page once), and every
# page is read all the same. "It uses the index" is not the question. The question is what the index lets you *not* read.

# %%
assert plans[5].find(index="lines_price") and plans[5].buffers.value > 0.95 * table

# %% [markdown]
# And where rows lie in the order of the index, as orders do in the order of time, no page is read for nothing:

# %%
third = explain("SELECT min(status) FROM orders WHERE placed_at < '2024-08-30'", engine)
rows = third.find(relation="orders")[0].rows
print(f"{rows} orders of 300,000: {third.buffers} pages of {table_pages:,}")
assert third.find(index="orders_time") and third.buffers.value < 0.5 * table_pages

# %% [markdown]
# So there is no fixed per cent; rows, pages and their order decide. Last: *"it should have used my index."* Forbid everything else at 60 per cent, for one transaction (a thing for experiments, never
# for production). Each row then costs a visit, and a page that is visited a hundred times counts a hundred times:

# %%
with engine.begin() as connection:
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    connection.execute(text("SET LOCAL enable_bitmapscan = off"))
    said = connection.execute(text("EXPLAIN (ANALYZE, BUFFERS) " + below.format(30200)))
    forced = read_plan("\n".join(said.scalars()))
print(f"the planner's choice: {plans[60].buffers} pages, the forced index: {forced.buffers}")
assert forced.buffers.value > 50 * plans[60].buffers.value

# %% [markdown]
# ## When to leave everything as it is
#
# What do the indexes take by now, the primary keys among them, before a single row is written? Their bytes, beside the bytes of their tables:

# %%
sizes = """SELECT relname, pg_table_size(relid) / 1024 AS table_kb,
                  pg_indexes_size(relid) / 1024 AS indexes_kb
           FROM pg_stat_user_tables WHERE relname <> 'products' ORDER BY relname"""
with engine.connect() as connection:
    for row in connection.execute(text(sizes)):
        print(f"{row.relname:14}{row.table_kb:>10,} kB{row.indexes_kb:>10,} kB of indexes")

# %% [markdown]
# Leave it, when
#
# - the **table is small**: `stock` fits in a few dozen pages, and no index can save more than that;
# - the query wants **more than a few per cent** of scattered rows: an index of the condition alone saves it no page, and one that holds all that it reads is a good part of the table once more;
# - the table is **written far more than it is asked**: lesson 3 puts a number to that;
# - an index that is there **does nearly the same**: from PostgreSQL 18 on, look for a skip scan before you add one.
#
# And some engines answer without any index: DuckDB remembers the least and the largest value of every block of rows, and skips blocks (appendix).

# %% [markdown]
# ## The same in production
#
# Everything was measured in the profile `counting`: PostgreSQL 18, 300,000 orders, no autovacuum, no parallel workers, statistics from every row. Here is your diary again, under PostgreSQL's own defaults.

# %%
production = shop(orders=300_000, profile="production")
here, there = {}, {}
for entry in diary:
    if isinstance(entry, str):
        run(entry, production)
    else:
        claim, sql, here[claim] = entry
        there[claim] = explain(sql, production).buffers.value

# %%
print(f"{'pages':36}{'counting':>10}{'production':>12}")
for claim in here:
    changed = "" if 0.8 < there[claim] / here[claim] < 1.25 else "   changed"
    print(f"{claim:36}{here[claim]:>10,.0f}{there[claim]:>12,.0f}{changed}")

# %%
plans_there = crossover(production)
last_there = max(share for share, plan in plans_there.items() if plan.find(index="lines_price"))
print(f"the last share asked for that goes by the index: {last_share} per cent here, {last_there} there")

# %%
assert there["cheapest, an index a column"] > 40 * there["cheapest, one index on both"]
assert there["dear sales, range first"] > 200 * there["dear sales, equality first"]
assert there["page 5,001 by OFFSET"] > 100 * there["page 5,001 by its key"]
assert there["pieces, the morning after"] > 20 * there["pieces, covering index"]

# %% [markdown]
# What an index lets you skip depends on the data and on the index, hardly on the settings. What moves is where the planner changes its mind: its statistics are a sample
# there, and parallel workers make reading the whole table look cheaper. A line marked *changed* took another plan (4,416 pages are the whole table): `explain(..., production)` shows it.

# %% [markdown]
# ## What you know now
#
# - Write the index from the query: what is **equal** comes first. Then the **order**, where a `LIMIT` lets the scan stop; or the **range**, where it leaves out most.
# - An index for each column is not an index for the query. Between equalities the order is free.
# - The leftmost prefix is a price, not a law (since 18).
# - A function on the column hides the key; a function on the constant does not.
# - `OFFSET` counts. A key begins.
# - *Index Only Scan* is a promise that the visibility map has to keep. Look at the heap fetches.
# - "It uses the index" proves nothing. Count the pages.
#
# ## Tomorrow at work
#
# Two queries that only read. Which indexes begin with all the columns of another one, so that the shorter may go? (A unique one guards a rule: keep it.) You need not
# read this one to run it: each row that it returns is a pair, the index that may go and the longer one.

# %%
prefixes = """SELECT short.indexrelid::regclass AS may_go, long.indexrelid::regclass AS because_of
              FROM pg_index short JOIN pg_index long USING (indrelid)
              WHERE short.indexrelid <> long.indexrelid AND NOT short.indisunique
                AND long.indkey::text LIKE short.indkey::text || ' %'
                AND long.indclass::text LIKE short.indclass::text || '%'
                AND long.indoption::text LIKE short.indoption::text || '%'
                AND long.indcollation::text LIKE short.indcollation::text || '%'
                AND long.indisvalid AND long.indnkeyatts >= short.indnkeyatts
                AND concat(short.indpred, long.indpred, short.indexprs, long.indexprs) = ''"""
with engine.connect() as connection:
    for row in connection.execute(text(prefixes)).mappings():
        print(dict(row))

# %% [markdown]
# Which large tables had, at their last `VACUUM` or `ANALYZE`, pages that an index-only scan cannot trust? (What changed since then shows as *heap fetches* in a plan. And
# an index with the range in front shows in no statistics, which count the entries that it returned and not those that it passed: count the pages of its box in a plan.)

# %%
visible = """SELECT relname, relpages, 100 * relallvisible / relpages AS per_cent_visible
             FROM pg_class WHERE relkind = 'r' AND relpages > 1000 ORDER BY 3 LIMIT 5"""
with engine.connect() as connection:
    for row in connection.execute(text(visible)).mappings():
        print(dict(row))

# %% [markdown]
# **To read**: PostgreSQL's manual, chapter *Indexes*, above all *Multicolumn Indexes* and *Index-Only Scans and Covering Indexes*; Markus Winand, *Use The Index, Luke* (the chapters *The Where Clause* and *Partial Results*);
# Leslie and others, *Efficient Search of Multidimensional B-Trees* (VLDB 1995), where the skip scan comes from.
#
# **Practise**: exercises 1, 2 and, after section 7, 4 of `labs/02_indexes.ipynb`. **Next evening**: `02_indexes_2_plans.ipynb`. Partial indexes, `LIKE`, `count(*)` and more are in `02_indexes_4_appendix.ipynb`.
