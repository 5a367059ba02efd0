# %% [markdown]
# # B-trees, a workshop: read the bytes, write the tree
#
# *"How do you know?"* The new colleague has listened to you for three evenings: pages, high keys, splits. She has seen the pictures, too. But the pictures come from a package, and packages have been wrong. How would you show her, with nothing in your
# hands but a file and Python's standard library?
#
# This evening is **optional**: nothing later builds on it, nothing is graded, and it takes fifty minutes, not thirty-five. In its first half you find one row in a real index of PostgreSQL from bytes alone. In the second you write a B-tree that splits, some forty lines in all, and
# hold each step against a sorted list, and in the end against a tree that is PostgreSQL's page for page.

# %%
from bisect import bisect_right, insort
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from random import Random
from struct import Struct

from sqlalchemy import text

from workbook import database_of, explain, predict, shop
from workbook.btree import Tree, read_index, stepper
from workbook.btree.splitting import halves

# %%
engine = shop(orders=100_000)


# %% [markdown]
# ## First half: one row, from bytes alone
#
# An index is a file. Ordinary roles may not read the server's files, so this function asks as the superuser. (A page that was changed stands in memory first: the `CHECKPOINT` writes it to the file.) Everything from here on is yours.

# %%
def read(number, index="orders_pkey", on=engine):
    database = database_of(on)
    place = f"pg_catalog.pg_relation_filepath(oid), {number} * 8192, 8192"
    sql = f"SELECT pg_catalog.pg_read_binary_file({place}) FROM pg_catalog.pg_class WHERE relname = '{index}'"
    return database.cluster.admin(sql, database.name)[0][0]


# %%
database_of(engine).checkpoint()
page_0 = read(0)
print(f"{len(page_0)} bytes; from byte 24 on: {page_0[24:48].hex(' ', 4)}")

# %% [markdown]
# ### 1. The metapage
#
# Page 0 is no part of the tree. It says where the tree begins. Behind the 24 bytes of header that every page has stand six numbers of four bytes each, the low byte first: a magic number, the version of the format, then a page and its level, and once more a page and its level.
#
# The index has 276 pages. **Predict**: which number has the root?

# %%
guess = predict("workshop-root", between=(..., ...))

# %%
META = Struct("<IIIIII")
magic, version, root, level, fast_root, fast_level = META.unpack_from(page_0, 24)
print(f"magic {magic:#x}, version {version}, root: page {root} on level {level}")
guess.measured(root)

# %%
index = read_index(engine, "orders_pkey")
assert (magic, version) == (0x053162, 4)
assert (root, level) == (index.root, index.height - 1) and len(index.pages) == 275

# %% [markdown]
# Neither the first nor the last. When the index was built, page 1 was its first leaf, and filled. Leaf 2 was begun, and only now was a page needed that leads to both: page 3. It has been the root ever since, and all that came later stands behind it. A root only moves when it is itself cut
# in two.
#
# The second pair is the **fast root**: if a level near the top ever consists of one page, a search may begin there. Here both pairs are the same.

# %%
assert (fast_root, fast_level) == (root, level)

# %% [markdown]
# ### 2. A page: both ends, and the middle
#
# A page fills from both ends. From the front grow **slots** of four bytes, in the order of the keys. From the back grow the entries, in the order in which they came. In the header stand the two places where they end, and the place of the **special space**, the last sixteen bytes: the numbers of the left and the right sibling, the level,
# flags.

# %%
HEADER, OPAQUE = Struct("<12xHHH"), Struct("<IIIHH")


