# %% [markdown]
# # B-trees, second evening: the tree
#
# Tuesday, ten past four. The table of visits passes a million rows this week. *"Lookups get slower as it grows"*, says the ticket, *"so we archive all but the last month."* The agent has
# written the migration: three hundred lines, a nightly job, a second table that every report must now ask as well. Before you read line one: how much slower is a lookup in a million rows than in a
# thousand?
#
# Thirty-five minutes, seven predictions. Afterwards you say from a row count and a key type how many pages a lookup and a range touch, without asking the server.

# %%
from sqlalchemy import text

from workbook import explain, predict, shop
from workbook.btree import Tree, model, read_index, stepper

# %%
engine = shop(orders=100_000)
diary = []


def run(sql, on):
    with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(sql))


# %% [markdown]
# Two little functions keep a diary of what you change and look at, so that the evening can be repeated under production's settings at the end. A third makes a table of visits.

# %%
def change(sql):
    diary.append(sql)
    run(sql, engine)


def look(claim, sql):
    plan = explain(sql, engine)
    diary.append((claim, sql, plan.buffers.value))
    return plan


# %%
def make_visits(rows):
    table = f"visits_{rows}"
    change(f"DROP TABLE IF EXISTS {table}")
    change(f"CREATE TABLE {table} AS SELECT n AS visit_id, 'home' AS page FROM generate_series(1::bigint, {rows}) n")
    change(f"CREATE UNIQUE INDEX {table}_key ON {table} (visit_id)")
    change(f"VACUUM ANALYZE {table}")


# %%
make_visits(1_000)
small = look("a lookup in 1,000 rows", "SELECT page FROM visits_1000 WHERE visit_id = 500")
small

# %% [markdown]
# Three pages in a thousand rows: two of the index, and the page of the table where the row lies.
#
# ## 1. A thousand times the rows
#
# **Predict.** The same lookup in a million rows. How many pages? Choose the interval so wide that you would be right four times in five.

# %%
guess = predict("tree-million", between=(..., ...))

# %%
make_visits(1_000_000)
large = look("a lookup in 1,000,000 rows", "SELECT page FROM visits_1000000 WHERE visit_id = 500000")
guess.measured(large.buffers)

# %%
assert large.buffers.value == small.buffers.value + 1

# %% [markdown]
# A thousand times the rows cost *one page more*. Three hundred lines of migration would win one page of four. (What does grow with the rows is everything that reads the table from end to
# end. If that is what hurts, the ticket should say so.)
#
# Why one? You have to look at what stands on a page.

# %% [markdown]
# ## 2. What stands on a page
#
# A page has 8,192 bytes. PostgreSQL reads and writes nothing smaller, so pages are what you count. The primary key of the shop's 100,000 orders is a tree of such pages. At its top stands **one**
# page, the root; each of its entries leads to one page below.
#
# **Predict.** How many entries has the root?

# %%
guess = predict("tree-root", between=(..., ...))

# %%
index = read_index(engine, "orders_pkey")
root = index.pages[index.root]
guess.measured(len(root.entries))

# %%
assert len(root.entries) > 200
index

# %% [markdown]
# These are the real bytes of the real file, decoded. Who has learned trees with two children for each node expects 2 here, and seventeen levels for 100,000 keys. This one has two levels. An entry of a leaf is
# small: the key, where its row is, a slot. Look at one:

# %%
leaf = index.leaves()[0]
entry = leaf.entries[9]
print(f"key {entry.key}: {entry.bytes} bytes, row {entry.pointers[0][1]} on page {entry.pointers[0][0]} of the table")
print(f"{len(leaf.entries)} of these on the leaf, {leaf.free} bytes are free")

# %% [markdown]
# Here is the search for order 4711. In a running notebook, step through it with the buttons, or type a key of your own; what is stored is the last step.

# %%
search = stepper(engine, "orders_pkey", find=4711)
search

# %% [markdown]
# The *comparisons* are those of a binary search: each halves what is left, and there are as many of them as in a binary tree. But a binary tree would have each on a page of its own. Here they all happen on two. A B-tree saves no comparisons; it saves
# pages.

