# %% [markdown]
# # B-trees, third evening: order of arrival
#
# Tuesday, ten past nine. Last night a job deleted nine tenths of an old table, to win back the disk. Nothing came back: the index is as large as before. This morning's inserts make it *larger*. And the agent's pull
# request replaces the order numbers by random UUIDs, "an index is an index".
#
# The same rows make an index of one size or of twice that size. What decides is the order in which they came, and the order in which they went. Thirty-five minutes, seven predictions; afterwards you work out the size
# of an index before it exists, and say what a delete will give back.

# %%
from sqlalchemy import text

from workbook import database_of, measure, predict, shop
from workbook.btree import model, read_index
from workbook.draw.charts import bars, lines

# %%
engine = shop(orders=20_000)
ROWS = 200_000


def run(sql, on=engine):
    with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(sql))


# %% [markdown]
# `grow` makes a table with an index, fills it row by row in an order of your choice, and reads the index from the bytes of its pages. `file_pages` is the size of its file.

# %%
def grow(name, kind, key, on=engine, rows=ROWS):
    run(f"DROP TABLE IF EXISTS {name}", on)
    run(f"CREATE TABLE {name} (key {kind})", on)
    run(f"CREATE INDEX {name}_key ON {name} (key)", on)
    run(f"INSERT INTO {name} SELECT {key} FROM generate_series(1, {rows}) n", on)
    return read_index(on, f"{name}_key")


def file_pages(name, on=engine):
    return database_of(on).relation_bytes(f"{name}_key") // 8192


# %%
in_order = grow("in_order", "bigint", "n")
backwards = grow("backwards", "bigint", "-n")
bars({"1, 2, 3 ...": file_pages("in_order"), "-1, -2, -3 ...": file_pages("backwards")}, "Pages", unit="pages")

# %% [markdown]
# Two hundred thousand numbers of eight bytes, in both. The same question can be asked of both, and is answered in the same time. One is nearly twice as large.

# %% [markdown]
# ## 1. Where a full page is cut
#
# When a leaf is full, half of its entries move to a new page: that is the textbook's B-tree, and why its pages are said to be between half full and full. Keys that come in order always arrive on the last page. **Predict**:
# how full, in per cent, are the leaves of `in_order`?

# %%
guess = predict("arrival-in-order", between=(..., ...))

# %%
full = {name: round(100 * read_index(engine, f"{name}_key").density) for name in ("in_order", "backwards")}
guess.measured(full["in_order"], unit="per cent")

# %%
print(full)
assert full["in_order"] == 90 and full["backwards"] == 50

# %% [markdown]
# PostgreSQL looks where it cuts. The *last* page of a level is cut so that 90 % stay behind: what comes next will come on the right, and the page that is left is never visited again. (The 90 is the index's `fillfactor`.)
# Every other page is cut in the middle. Numbers that fall arrive on the *first* page: it is halved, its right half stays as it is for ever.
#
# That is arithmetic, and `model` does it. An entry takes 16 bytes and a slot of 4; a page of 8,192 has room for 407; 366 stay:

# %%
predicted = model(ROWS, "bigint")
print(predicted)
assert predicted.pages_by_level == in_order.counts
assert model(ROWS, "bigint", arrival="descending").pages_by_level == backwards.counts

# %% [markdown]
# Not nearly: to the page. *Elsewhere*: InnoDB fills fifteen sixteenths of a page where keys come in order; SQLite leaves a table's pages full where rowids rise.

# %% [markdown]
# ## 2. The pull request
#
# A UUID has 16 bytes, a bigint 8; with what belongs to an entry that is 28 against 20, two fifths more. **Predict**: how many times as large as `in_order` is an index over two hundred thousand *random* UUIDs? (These are
# hashes, so that the notebook repeats; PostgreSQL cannot tell them from `gen_random_uuid()`.)

# %%
guess = predict("arrival-scattered", between=(..., ...))