def ends(page):
    lower, upper, special = HEADER.unpack_from(page)
    left, right, level, flags, _ = OPAQUE.unpack_from(page, special)
    return dict(slots=(lower - 24) // 4, free=upper - lower, left=left, right=right, level=level)


# %%
print("the root:  ", ends(read(root)))
print("page 1:    ", ends(read(1)))

# %% [markdown]
# Page 1 has no left sibling (0 is the metapage, so that nobody's sibling is page 0), and page 2 on its right. **Predict**: page 1 has 367 slots. How many *rows* does it lead to?

# %%
guess = predict("workshop-slots", between=(..., ...))

# %% [markdown]
# A slot packs three things into 32 bits: where the entry begins (15 bits), two flags, how long it is (15 bits). An entry of a bigint is: a page of the table (two halves of two bytes, the high one first), a place on that page, flags; then the key, eight bytes.

# %%
ENTRY = Struct("<HHHHq")


def entries(page):
    count = ends(page)["slots"]
    for slot in Struct(f"<{count}I").unpack_from(page, 24):
        high, low, place, flags, key = ENTRY.unpack_from(page, slot & 0x7FFF)
        yield key, (high << 16 | low, place)


# %%
leaf = list(entries(read(1)))
print(*leaf[:3], "...", leaf[-1], sep="\n")

# %% [markdown]
# The first slot is out of order. It is the **high key**: no row, but the bound below which all of this page's keys are. It stands on every page that has a right sibling, so here are 366 rows.

# %%
rows = leaf[1:] if ends(read(1))["right"] else leaf
guess.measured(len(rows))

# %%
assert [key for key, _ in rows] == [entry.key for entry in index.pages[1].entries] == list(range(1, 367))
assert leaf[0][0] == index.pages[1].high_key == 367

# %% [markdown]
# And the free bytes? The page was filled to 90 per cent, then the next one was begun. Keys that rise do not come back.

# %%
print(f"{ends(read(1))['free']} of 8192 bytes are free")
assert ends(read(1))["free"] == index.pages[1].free

# %% [markdown]
# ### 3. The way down
#
# On an inner page the same bytes mean something else: the first four say which page of the index lies *below*. The first entry (behind the high key, if there is one) has no key at all: it stands for everything from the left end on, -∞. Its eight bytes are all there is, so what is read as its key is whatever comes next in the
# page. Do not look.

# %%
def below(page, key):
    found = list(entries(page))[1 if ends(page)["right"] else 0 :]
    keys = [key for key, _ in found[1:]]  # without the one that has none
    return found[bisect_right(keys, key)][1][0]


# %% [markdown]
# Now walk. From the metapage to the root, from page to page until the level is 0, then look for the key.

# %%
def find(key):
    number, way = META.unpack_from(read(0), 24)[2], []
    while ends(read(number))["level"] > 0:
        way.append(number)
        number = below(read(number), key)
    return [*way, number], dict(entries(read(number)))[key]


# %%
way, (block, place) = find(4711)
print(f"pages {way} of the index, then page {block} of the table, place {place}")

# %% [markdown]
# Is it true? Every row of a table has a name that says where it lies: its `ctid`.

# %%
with engine.connect() as connection:
    row = text(f"SELECT order_id, status FROM orders WHERE ctid = '({block},{place})'")
    found = connection.execute(row).one()
print(found)
assert found.order_id == 4711

# %% [markdown]
# Four numbers of a metapage, two pages of a tree, one row. **Predict**: you read three pages of the index, page 0 included, and one of the table. How many does PostgreSQL count for the same lookup?

# %%
guess = predict("workshop-lookup", between=(..., ...))

# %%
lookup = explain("SELECT status FROM orders WHERE order_id = 4711", engine)
guess.measured(lookup.buffers)

# %%
assert lookup.buffers.value == len(way) + 1 == 3

# %% [markdown]
# One less than you. A session reads the metapage once, and keeps what it says. (If the root has been cut in two since, the session arrives on a page that is the left half of the old one. It sees the high key, and moves right. You will need that yourself in half an hour.)
#
# All other rows, just to be sure that 4711 was no luck:

# %%
chance = Random(1)
some = chance.sample(range(1, 100_001), 40)
with engine.connect() as connection:
    for key in some:
        there = "({},{})".format(*find(key)[1])
        row = text("SELECT order_id FROM orders WHERE ctid = CAST(:there AS tid)")
        assert connection.execute(row, {"there": there}).scalar_one() == key

# %% [markdown]
# ## Second half: a tree of your own
#
# Pages of 128 bytes, so that something happens. Of these, 40 are the header and the special space, and 88 are yours. An entry with a key takes 20 bytes, as above (8 for where to, 8 for the key, a slot of 4), and so does a high key; the entry without a key, the first of an inner page, takes 12.

# %%
ROOM, LOWEST = 88, float("-inf")


@dataclass
class Page:
    level: int
    keys: list = field(default_factory=list)
    children: list = field(default_factory=list)
    high: int | None = None
    right: int | None = None

    def sizes(self):
        return [12 if key == LOWEST else 20 for key in self.keys]


# %%
@dataclass
class Small:
    root: int = 1
    pages: dict = field(default_factory=lambda: {1: Page(0)})

    def add(self, page):
        number = len(self.pages) + 1
        self.pages[number] = page
        return number


# %% [markdown]
# ### 4. Insert where there is room
#
# To *find the leaf* is what you did above; the way down is kept, because somebody may have to go back up. To *insert* is to keep a sorted list. A page is too full when its entries and its high key take more than its room.

# %%
def way_to(tree, key):
    way, page = [tree.root], tree.pages[tree.root]
    while page.level > 0:
        way.append(page.children[bisect_right(page.keys, key) - 1])
        page = tree.pages[way[-1]]
    return way


def too_full(page):
    return sum(page.sizes()) + (0 if page.high is None else 20) > ROOM


# %%
tree = Small()
for key in (50, 20, 60, 10):
    insort(tree.pages[way_to(tree, key)[-1]].keys, key)
print(tree.pages[1].keys, "too full:", too_full(tree.pages[1]))
assert tree.pages[1].keys == sorted([50, 20, 60, 10]) and not too_full(tree.pages[1])

# %% [markdown]
# Four keys, 80 bytes of 88. The fifth does not fit.
#
# ### 5. Cut a page in two
#
# Half of the *bytes* stay. The other half goes to a new page on the right, which takes over the old page's right sibling and its high key. The old page gets a new high key: the first key on the right. On an inner page that first key goes up and is not kept: its entry becomes the one
# that stands for -∞.

# %%
def middle(sizes):
    half, so_far = sum(sizes) / 2, list(accumulate(sizes))
    return min(range(1, len(sizes)), key=lambda at: abs(so_far[at - 1] - half))


# %%
def cut(tree, number):
    page = tree.pages[number]
    at = middle(page.sizes())
    right = Page(page.level, page.keys[at:], page.children[at:], page.high, page.right)
    page.keys, page.children = page.keys[:at], page.children[:at]
    page.high, page.right = right.keys[0], tree.add(right)
    if page.level > 0:
        right.keys[0] = LOWEST
    return page.high, page.right


# %%
insort(tree.pages[1].keys, 30)
print("goes up, and leads to page:", cut(tree, 1))
print(tree.pages[1])
print(tree.pages[2])

# %%
assert tree.pages[1].keys + tree.pages[2].keys == [10, 20, 30, 50, 60]
assert tree.pages[1].high == tree.pages[2].keys[0] and tree.pages[1].right == 2

# %% [markdown]
# Nothing is lost, and the list is sorted from page to page. But the tree's root is still page 1, which knows nothing of 50.
#
# ### 6. Tell the page above
#
# The page above gets an entry: the key that goes up, and the new page. If that makes it too full, it is cut as well, and tells the page above *it*. If there is none above, a new root is put on top, and that is the only way in which a tree ever gets higher.

# %%
def tell(tree, way, separator, number):
    if not way:
        level = tree.pages[tree.root].level + 1
        tree.root = tree.add(Page(level, [LOWEST, separator], [tree.root, number]))
        return
    above = tree.pages[way[-1]]
    at = bisect_right(above.keys, separator)
    above.keys.insert(at, separator)
    above.children.insert(at, number)
    if too_full(above):
        tell(tree, way[:-1], *cut(tree, way[-1]))


# %%
def insert(tree, key):
    way = way_to(tree, key)
    insort(tree.pages[way[-1]].keys, key)
    if too_full(tree.pages[way[-1]]):
        tell(tree, way[:-1], *cut(tree, way[-1]))


# %% [markdown]
# Two functions to check it by. One reads the leaves from left to right, by their right siblings. The other looks a key up.

# %%
def in_order(tree):
    number, keys = way_to(tree, LOWEST)[-1], []
    while number:
        keys += tree.pages[number].keys
        number = tree.pages[number].right
    return keys


def holds(tree, key):
    return key in tree.pages[way_to(tree, key)[-1]].keys


# %%
tree, put_in = Small(), []
for key in chance.sample(range(1000), 300):
    insert(tree, key)
    put_in.append(key)
    assert in_order(tree) == sorted(put_in) and holds(tree, key)

# %%
print(f"{len(tree.pages)} pages, {tree.pages[tree.root].level + 1} levels")
assert all(holds(tree, key) == (key in put_in) for key in range(1000))
assert not any(too_full(page) for page in tree.pages.values())

# %% [markdown]
# Three hundred inserts, and after each of them the leaves are the sorted list.
#
# ### 7. Is it the same tree?
#
# The workbook's teaching tree has been held against real indexes of PostgreSQL, page for page. It cuts as PostgreSQL does, which is a little cleverer than you (the right-most page keeps 90 per cent, and so on); but it takes a split from outside, and there is one that cuts in half: `halves`. So both must come to the same pages, with the same numbers, keys, bounds and siblings.

# %%
teaching = Tree(page_bytes=128, duplicates="plain", split=halves)
for key in put_in:
    teaching.insert(key)


# %%
def told(page):
    keys = [entry.key for entry in page.entries]
    return page.level, keys[1:] if page.level else keys, page.high_key, page.right


def mine(page):
    return page.level, page.keys[1:] if page.level else page.keys, page.high, page.right


# %%
theirs = {number: told(page) for number, page in teaching.snapshot().pages.items()}
assert {number: mine(page) for number, page in tree.pages.items()} == theirs
assert tree.root == teaching.root and not teaching.faults()
print(f"{len(theirs)} pages, all the same")

# %% [markdown]
# What you have written is a B-tree. Here is one of its inserts, as the stepper shows it: fourteen keys, then a fifteenth, in the tree that is the same as yours.

# %%
few = Tree(page_bytes=128, duplicates="plain", split=halves)
for key in put_in[:14]:
    few.insert(key)
stepper(few, keys=[put_in[14]])

# %% [markdown]
# ### 8. The power fails between two pages
#
# A split writes the two halves first, then the page above. What if it never gets there? The colleague pulls the plug: from now on, one split in three does not tell the page above.
#
# (PostgreSQL's log would bring the whole split back after a crash. But between the two writes, for a moment, *every* split looks like this to whoever is on the way down.)

# %%
def insert_unplugged(tree, key, chance):
    way = way_to(tree, key)
    insort(tree.pages[way[-1]].keys, key)
    if too_full(tree.pages[way[-1]]):
        news = cut(tree, way[-1])
        if chance.random() > 1 / 3:
            tell(tree, way[:-1], *news)


# %%
torn, plug = Small(), Random(2)
for key in put_in:
    insert_unplugged(torn, key, plug)
lost = sum(not holds(torn, key) for key in put_in)
print(f"{lost} of {len(put_in)} keys are not found; read from left to right, {len(in_order(torn))} keys are there")

# %% [markdown]
# They are all there, and many are not found: the page above leads to the left half, and the key went to the right one. Yet each page says where its keys end (the high key) and who comes next (the right sibling). Two lines more, on the way down: *if the key is not below the high key, move right.*

# %%
def way_to(tree, key):
    way, page = [tree.root], tree.pages[tree.root]
    while True:
        while page.high is not None and key >= page.high:
            way[-1] = page.right
            page = tree.pages[page.right]
        if page.level == 0:
            return way
        way.append(page.children[bisect_right(page.keys, key) - 1])
        page = tree.pages[way[-1]]


# %% [markdown]
# **Predict**: you put the same keys into a new tree, pull the plug at one split in three, and look all of them up with the new way down. How many of the 300 are *not* found?

# %%
guess = predict("workshop-right", between=(..., ...))

# %%
torn, plug = Small(), Random(2)
for key in put_in:
    insert_unplugged(torn, key, plug)
still_lost = sum(not holds(torn, key) for key in put_in)
guess.measured(still_lost, unit="keys")

# %%
assert lost > 20 and still_lost == 0
assert all(early < late for early, late in pairwise(in_order(torn)))

# %% [markdown]
# None. Pages that nobody above knows of are reached from the left, at the price of a page more. That is what Lehman and Yao found in 1981, and the reason why a search in PostgreSQL holds no lock on its way down: whoever arrives on a page that was cut a moment ago moves right. (PostgreSQL marks the left half until the page above has been told; the next insert that comes by tells it.)

# %% [markdown]
# ## The same in production
#
# Pages look the same under every setting but one: where checksums are on (since 18, `initdb` turns them on), two bytes of the header hold one.

# %%
production = shop(orders=20_000, profile="production")
database_of(production).checkpoint()
CHECKSUM = Struct("<8xH")
for name, on in (("counting", engine), ("production", production)):
    meta = META.unpack_from(read(0, on=on), 24)
    print(f"{name:11} {meta[:4]}, checksum {'yes' if CHECKSUM.unpack_from(read(1, on=on))[0] else 'no'}")

# %%
assert CHECKSUM.unpack_from(read(1))[0] == 0 != CHECKSUM.unpack_from(read(1, on=production))[0]
assert META.unpack_from(read(0, on=production), 24)[:2] == (magic, version)

# %% [markdown]
# ## What you know now
#
# - A B-tree is a file of pages; page 0 says where the root is, and a search needs nothing but that, sorted keys, and numbers of pages.
# - The first slot of a page with a right sibling is its high key; the first entry of an inner page has no key.
# - Insert, cut, tell the page above: forty lines. Trees grow at the top.
# - High key and right sibling make a half-finished split harmless for whoever searches.
#
# What your tree lacks is what most of the real one's source is about: equal keys, deletes, locks, the log, and keys that are no numbers.
#
# ## Tomorrow at work
#
# With the extension `pageinspect`, `bt_metap('orders_pkey')` and `bt_page_items('orders_pkey', 1)` show what you decoded. Without it, a superuser can ask for the bytes of the metapage, and you know how to read them. This only reads:

# %%
sql = "SELECT pg_read_binary_file(pg_relation_filepath('public.orders_pkey'), 24, 24)"
database = database_of(production)
numbers = META.unpack(database.cluster.admin(sql, database.name)[0][0])
print(f"root: page {numbers[2]}, {numbers[3] + 1} levels")

# %% [markdown]
# **To read**: PostgreSQL's source, `src/include/access/nbtree.h`, `src/include/storage/bufpage.h` and `src/backend/access/nbtree/README`; Lehman and Yao, *Efficient Locking for Concurrent Operations on B-Trees* (ACM TODS 1981); Graefe, *Modern B-Tree Techniques* (2011). **Practise**: the exercises *Which page next?* and *All tests pass* of
# `labs/01_btrees.ipynb`, where somebody else's splits have forgotten a case.