# %%
captions = [search.player[number].caption for number in range(len(search.player))]
compared = sum("is below" in caption or "is above" in caption or "is equal" in caption for caption in captions)
read = sum("is read" in caption for caption in captions)
print(f"{compared} comparisons on {read} pages")
assert compared > 10 and read == index.height == 2

# %% [markdown]
# ## 3. How it grows
#
# Real pages take hundreds of keys until something happens. Here is a tree of the same build whose pages have only 128 bytes, so that four keys fill a leaf:

# %%
tree = Tree(page_bytes=128)
for key in (10, 50, 20, 60, 30, 70, 40, 15):
    tree.insert(key)
tree

# %% [markdown]
# Now comes 25. It belongs on the left-most leaf: below 30. That leaf is full. Its **high key**, the bound 30, takes room as well.
#
# **Predict.** How many pages does this one insert write?

# %%
guess = predict("tree-split", between=(..., ...))

# %%
growing = stepper(tree, keys=[25])
before = tree.counters
tree.insert(25)
guess.measured((tree.counters - before).writes)

# %%
growing

# %% [markdown]
# The leaf is **split**: half of its entries move to a new page. The old right neighbour must learn who stands on its left now. And the page above gets an entry for the new page. So four pages are written, where an insert that
# finds room writes one:

# %%
before = tree.counters
tree.insert(5)
print(f"with room: {(tree.counters - before).writes} page written")

# %% [markdown]
# What if the page above is full as well? It is split too. And if that was the root, a new root is put on top. Keep on inserting until that happens:

# %%
before, heights = tree.counters, {tree.height}
for key in (35, 12, 45):
    tree.insert(key)
    heights.add(tree.height)
print(f"{(tree.counters - before).new_roots} new root; heights seen: {sorted(heights)}")
tree

# %%
assert tree.height == 3 and not tree.faults()

# %% [markdown]
# A B-tree grows *at the top*. No leaf ever hangs deeper than another, so there is nothing to balance afterwards, and no key is far away. That is why the million of rows cost one page more: one level.

# %% [markdown]
# ## 4. A range
#
# A lookup in a million rows reads three pages of the index. Now a thousand neighbours: `BETWEEN 500000 AND 500999`, the key alone, so that the table is not needed (only one page of its **visibility map** is looked at).
#
# **Predict.** How many pages, all told?

# %%
guess = predict("tree-range", between=(..., ...))

# %%
next_to = "SELECT visit_id FROM visits_1000000 WHERE visit_id BETWEEN 500000 AND 500999"
neighbours = look("1,000 neighbours", next_to)
guess.measured(neighbours.buffers)

# %% [markdown]
# Not a thousand times three. The search goes down *once*, to the first key. From there each leaf names its right sibling, and 366 rows stand on each. In the little tree, the range from 15 to 45:

# %%
stepper(tree, keys=[("range", 15, 45)])

# %% [markdown]
# A thousand keys that are *not* neighbours pay for each way down:

# %%
apart = """SELECT visit_id FROM visits_1000000
           WHERE visit_id = ANY (ARRAY(SELECT generate_series(1, 1000000, 1000)))"""
scattered = look("1,000 scattered keys", apart)
print(f"{neighbours.buffers} pages for neighbours, {scattered.buffers} for scattered keys")
assert neighbours.buffers.value < 10 and scattered.buffers.value > 300 * neighbours.buffers.value

# %% [markdown]
# ## 5. Both ways, and nothing at the end
#
# Parcels have a time of delivery. The newest thousand are still on the road: theirs is NULL.

# %%
change("DROP TABLE IF EXISTS parcels")
change("""CREATE TABLE parcels AS
          SELECT order_id, CASE WHEN order_id <= 99000 THEN placed_at END AS delivered_at FROM orders""")
change("CREATE INDEX parcels_delivered ON parcels (delivered_at)")
change("VACUUM ANALYZE parcels")

# %% [markdown]
# Three tickets ask for an index. *"NULLs are not indexed, we need a partial one"* (a). *"Newest first needs an index with `DESC`"* (b). *"Newest first, those on the road last"* (c). The plain index above serves two of the three.
#
# **Predict** which one it does *not* serve, and how sure you are: `choice="a", confidence=0.6`.

# %%
guess = predict("tree-order", choice=..., confidence=...)