# %%
scattered = grow("scattered", "uuid", "md5(n::text)::uuid")
times = file_pages("scattered") / file_pages("in_order")
guess.measured(round(times, 2))

# %%
by_time = grow("by_time", "uuid", "(lpad(to_hex(n), 16, '0') || left(md5(n::text), 16))::uuid")
sizes = {name: file_pages(name) for name in ("in_order", "by_time", "scattered")}
bars(sizes, "Pages of the index", unit="pages")

# %%
assert sizes["by_time"] < 1.45 * sizes["in_order"] and times > 1.8
assert by_time.density > 0.89 and scattered.density < 0.75

# %% [markdown]
# `by_time` holds UUIDs that begin with a time, as `uuidv7()` makes them (new in PostgreSQL 18). They cost their width, and are 90 % full. Random ones also cost their order: they arrive anywhere, every page is cut in the middle, and the
# halves fill again. In the long run that leaves pages ln 2 = 69 % full. In the long run. Look at random keys at eight sizes, beside the model's curve:

# %%
some = (4600, 6000, 9000, 12_000, 18_000, 25_000, 36_000, 50_000)
points = [(rows, grow("grown", "uuid", "md5(n::text)::uuid", rows=rows)) for rows in some]
measured = [(rows, 100 * index.density) for rows, index in points]
sampled = [round(3500 * 1.09**step) for step in range(48)]
curve = [(rows, 100 * model(rows, "uuid", arrival="random").density) for rows in sampled]
lines({"model": curve, "measured": measured}, "How full the leaves are", x="rows", y="per cent", log_x=True)

# %%
for rows, index in points:
    told = model(rows, "uuid", arrival="random")
    assert len(index.counts) == told.height and abs(index.counts[0] / told.leaf_pages - 1) < 0.15

# %% [markdown]
# All pages of a young tree are of an age. They fill together and are cut together, and the tree breathes between three quarters and half. Each generation blurs the wave a little.

# %% [markdown]
# ## 3. What the log sees
#
# So random keys cost twice the space, one could say, and space is cheap. Go to production's settings. After a checkpoint the first change of each page writes the *whole page* into the write-ahead log. A thousand new orders
# arrive, just after one.

# %%
production = shop(orders=20_000, profile="production")
for name, kind, key in (("in_order", "bigint", "n"), ("scattered", "uuid", "md5(n::text)::uuid")):
    grow(name, kind, key, on=production)
    run(f"VACUUM {name}", production)


# %%
def thousand_more(name, key, on):
    database_of(on).checkpoint()
    new = f"INSERT INTO {name} SELECT {key} FROM generate_series({ROWS + 1}, {ROWS + 1000}) n"
    return measure(new, on)


# %%
few = thousand_more("in_order", "n", production)
print(f"in order: {few.wal_fpi} page images, {few.wal_bytes:,} bytes of WAL")

# %% [markdown]
# Those are the last page of the table, the last leaf, the page above it, and some pages of bookkeeping. **Predict**: how many page images do a thousand random UUIDs write?

# %%
guess = predict("arrival-images", between=(..., ...))

# %%
many = thousand_more("scattered", "md5(n::text)::uuid", production)
guess.measured(many.wal_fpi)

# %%
told = model(ROWS, "uuid", arrival="random").inserts(1000)
print(f"WAL: {many.wal_bytes / few.wal_bytes:.0f} times as much")
print(f"the model: {told.images:.0f} images of {model(ROWS, 'uuid', arrival='random').leaf_pages} leaves")
assert many.wal_bytes > 15 * few.wal_bytes and abs(many.wal_fpi / told.images - 1) < 0.08

# %% [markdown]
# A thousand darts at a thousand leaves hit nearly two thirds of them, and each hit costs a page. And with images switched off, as in the profile `counting`?

# %%
few_here = thousand_more("in_order", "n", engine)
many_here = thousand_more("scattered", "md5(n::text)::uuid", engine)
print(f"WAL: {many_here.wal_bytes / few_here.wal_bytes:.2f} times as much")
assert many_here.wal_bytes < 1.5 * few_here.wal_bytes

