# %% [markdown]
# # B-trees, first evening: the heap under the tree
#
# Tuesday, half past nine. Last night a migration set one flag in every order of the desk. No row was added, none was deleted. This morning the table is twice as large, counting it reads twice as much, and the
# index has grown too, although the flag is in no index. *"Something is corrupt"*, says the chat. The agent suggests `VACUUM FULL`, now, at half past nine. Do you let it?
#
# Thirty-five minutes, seven predictions. An index of PostgreSQL leads into a **heap**, and whoever does not know the heap blames the tree. Afterwards you know what an update leaves behind, who clears it away, and who prevents that.

# %%
from sqlalchemy import text

from workbook import explain, measure, predict, shop
from workbook.btree import read_index

# %%
engine = shop(orders=100_000)


def run(sql, on):
    with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(sql))


def rows(sql, on=engine):
    with on.connect() as connection:
        return [dict(row) for row in connection.execute(text(sql)).mappings()]


# %% [markdown]
# `change` and `note` keep a diary, so that the evening can be repeated under production's settings at the end. The last three functions say what is noted: the pages of a file, the pages that a query touches, the pointers to rows in an index.

# %%
diary, here = [], {}


def change(sql):
    diary.append(sql)
    run(sql, engine)


def note(claim, count, name):
    diary.append((claim, count, name))
    here[claim] = count(name, engine)
    return here[claim]


# %%
def pages(name, on):
    return rows(f"SELECT pg_relation_size('{name}') / 8192 AS pages", on)[0]["pages"]


def touched(sql, on):
    return explain(sql, on).buffers.value


def pointers(name, on):
    return read_index(on, name).rows


# %% [markdown]
# ## 1. Where a row lives
#
# The desk has the first 20,000 orders and one index.

# %%
change("DROP TABLE IF EXISTS desk")
change("CREATE TABLE desk AS SELECT * FROM orders WHERE order_id <= 20000")
change("CREATE UNIQUE INDEX desk_key ON desk (order_id)")
change("VACUUM ANALYZE desk")

# %%
address = "SELECT ctid::text AS address, xmin::text AS made_by, order_id, status FROM desk WHERE order_id = {}"
rows(address.format(1))

# %% [markdown]
# Every row has an address, `ctid`: the page, and its place there. Every row says which transaction made it, `xmin`. Both are hidden columns that you can always ask for. The index knows the address, and *nothing else* about the row:

# %%
first = read_index(engine, "desk_key").leaves()[0].entries[0]
print(f"the entry for order {first.key}: {first.pointers}")

# %% [markdown]
# Three figures for the diary. The last one counts the first thousand orders by the index alone:

# %%
every, thousand = "SELECT count(*) FROM desk", "SELECT count(*) FROM desk WHERE order_id <= 1000"
size = note("fresh: pages of the table", pages, "desk")
note("fresh: a count of all", touched, every)
by_index = note("fresh: a count of 1,000 by the index", touched, thousand)
print(here)

# %% [markdown]
# ## 2. What an update leaves behind
#
# The migration: one flag, in every row. The new values are about as long as the old ones.
#
# **Predict.** How many pages has the table afterwards? Choose the interval so wide that you would be right four times in five.

# %%
guess = predict("heap-update", between=(..., ...))

# %%
change("UPDATE desk SET status = 'checked'")
grown = note("updated: pages of the table", pages, "desk")
guess.measured(grown, unit="pages")

# %%
assert grown > 1.8 * size
rows(address.format(1))

# %% [markdown]
# An update changes no row. It writes a **new version** at another address, by another transaction, and marks the old one as ended. The old one stays, because somebody may still be reading who began before you: readers never wait for writers, and this is the price. So after
# the update there are 40,000 versions for 20,000 rows.
#
# `status` is in no index. The index on `order_id` had 20,000 pointers to rows. **Predict.** How many has it now?

# %%
guess = predict("heap-pointers", between=(..., ...))

# %%
pointing = note("updated: pointers in the index", pointers, "desk_key")
guess.measured(pointing)

# %%
assert pointing >= 40_000
[entry.pointers for entry in read_index(engine, "desk_key").leaves()[0].entries if entry.key == 1]