# %%
tickets = {
    "a": "SELECT count(*) FROM parcels WHERE delivered_at IS NULL",
    "b": "SELECT order_id FROM parcels ORDER BY delivered_at DESC LIMIT 10",
    "c": "SELECT order_id FROM parcels ORDER BY delivered_at DESC NULLS LAST LIMIT 10",
}
served = {letter: look(f"parcels, ticket {letter}", sql) for letter, sql in tickets.items()}
guess.measured(max(served, key=lambda letter: served[letter].buffers.value))

# %%
for letter, plan in served.items():
    print(f"{letter}: {plan.buffers} pages")
served["b"]

# %% [markdown]
# NULLs *are* in the index: they sort as one value above all others, a thousand entries at the right end. And leaves are linked both ways, so the same index is read backward. What one index cannot do is turn *half* of the order around: backward, the NULLs come first.
#
# So ticket b has another trouble, which no counter shows. Look at the rows:

# %%
newest = "SELECT order_id, delivered_at FROM parcels {} ORDER BY delivered_at DESC LIMIT 2"
with engine.connect() as connection:
    for row in connection.execute(text(newest.format(""))).mappings():
        print(dict(row))

# %% [markdown]
# "The latest deliveries" are parcels that were never delivered. What ticket c really wants needs no index either, only a condition:

# %%
delivered = look("parcels, those delivered", newest.format("WHERE delivered_at IS NOT NULL"))
print(f"{delivered.buffers} pages")
assert served["a"].buffers.value < 10 and served["b"].buffers.value < 10 and delivered.buffers.value < 10
assert served["c"].buffers.value > 100

# %% [markdown]
# Three tickets, no index. `DESC` in an index matters where two columns run in opposite directions: `ORDER BY customer_id, placed_at DESC`.
#
# *Elsewhere*: Oracle leaves a row out of an index where all its key columns are NULL, which is where the rumour comes from. MySQL and SQLite sort NULLs *below* all values; both index them.

# %% [markdown]
# ## 6. The same key a thousand times
#
# The primary key of the orders takes 22.5 bytes a row. `status` has four values, and a key such as `shipped` takes eight bytes, as a bigint does.
#
# **Predict.** How many bytes a row does an index on `status` take?

# %%
guess = predict("tree-duplicates", between=(..., ...))

# %%
change("CREATE INDEX IF NOT EXISTS orders_status ON orders (status)")
status = read_index(engine, "orders_status")
guess.measured(round(len(status.pages) * status.page_bytes / status.rows, 1), unit="bytes a row")

# %%
entry = status.leaves()[-2].entries[0]
print(f"'{entry.key}' stands there once, for {len(entry.pointers)} rows: {entry.bytes} bytes")
unique_pages, status_pages = len(index.pages), len(status.pages)
assert unique_pages > 3 * status_pages

# %% [markdown]
# Duplicates do not bloat an index, they shrink it. Equal keys share a **posting list**: the key once, then six bytes for each row. *Since 13*; earlier versions, and an index that was upgraded from one and never rebuilt, keep each key by itself, as `deduplicate_items = off` does:

# %%
change("""CREATE INDEX IF NOT EXISTS status_plain ON orders (status)
          WITH (deduplicate_items = off)""")
plain = read_index(engine, "status_plain")
print(f"{len(plain.pages)} pages without posting lists, {status_pages} with them")
assert len(plain.pages) > 3 * status_pages

# %% [markdown]
# ## 7. The tree on the back of an envelope
#
# Everything so far follows from four steps. For a million bigints:
#
# 1. **An entry**: 8 bytes that say where the row is, the key (rounded up to a multiple of 8), and a slot of 4.
# 2. **A leaf**: 8,192 bytes, less 40 for the header, filled to 90 per cent by `CREATE INDEX`.
# 3. **The leaves**: rows by rows a leaf.
# 4. **The levels above**: one entry for each page below, at 70 per cent full, until one page is enough.

# %%
entry_bytes = 8 + 8 + 4
rows_a_leaf = (8192 - 40) * 0.9 // entry_bytes
leaves = 1_000_000 / rows_a_leaf
entries_a_page = (8192 - 40) * 0.7 // entry_bytes
print(f"{rows_a_leaf:.0f} rows a leaf, {leaves:,.0f} leaves, {leaves / entries_a_page:.1f} pages above, one root")

