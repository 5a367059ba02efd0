# %% [markdown]
# # Lab: B-trees
#
# Eight core exercises and five further ones. You hand in rules, witnesses and a table; what is right is measured on real indexes of PostgreSQL, or on a teaching tree that is
# PostgreSQL's page for page. A seed of your own chooses the variants, and each changes the right answer.
#
# **How to work.** Read the task that `ask` shows. `practice("...")` gives you a database to try on where there is one, `explain(sql, engine)` counts pages, and `read_index` and `stepper` show a
# tree. Put your answer in the place of the `...`, run the cell and the one below it. `hint("...")`, three times at most, goes from a question to nearly the answer. Points are for
# answers, hints cost nothing.
#
# The core takes about seventy-five minutes. Agents are welcome. Nobody but you can say what your answer costs.

# %%
from workbook import ask, check, explain, hint, measure, practice, progress, start_lab
from workbook.btree import Tree, model, read_index, stepper

# %%
start_lab("01_btrees", seed=1)

# %% [markdown]
# ## 1. Height
#
# *"It has grown to a billion rows, of course the lookups are slow."* Before you believe it, work out how many pages a lookup reads. All it takes is how much stands on a
# page, on a leaf and on the pages above. Write `def height(rows, key_bytes):` where the `...` stands.

# %%
ask("btrees-height")