# %% [markdown]
# The new version has a new address, so *every* index of the table must learn it, whatever it is about. Order 1 has two addresses in it now, one for each version. Nothing is corrupt.

# %% [markdown]
# ## 3. An index entry needs a look at the heap
#
# Counting the first thousand orders took a handful of pages this morning, and the table was not touched.
#
# **Predict.** How many pages does the same count touch now?

# %%
guess = predict("heap-look", between=(..., ...))

# %%
looked = note("updated: a count of 1,000 by the index", touched, thousand)
guess.measured(looked, unit="pages")

# %%
assert looked > 3 * by_index
explain(thousand, engine)

# %% [markdown]
# Two pointers for each key, and neither says which of the versions is to be seen: that stands with the row, in the heap. So the heap is asked. *Heap fetches* counts how often. (Whoever meets a pointer to a version that nobody can see marks it, so that the next one need not ask: there may be fewer than
# two thousand.)
#
# This morning nobody had to ask, thanks to the **visibility map**: one bit for each page of the table that says "everything here is to be seen by everybody". VACUUM sets the bits, and every change on a page clears its bit.

# %% [markdown]
# ## 4. What VACUUM does
#
# VACUUM walks the table, takes out the versions that nobody can see any more, and the pointers to them from all indexes.
#
# **Predict.** `SELECT count(*) FROM desk` touched 150 pages in the fresh table, and twice that after the update. How many after VACUUM?

# %%
guess = predict("heap-vacuum", between=(..., ...))

# %%
note("updated: a count of all", touched, every)
change("VACUUM desk")
cleared = note("vacuumed: a count of all", touched, every)
guess.measured(cleared, unit="pages")

# %%
note("vacuumed: pointers in the index", pointers, "desk_key")
note("vacuumed: a count of 1,000 by the index", touched, thousand)
{claim: count for claim, count in here.items() if claim.startswith("vacuumed")}

# %% [markdown]
# The old pointers are gone, the bits are set, the count by the index is cheap again. But the file is as long as before: VACUUM makes *room*, it does not give it back (unless the last pages of the file are empty). Is the room good for something? VACUUM, and the migration once more:

# %%
change("VACUUM desk")
change("UPDATE desk SET status = 'packed'")
again = note("updated again: pages of the table", pages, "desk")
print(f"{size} pages fresh, {grown} after one update, {again} after the next")
assert cleared > 1.8 * size and again < 1.1 * grown

# %% [markdown]
# The second update doubled nothing: it went into the room that the first one had left. A table that is updated settles at a size with room in it, and that is healthy.
#
# `VACUUM FULL` writes the table anew, and that does give the room back:

# %%
change("VACUUM desk")
change("VACUUM FULL desk")
rewritten = note("written anew: pages of the table", pages, "desk")
print(f"{again} pages before, {rewritten} after")
assert rewritten < 0.6 * again

# %% [markdown]
# But it locks out everybody, readers too, until it is done; and the next update takes the room again. That is your answer at half past nine: a plain `VACUUM`, and a coffee.

# %% [markdown]
# ## 5. One row
#
# Everything is vacuumed. Then one single order is changed: number 500. And the first thousand are counted by the index.
#
# **Predict.** For how many of the thousand must the heap be asked (*heap fetches*)?

# %%
guess = predict("heap-one-row", between=(..., ...))

# %%
change("VACUUM ANALYZE desk")


def fetched(sql, on):
    return explain(sql, on).find(kind="Index Only Scan")[0].heap_fetches.value


# %%
change("UPDATE desk SET status = 'lost' WHERE order_id = 500")
fetches = note("one row changed: heap fetches", fetched, thousand)
guess.measured(fetches)

# %% [markdown]
# One bit stands for a whole page. The change cleared the bit of the page where the order *was* (and of the page it went to), and all its neighbours must be looked at: more than a hundred for one.

# %%
assert fetches > 50

# %% [markdown]
# ## 6. When the index is spared
#
# There is a way out of the second pointer. If the new version finds room *on the same page*, and no indexed column has changed, then the old address is kept as a signpost to the new version, and no index hears of it: a **heap-only tuple**, HOT. So this table leaves half of
# each page free:

# %%
change("DROP TABLE IF EXISTS roomy")
change("CREATE TABLE roomy WITH (fillfactor = 50) AS SELECT * FROM orders WHERE order_id <= 20000")
change("CREATE UNIQUE INDEX roomy_key ON roomy (order_id)")
change("VACUUM ANALYZE roomy")
before = note("roomy: pages of the table", pages, "roomy")

# %% [markdown]
# The same migration. **Predict.** How many pointers has the index afterwards?

# %%
guess = predict("heap-hot", between=(..., ...))

# %%
change("UPDATE roomy SET status = 'checked'")
spared = note("roomy, updated: pointers in the index", pointers, "roomy_key")
guess.measured(spared)

# %%
first = read_index(engine, "roomy_key").leaves()[0].entries[0]
print(f"the index says {first.pointers}, the row is at", rows("SELECT ctid::text FROM roomy WHERE order_id = 1"))
print(f"{note('roomy, updated: pages of the table', pages, 'roomy')} pages, as before")

# %%
assert spared < 22_000 and here["roomy, updated: pages of the table"] < 1.1 * before

# %% [markdown]
# The index still gives the first address; from there one follows the signpost, and never leaves the page. Even the old versions need no VACUUM: whoever comes by next, a reader too, clears them away on that page.
#
# What does it save? Both updates once more, with all that they touch:

# %%
def cost_of_update(table, on):
    run(f"VACUUM {table}", on)
    return measure(f"UPDATE {table} SET status = 'sent'", on)


# %%
costs = {table: cost_of_update(table, engine) for table in ("desk", "roomy")}
for table, cost in costs.items():
    hot = cost.tuples[table].hot_updated
    print(f"{table:8}{cost.buffers:>9,} pages touched, {cost.wal_bytes:>9,} bytes of WAL, {hot:>6,} of 20,000 HOT")
assert costs["desk"].buffers > 2 * costs["roomy"].buffers

# %% [markdown]
# The price is paid in pages: a table half empty is twice as long to read. And an index on `status` would end it all, as `02_indexes_3_writes` measures.

# %% [markdown]
# ## 7. Who prevents it
#
# Updates and VACUUM take turns, five times. Without anybody else the table settles at a little more than twice its size. Now somebody has begun a report before (at REPEATABLE READ, so that its figures agree), read one table, and gone to lunch. The table was not the desk.

# %%
def five_rounds(on):
    """Five updates of everything, each with a VACUUM; the pages of the table afterwards."""
    run("DROP TABLE IF EXISTS rounds", on)
    run("CREATE TABLE rounds AS SELECT * FROM orders WHERE order_id <= 20000", on)
    for number in range(5):
        run(f"UPDATE rounds SET status = 'round {number}'", on)
        run("VACUUM rounds", on)
    return pages("rounds", on)


# %%
def beside(sql, level, on):
    """The same, while the transaction of somebody who ran this statement stands open."""
    with on.connect().execution_options(isolation_level=level) as somebody:
        somebody.execute(text(sql))
        return five_rounds(on)


# %%
alone = five_rounds(engine)
print(f"{alone} pages after five rounds, alone")

# %% [markdown]
# **Predict.** How many pages after five rounds beside the open transaction?

# %%
guess = predict("heap-reader", between=(..., ...))

# %%
report = "SELECT count(*) FROM products"
held = beside(report, "REPEATABLE READ", engine)
guess.measured(held, unit="pages")

# %%
assert held > 2 * alone

# %% [markdown]
# All five VACUUMs ran, reported no error, and removed *nothing*: the reader began before the first update, so every old version might still be wanted. VACUUM does not know which tables it will read. One forgotten report, anywhere in the database, and every table that is updated grows.
#
# Is it the report's level alone? READ COMMITTED, the default, takes a new look for each statement, and keeps none in between. But whoever has *written*:

# %%
wrote = "UPDATE products SET price_cents = price_cents WHERE product_id = 1"
read_only = beside(report, "READ COMMITTED", engine)
written = beside(wrote, "READ COMMITTED", engine)
print(f"alone {alone}, beside one who read {read_only}, beside one who wrote one row {written}")
assert read_only < 1.2 * alone and written > 2 * alone

# %% [markdown]
# ## The same in production
#
# Everything was measured in the profile `counting`: PostgreSQL 18, no autovacuum, no page images. Here is your diary again, under PostgreSQL's own defaults. Autovacuum is on there, and may come by between two lines.