# %% [markdown]
# Now you. The shop's customers are to get a token: 200,000 random UUIDs of 16 bytes, and an index is built on them. **Predict** its pages. Take a pencil.

# %%
guess = predict("tree-model", between=(..., ...))

# %%
change("DROP TABLE IF EXISTS tokens")
change("CREATE TABLE tokens AS SELECT md5(n::text)::uuid AS token FROM generate_series(1, 200000) n")
change("CREATE INDEX tokens_token ON tokens (token)")
tokens = read_index(engine, "tokens_token")
guess.measured(len(tokens.pages), unit="pages")

# %% [markdown]
# `model` does the same arithmetic and minds the small print: the high key of each page, page 0 of the file (it says where the root is, and `read_index` does not count it), how pages fill when keys arrive one by one.

# %%
by_uuid = model(200_000, "uuid", arrival="built")
by_uuid

# %%
visits = read_index(engine, "visits_1000000_key")
by_bigint = model(1_000_000, "bigint", arrival="built")
for name, told, found in (("uuid", by_uuid, tokens), ("bigint", by_bigint, visits)):
    print(f"{name:8} told {told.pages_by_level}, found {found.counts}")
    assert told.height == found.height and abs(told.leaf_pages / found.counts[0] - 1) < 0.03

# %% [markdown]
# And tables that you do not have. The model is held against real indexes of up to a million rows (`bench/btree_model.py`); what it says beyond ten times that is a hypothesis:

# %%
for rows in (1_000, 100_000, 1_000_000, 100_000_000, 1_000_000_000):
    told = model(rows, "bigint", arrival="built")
    print(f"{rows:>13,} rows: {told.height} pages of the index a lookup, {told.bytes / 1e9:>7.2f} GB")

# %% [markdown]
# The height is a logarithm to the base of some hundreds. What a *larger* index costs is memory: with a billion rows, the leaf that you want is probably not in the cache. That is what "slower with size" mostly is, and it is a matter of
# gigabytes, not of depth.
#
# If anything makes a tree deep, it is a **wide key**. Twenty thousand web addresses of 400 bytes:

# %%
change("DROP TABLE IF EXISTS addresses")
change("""CREATE TABLE addresses AS SELECT string_agg(md5(n::text || part), '') || repeat('x', 16) AS url
          FROM generate_series(1, 20000) n, generate_series(1, 12) part GROUP BY n""")
change('CREATE INDEX addresses_url ON addresses (url COLLATE "C")')
addresses = read_index(engine, "addresses_url")
print(f"told {model(20_000, 'text(400)', arrival='built').pages_by_level}, found {addresses.counts}")

# %%
assert addresses.height > visits.height

# %% [markdown]
# A fiftieth of the rows, and one level *more* than a million bigints have: fewer than twenty such keys fit on a page. (Of several columns, PostgreSQL keeps only as many in the upper levels as tell two pages apart; a single column it keeps whole.)

# %% [markdown]
# ## The same in production
#
# Everything was measured in the profile `counting`: PostgreSQL 18, no autovacuum, no parallel workers, statistics from every row. Here is your diary again, under PostgreSQL's own defaults.

# %%
production = shop(orders=100_000, profile="production")
here, there = {}, {}
for entry in diary:
    if isinstance(entry, str):
        run(entry, production)
    else:
        claim, sql, here[claim] = entry
        there[claim] = explain(sql, production).buffers.value

# %%
found = {"orders_pkey": index, "orders_status": status, "status_plain": plain, "tokens_token": tokens}
found["addresses_url"] = addresses
for name, snapshot in found.items():
    here[f"pages of {name}"] = len(snapshot.pages)
    there[f"pages of {name}"] = len(read_index(production, name).pages)
top = read_index(production, "orders_pkey")
here["entries of the root"] = len(root.entries)
there["entries of the root"] = len(top.pages[top.root].entries)
print(f"{'pages':32}{'counting':>10}{'production':>12}")
for claim in here:
    changed = "" if here[claim] == there[claim] else "   changed"
    print(f"{claim:32}{here[claim]:>10,.0f}{there[claim]:>12,.0f}{changed}")