# %%
height = ...
### BEGIN SOLUTION
def height(rows, key_bytes):
    word = key_bytes + (1 if key_bytes <= 126 else 4)
    entry = 8 + -(-word // 8) * 8 + 4
    levels, pages = 1, -(-rows // (8152 // entry))
    while pages > 1:
        levels, pages = levels + 1, -(-pages // int(8152 * 0.7 / entry))
    return levels
### END SOLUTION

# %%
check("btrees-height", height)

# %% [markdown]
# ## 2. Leaves
#
# The same keys, the same fill factor, and one index is nearly twice as large as the other. Nobody decided it: the rows came in another order. You hand in
# `def leaves(rows, order, fill_factor):`.

# %%
ask("btrees-leaves")

# %%
leaves = ...
### BEGIN SOLUTION
def leaves(rows, order, fill_factor):
    full = {"descending": 0.5, "random": 0.69}.get(order, fill_factor / 100)
    return rows * (8 + 16 + 4) / (8152 * full)
### END SOLUTION

# %%
check("btrees-leaves", leaves)

# %% [markdown]
# ## 3. The largest and the smallest
#
# *"Twenty thousand orders are twenty thousand orders, in whatever order they are moved in."* Whoever writes the loop decides more than that: the same rows make an index of one size or of nearly twice that size, and which
# order is the good one stands in the index, not in the numbers.

# %%
ask("btrees-orders")

# %%
arrivals = ...
### BEGIN SOLUTION
by_code = sorted(range(1, 20_001), key=lambda number: f"R{number}")
arrivals = {"largest": by_code[::-1], "smallest": by_code}
### END SOLUTION

# %%
check("btrees-orders", arrivals)

# %% [markdown]
# ## 4. Pages visited
#
# A plan says `Index Scan` for one row and for a thousand. What lies between is a way: down, along, and into the table. Walk it once with a finger, and write down what it costs, as
# a function with the arguments that the task names.

# %%
ask("btrees-visits")

# %%
visits = ...
### BEGIN SOLUTION
def visits(height, rows_a_leaf, rows_a_page, n):
    return height + (n - 1) / rows_a_leaf + n
### END SOLUTION

# %%
check("btrees-visits", visits)

# %% [markdown]
# ## 5. Which page next?
#
# A search stands on an inner page. Who sent it there read the page above a moment ago, and holds no lock on it; since then the page may have been split. The keys on the page look
# like rows, and are none: each says where something begins, or ends. You hand in `def find_child(page, key):`.

# %%
ask("btrees-child")

# %%
find_child = ...
### BEGIN SOLUTION
def find_child(page, key):
    def beyond(key, bound):
        mine, other = ([(2, 0) if value is None else (1, value) for value in columns] for columns in (key, bound))
        return mine >= other

    if page["high_key"] is not None and beyond(key, page["high_key"]):
        return page["right"]
    return [entry["child"] for entry in page["entries"] if beyond(key, entry["key"])][-1]
### END SOLUTION

# %%
check("btrees-child", find_child)

# %% [markdown]
# ## 6. All tests pass
#
# Three people have written the function that cuts a full page in two. Each has tested it, and all tests pass. Each has forgotten a case. Which few keys show it?

# %%
ask("btrees-refute")

# %%
refutations = (
    ### BEGIN SOLUTION
    {
        "A": [None] * 7,
        "B": [90, 80, 70, 60, 50, 40, 30, 20, 10, 0],
        "C": [1, 2, 3, 4, 5, 6, 7],
    }
    ### END SOLUTION
)

# %%
check("btrees-refute", refutations)

# %% [markdown]
# ## 7. Deleted and filled again
#
# The job at night deletes half of the orders, and by the next evening as many rows are there again. *"DELETE frees the space"*, says one; *"an index only ever grows"*, says the other. Find a DELETE of half of the rows that proves
# the one wrong, and one that proves the other wrong, unless one of them is right here.

# %%
ask("btrees-refill")

# %%
deletes = (
    ### BEGIN SOLUTION
    {
        "grows": "DELETE FROM orders WHERE number <= 10000",
        "same": "DELETE FROM orders WHERE number % 2 = 0",
    }
    ### END SOLUTION
)

# %%
check("btrees-refill", deletes)

# %% [markdown]
# ## 8. A key for a stream
#
# *"Never use UUIDs as keys"*, says one agent. *"Always use UUIDs"*, says the other. Neither has asked what the key is for.

# %%
ask("btrees-key")

# %%
orders_table = (
    ### BEGIN SOLUTION
    """CREATE TABLE orders (
        id bigint GENERATED ALWAYS AS IDENTITY,
        tenant int NOT NULL, total_cents int NOT NULL, note text NOT NULL,
        PRIMARY KEY (id))"""
    ### END SOLUTION
)

# %%
check("btrees-key", orders_table)

# %% [markdown]
# ## 9. Further: bloat
#
# The dashboard is red: a good part of the index is free space. *"REINDEX, tonight"*, says the agent. Perhaps. Free space is only lost if nobody is going to write into it. Before you mend, say who will; and say how large the index will be in a fortnight, with what you do.

# %%
ask("btrees-bloat")

# %%
tonight = (
    ### BEGIN SOLUTION
    {"sql": "REINDEX INDEX CONCURRENTLY orders_pkey", "kilobytes": 584}
    ### END SOLUTION
)

# %%
check("btrees-bloat", tonight)

# %% [markdown]
# ## 10. Further: redundant
#
# Each ticket got its index, and each index looked reasonable on its day. Some of them are the same list, read from the other end. Some only look as if they were, and hold a rule or an order that no other one has.

# %%
ask("btrees-redundant")

# %%
superfluous = (
    ### BEGIN SOLUTION
    """DROP INDEX parcels_id, parcels_tracking_one, parcels_tracking_lookup, parcels_customer,
        parcels_customer_newest, parcels_customer_desc, parcels_delivered, parcels_delivered_desc,
        parcels_email_pattern, parcels_courier_open"""
    ### END SOLUTION
)

# %%
check("btrees-redundant", superfluous)

# %% [markdown]
# ## 11. Further: an unlabelled page dump
#
# Two indexes have the same size and the same average fill. One needs REINDEX, one VACUUM, one another fill factor, and one nothing at all. What has happened to an index
# stands in its pages. Here are those of a stranger: make another one like it.

# %%
ask("btrees-dump")

# %%
history = (
    ### BEGIN SOLUTION
    """CREATE INDEX readings_n ON readings (n);
    INSERT INTO readings SELECT i FROM generate_series(1, 60000) i;
    DELETE FROM readings WHERE n % 5 <> 0;
    VACUUM readings"""
    ### END SOLUTION
)

# %%
check("btrees-dump", history)

# %% [markdown]
# ## 12. Further: inserts became slow, an incident
#
# *"It's the disk"*, says the team. The night shift's agent has another explanation, and it may be right. You have the engine's counters, then and now. Name the cause, and hand in the
# change that shows it: it helps here, and it would not help if the runner-up were to blame.

# %%
ask("btrees-incident")

# %%
incident = (
    ### BEGIN SOLUTION
    {
        "cause": "held-back",
        "change": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nightly_report'",
    }
    ### END SOLUTION
)

# %%
check("btrees-incident", incident)

# %% [markdown]
# ## 13. Further: direct
#
# An agent will write the tree. You do not write a line of it; you write what decides whether it is taken. Too little, and a tree passes that loses rows; too much, and you send back one that
# is right, because it is not the one that you would have written. You hand in `def accept(step):`.

# %%
ask("btrees-direct")

# %%
accept = ...
### BEGIN SOLUTION
def accept(step):
    kind, key, *row = step["operation"]
    tree, pairs = step["after"], []
    for pages in (step["before"]["pages"], tree["pages"]):
        leaves = [page for page in pages if page["state"] == "live" and page["level"] == 0]
        pairs.append(sorted(entry["key"] for page in leaves for entry in page["entries"]))
    before, after = pairs
    there = [pair for pair in before if pair[0] == key]
    if kind == "find":
        result, due = [row for _, row in there], before
    elif kind == "insert":
        result, due = True, sorted([*before, (key, row[0])])
    else:
        result, due = int((key, row[0]) in there), [pair for pair in before if pair != (key, row[0])]
    if step["result"] != result or after != due:
        return False

    live = {page["number"]: page for page in tree["pages"] if page["state"] == "live"}
    walked = []

    def sound(number, level, low, high):
        page = live.get(number)
        if page is None or page in walked or page["level"] != level or page["high_key"] != high:
            return False
        walked.append(page)
        keys = [entry["key"] for entry in page["entries"]]
        if keys != sorted(set(keys)) or sum(entry["bytes"] for entry in page["entries"]) > tree["page_bytes"] - 40:
            return False
        if level == 0:
            return all(low < key and (high is None or key <= high) for key in keys)
        bounds = zip([low, *keys[1:]], [*keys[1:], high])
        children = [entry["child"] for entry in page["entries"]]
        return keys[0] == () and all(sound(child, level - 1, *each) for child, each in zip(children, bounds))

    if not sound(tree["root"], tree["height"] - 1, (), None) or len(walked) != len(live):
        return False
    for level in range(tree["height"]):
        row = [page for page in walked if page["level"] == level]
        numbers = [None, *(page["number"] for page in row), None]
        if any((page["left"], page["right"]) != (numbers[n], numbers[n + 2]) for n, page in enumerate(row)):
            return False
    return True
### END SOLUTION

# %%
check("btrees-direct", accept)

# %% [markdown]
# ## What you can do now
#
# From a row count and a key type you say how high a tree is, how many pages it takes, and how many of them a lookup, a range and an insert touch; and you can tell a tree that is
# right from one whose tests pass. In a week, take the exercise that you liked least, and run `reset` on a copy of this lab: your seed stays, your answers do not.

# %%
progress()