# %%
production = shop(orders=100_000, profile="production")
there = {}
for line in diary:
    if isinstance(line, str):
        run(line, production)
    else:
        claim, count, name = line
        there[claim] = count(name, production)

# %%
here |= {"five rounds, alone": alone, "five rounds, beside a reader": held}
there |= {"five rounds, alone": five_rounds(production)}
there |= {"five rounds, beside a reader": beside(report, "REPEATABLE READ", production)}
print(f"{'':42}{'counting':>10}{'production':>12}")
for claim in here:
    changed = "" if 0.9 < there[claim] / here[claim] < 1.1 else "   changed"
    print(f"{claim:42}{here[claim]:>10,.0f}{there[claim]:>12,.0f}{changed}")

# %%
assert there["updated: pages of the table"] > 1.8 * there["fresh: pages of the table"]
assert there["roomy, updated: pointers in the index"] < 22_000
assert there["one row changed: heap fetches"] > 50
assert there["five rounds, beside a reader"] > 2 * there["five rounds, alone"]

# %% [markdown]
# Versions, bits and signposts are how the heap is built; no setting changes them. What changes is *when* somebody clears up: autovacuum comes once a fifth of the rows have changed, and looks once a minute. (The count by the index just after the update lies between some 1,300 and 2,000 pages: whether a pointer can be marked depends on who else is at work on the server, in other databases too.) And no setting helps against the reader at lunch but a time limit
# (`idle_in_transaction_session_timeout`, off by default).
#
# *Elsewhere*: MySQL's InnoDB and Oracle change the row in place and keep old versions apart, in an undo log; a long reader makes *that* grow. In InnoDB an index leads to the primary key, not to an address, so an update that moves a row changes no other index.

# %% [markdown]
# ## What you know now
#
# - An update writes a new version; the old one stays. One update of everything: twice the pages.
# - The new version has a new address, and every index must learn it: 40,000 pointers for 20,000 rows.
# - An index entry does not say who may see its row. The visibility map does, one bit a page; one changed row costs all its neighbours a look.
# - VACUUM makes room and sets bits. The file stays long, and the next update fits in.
# - HOT: room on the page and no indexed column changed, and no index hears of it.
# - One open transaction that keeps its view, or that wrote one row, anywhere: and VACUUM removes nothing that was ended since.
#
# ## Tomorrow at work
#
# Two queries that only read. Which tables carry the most dead versions, and when was somebody there to clear them? (Sessions hand these figures in late, some after a VACUUM has counted anew: right after such an evening they are too high.)

# %%
dead = """SELECT relname AS table, n_live_tup AS live, n_dead_tup AS dead,
                 greatest(last_autovacuum, last_vacuum)::date::text AS last_vacuum,
                 100 * n_tup_hot_upd / nullif(n_tup_upd, 0) AS per_cent_hot
          FROM pg_stat_user_tables ORDER BY n_dead_tup DESC LIMIT 5"""
for row in rows(dead):
    print(row)

# %% [markdown]
# And whose transaction holds VACUUM back? The oldest first; your own query is among them:

# %%
holding = """SELECT pid, state, (now() - xact_start)::text AS open_for, left(query, 50) AS last_query,
                    greatest(age(backend_xmin), age(backend_xid)) AS transactions_since
             FROM pg_stat_activity
             WHERE datname = current_database() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
             ORDER BY transactions_since DESC LIMIT 5"""
for row in rows(holding):
    print(row)

# %% [markdown]
# A replica with `hot_standby_feedback`, a replication slot that nobody reads, and a prepared transaction that nobody ends hold it back as well (`pg_replication_slots`, `pg_prepared_xacts`).
#
# **To read**: PostgreSQL's manual, *Database Page Layout*, *Heap-Only Tuples*, *Visibility Map* and *Routine Vacuuming*; Stonebraker, *The Design of the POSTGRES Storage System* (VLDB 1987), where the versions come from; Wu and others, *An Empirical Evaluation of In-Memory Multi-Version Concurrency Control* (VLDB 2017), on what the alternatives cost.
#
# **Next evening**: `01_btrees_2_tree.ipynb`, the tree itself.