# %%
assert there["a lookup in 1,000,000 rows"] <= there["a lookup in 1,000 rows"] + 2
assert there["entries of the root"] > 200
assert there["1,000 scattered keys"] > 100 * there["1,000 neighbours"]
assert max(there[f"parcels, ticket {letter}"] for letter in "ab") < 10 < there["parcels, ticket c"] / 10
assert there["pages of orders_pkey"] > 3 * there["pages of orders_status"]

# %% [markdown]
# The shape of a tree is a matter of keys and their order, not of settings. Where a line says *changed*, open its plan with `explain(..., production)`. Here, all indexes were built at once. What happens when keys arrive one by one, in
# order or not, is the next evening.

# %% [markdown]
# ## What you know now
#
# - A lookup reads one page a level. A thousand rows: three pages with the table's. A million: four. Archiving wins one.
# - The root of 100,000 orders has 274 entries, not two. The tree is shallow because pages are wide.
# - A full page is split in two, and four pages are written. The tree grows at the root; all leaves are equally deep.
# - A range goes down once, then along the leaves. A thousand scattered keys go down a thousand times.
# - NULLs are indexed, at the end. One index serves both directions; `DESC` puts the NULLs *first*.
# - Equal keys share posting lists: a third of the bytes.
# - Entry, leaf, leaves, levels: four steps, and you know the index before it exists. A wide key makes a tree deep, not many rows.
#
# ## Tomorrow at work
#
# Three queries that only read. How many bytes does each index take for a row? Twenty-odd is a bigint that is packed well. Much more is a wide key, or room that is left over:

# %%
bytes_a_row = """SELECT c.relname, round(pg_relation_size(c.oid) / c.reltuples)::int AS bytes_a_row,
                        pg_size_pretty(pg_relation_size(c.oid)) AS size
                 FROM pg_class c JOIN pg_am a ON a.oid = c.relam
                 WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.reltuples > 1000
                 ORDER BY pg_relation_size(c.oid) DESC LIMIT 5"""
with engine.connect() as connection:
    for row in connection.execute(text(bytes_a_row)).mappings():
        print(dict(row))

# %% [markdown]
# Which indexes on one column are the same but for their direction or their options, so that one may go?

# %%
twins = """SELECT one.indexrelid::regclass::text AS may_go, other.indexrelid::regclass::text AS because_of
           FROM pg_index one JOIN pg_index other USING (indrelid)
           WHERE one.indexrelid <> other.indexrelid AND NOT one.indisunique
             AND (other.indisunique OR one.indexrelid > other.indexrelid)
             AND one.indnkeyatts = 1 AND one.indkey::text = other.indkey::text
             AND one.indclass::text = other.indclass::text
             AND one.indcollation::text = other.indcollation::text
             AND concat(one.indexprs, one.indpred, other.indpred) = ''"""
with engine.connect() as connection:
    for row in connection.execute(text(twins)).mappings():
        print(dict(row))

# %% [markdown]
# And which indexed columns have NULLs, so that an `ORDER BY ... DESC LIMIT` on them shows those first? Look for such queries in your code.

# %%
nullable = """SELECT i.indexrelid::regclass::text AS index, s.attname AS column,
                     round(100 * s.null_frac) AS per_cent_null
              FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
              JOIN pg_stats s ON s.schemaname = c.relnamespace::regnamespace::text
                             AND s.tablename = c.relname AND s.attname = a.attname
              WHERE s.null_frac > 0 ORDER BY s.null_frac DESC LIMIT 5"""
with engine.connect() as connection:
    for row in connection.execute(text(nullable)).mappings():
        print(dict(row))

# %% [markdown]
# **To read**: PostgreSQL's manual, *B-Tree Indexes* (*Implementation*, above all *Deduplication*) and *Indexes and ORDER BY*; Goetz Graefe, *Modern B-Tree Techniques* (2011), chapters 1 to 3; Lehman and Yao, *Efficient Locking for Concurrent Operations on B-Trees* (1981), where high keys and right links come from.
#
# **Practise**: exercises 1 to 5 of `labs/01_btrees.ipynb`. **Next evening**: `01_btrees_3_arrival.ipynb`, what the order of arrival and deletion do to the tree.