# %% [markdown]
# Nobody would mind. The price comes with the settings, and with the size: the more leaves there are, the fewer inserts share an image. Measured on a small table, or on a server without images, random keys look nearly free.

# %% [markdown]
# ## 4. Five values
#
# *"Don't index the status: five values over two hundred thousand rows, all those duplicates bloat it."* Whether it helps a query is another evening's question. **Predict** its size: how many per cent of the size of `in_order`?

# %%
guess = predict("arrival-repeat", between=(..., ...))

# %%
statuses = grow("statuses", "bigint", "n % 5")
share = 100 * file_pages("statuses") / sizes["in_order"]
guess.measured(round(share), unit="per cent")

# %%
entry = statuses.leaves()[0].entries[0]
print(f"one entry of {entry.bytes:,} bytes leads to {len(entry.pointers)} rows")
assert share < 40 and len(entry.pointers) > 200

# %% [markdown]
# The key is kept once, and behind it a list of rows of six bytes each: a **posting list**. PostgreSQL makes them when a leaf is full, before it thinks of cutting it (since 13). *Elsewhere*: SQLite keeps an entry for each row.

# %% [markdown]
# ## 5. Nine rows of ten are deleted
#
# Last night's job. Two tables as `in_order`: from one, nine orders of every ten go; from the other, the oldest nine tenths. Then `VACUUM`, which removes the entries of deleted rows from the indexes.

# %%
for name in ("thinned", "cleared"):
    grow(name, "bigint", "n")
print(file_pages("thinned"), "pages each")

# %%
gone = {"thinned": "key % 10 <> 0", "cleared": f"key <= {ROWS * 9 // 10}"}


def delete(name, on=engine):
    run(f"DELETE FROM {name} WHERE {gone[name]}", on)
    run(f"VACUUM {name}", on)


# %% [markdown]
# **Predict**: how many pages has the file of the index of `thinned` afterwards?

# %%
guess = predict("arrival-delete", between=(..., ...))

# %%
delete("thinned")
delete("cleared")
guess.measured(file_pages("thinned"))

# %%
indexes = {name: read_index(engine, f"{name}_key") for name in gone}
for name, index in indexes.items():
    unused = sum(page.state != "live" for page in index.pages.values())
    print(f"{name}: file {file_pages(name)} pages, {unused} out of use, leaves {index.density:.0%} full")

# %%
assert file_pages("thinned") == file_pages("cleared") == sizes["in_order"]
assert indexes["thinned"].density < 0.1
assert len(indexes["thinned"].leaves()) == 547 and len(indexes["cleared"].leaves()) == 56

# %% [markdown]
# Three things that are often said, and none of them holds. `DELETE` shrinks the index: not by a page. Pages stay at least half full: these are 9 % full, since PostgreSQL never merges two thin neighbours. (It would have to lock both
# against everybody who is on the way to them.) And where pages did become *empty*, in `cleared`, nine tenths of them left the tree, and the file is as long as ever.

# %% [markdown]
# ## 6. The rows come back
#
# A hundred and eighty thousand new orders arrive, with higher numbers. Before that, the shop sells something, and VACUUM comes by again: a page that left the tree is handed out once nobody can be on the way to it any more, which
# takes a transaction or two. **Predict** whose file grows by more than a tenth: `choice="thinned"`, `"cleared"`, `"both"` or `"neither"`, and how sure you are.

# %%
guess = predict("arrival-refill", choice=..., confidence=...)


# %%
def refill(name, on=engine):
    run("INSERT INTO in_order VALUES (0)", on)  # the shop sells something
    run(f"VACUUM {name}", on)
    before = file_pages(name, on)
    new = f"generate_series({ROWS + 1}, {ROWS * 19 // 10})"
    run(f"INSERT INTO {name} SELECT * FROM {new}", on)
    return file_pages(name, on) / before

# %%
grew = {name: refill(name) for name in gone}
growing = [name for name, times in grew.items() if times > 1.1]
guess.measured("both" if len(growing) == 2 else (growing or ["neither"])[0])

# %%
print({name: f"{times:.2f} times" for name, times in grew.items()})
assert grew["thinned"] > 1.8 and grew["cleared"] < 1.02

# %% [markdown]
# Empty pages are used again, whoever needs them. Thin pages wait for keys *of their own range*, and keys that rise never come there: this index doubles with every such night. So ask of a delete not how many rows it takes, but whether it takes
# neighbours. A retention job on the key that the index begins with gives all of its pages back to the index. The same job, seen from an index on the customer, thins every page.

# %% [markdown]
# ## 7. Mended, and a fortnight later
#
# `REINDEX INDEX CONCURRENTLY` writes the index anew beside its writers, as `CREATE INDEX` would: 90 % full, in the shape of a file that shrank at last. It is the cure for `thinned`. Then somebody applies it to the random UUIDs
# as well, every month.

# %%
doubled = round(grew["thinned"] * sizes["in_order"])
run("REINDEX INDEX CONCURRENTLY thinned_key")
run("REINDEX INDEX CONCURRENTLY scattered_key")
fresh = read_index(engine, "scattered_key").counts[0]
print(f"thinned: {doubled} pages before, {file_pages('thinned')} after")
print(f"scattered: {scattered.counts[0]} leaves before, {fresh} after")
assert file_pages("thinned") < 0.6 * doubled

# %%
def leaves_after(more, on=engine):
    have = f"(SELECT count(*) FROM scattered) AS have, generate_series(1, {more}) AS i"
    run(f"INSERT INTO scattered SELECT md5((have.count + i)::text)::uuid FROM {have}", on)
    return read_index(on, "scattered_key").counts[0]

# %%
after_10_000 = leaves_after(10_000)
print(f"10,000 more rows split {after_10_000 - fresh} of {fresh} leaves")

# %% [markdown]
# **Predict**: how many leaves do the *next* 20,000 rows split?

# %%
guess = predict("arrival-wave", between=(..., ...))

# %%
after_30_000 = leaves_after(20_000)
guess.measured(after_30_000 - after_10_000)

# %%
built = model(ROWS, "uuid", arrival="built")
wave = [built.inserts(rows, "random").splits for rows in (10_000, 30_000)]
print(f"the model: {wave[0]:.0f} splits at first, then {wave[1] - wave[0]:.0f}")
assert after_10_000 - fresh < 0.05 * fresh and after_30_000 - after_10_000 > 0.8 * fresh
assert abs((after_30_000 - fresh) / wave[1] - 1) < 0.08

# %% [markdown]
# Every page was filled to 90 %, so every page is full at the same time: fifteen per cent more rows, and the index is larger than before it was mended, by a storm of splits. The wave of section 2 begins anew. For random keys, 69 % is
# where the index wants to be; leave it there, or build it with a lower fill factor where it hardly grows.

# %% [markdown]
# ## The same in production
#
# Page images had their turn. The rest once more, where autovacuum works, files are synchronised and pages carry checksums:

# %%
times_there = file_pages("scattered", production) / file_pages("in_order", production)
backwards_there = grow("backwards", "bigint", "-n", on=production)
cleared_there = grow("cleared", "bigint", "n", on=production)
thinned_there = grow("thinned", "bigint", "n", on=production)
statuses_there = grow("statuses", "bigint", "n % 5", on=production)

# %%
whole_there = {name: file_pages(name, production) for name in gone}
delete("thinned", on=production)
delete("cleared", on=production)
kept_there = {name: file_pages(name, production) for name in gone}
thin_there = read_index(production, "thinned_key").density
left_there = len(read_index(production, "cleared_key").leaves())
grew_there = {name: refill(name, on=production) for name in gone}

# %%
run("REINDEX INDEX CONCURRENTLY scattered_key", production)
fresh_there = read_index(production, "scattered_key").counts[0]
waves_there = [leaves_after(rows, on=production) for rows in (10_000, 20_000)]

# %%
share_there = 100 * statuses_there.counts[0] / thinned_there.counts[0]
rows = {
    "leaves in order, per cent full": (full["in_order"], 100 * cleared_there.density),
    "backwards": (full["backwards"], 100 * backwards_there.density),
    "random UUIDs, times the pages": (times, times_there),
    "five values, per cent of the pages": (share, share_there),
    "thinned: leaves, per cent full": (100 * indexes["thinned"].density, 100 * thin_there),
    "thinned: pages of the file": (sizes["in_order"], kept_there["thinned"]),
    "cleared: pages of the file": (sizes["in_order"], kept_there["cleared"]),
    "cleared: leaves that are left": (len(indexes["cleared"].leaves()), left_there),
    "thinned, refilled: times the pages": (grew["thinned"], grew_there["thinned"]),
    "cleared, refilled": (grew["cleared"], grew_there["cleared"]),
}

# %%
print(f"{'':38}{'counting':>10}{'production':>12}")
for claim, (here, in_production) in rows.items():
    print(f"{claim:38}{here:>10.1f}{in_production:>12.1f}")

# %%
assert all(abs(here / in_production - 1) < 0.1 for here, in_production in rows.values())
assert kept_there == whole_there and left_there < 0.2 * kept_there["cleared"]
assert waves_there[0] - fresh_there < 0.1 * fresh_there
assert waves_there[1] - waves_there[0] > 0.8 * fresh_there

# %% [markdown]
# Nothing of it depends on the settings: where a page is cut is written in the program. What it costs in WAL does.

# %% [markdown]
# ## What you know now
#
# - The last page of a level is cut at 90 %, every other one in the middle: in order, leaves are 90 % full; backwards, 50.
# - Random keys cost their width, their order (on the way to 69 %, in waves) and, after each checkpoint, a page image for nearly every leaf they hit: 6 images in order, hundreds at random.
# - Duplicates share posting lists: five values take less than a third of what unique ones take.
# - `DELETE` and `VACUUM` never shorten the file. Neighbours that go together leave whole pages, which are used again; scattered rows leave thin pages (9 %), and rising keys do not fill them.
# - `REINDEX` mends thin pages. For random keys it buys a storm of splits at about 111 % of the rows.
#
# ## Tomorrow at work
#
# These only read. Bytes a row of each large index (as the last VACUUM counted rows): beside `model(rows, "bigint").bytes / rows`, which is 23, twice as many is a question. Tables that lose many rows. And page images in your log:

# %%
database_of(production).vacuum()  # this one writes; at work autovacuum has done it

# %%
bytes_a_row = """SELECT c.relname, round(pg_relation_size(c.oid) / nullif(c.reltuples, 0)::numeric, 1)
                 FROM pg_class c WHERE c.relkind = 'i' AND c.reltuples > 10000 ORDER BY 2 DESC LIMIT 5"""
losing = """SELECT relname, n_tup_ins, n_tup_del FROM pg_stat_user_tables
            WHERE n_tup_del > 1000 ORDER BY n_tup_del DESC LIMIT 5"""
images = "SELECT 'page images, per cent of the records', round(100.0 * wal_fpi / wal_records, 1) FROM pg_stat_wal"
with production.connect() as connection:
    for sql in (bytes_a_row, losing, images):
        for row in connection.execute(text(sql)):
            print(*row)

# %% [markdown]
# **To read**: PostgreSQL's manual, *B-Tree Indexes* (deduplication) and *WAL Configuration*; its source, `src/backend/access/nbtree/README`; Glombiewski, Seeger and Graefe, *Waves of Misery After Index Creation* (BTW 2019).
# **Next**: the graded lab, `labs/01_btrees.ipynb`. Optional, and fifty minutes: `01_btrees_4_workshop.ipynb`, in which you read a metapage byte by byte and write the splits yourself.
