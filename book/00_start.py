# %% [markdown]
# # Start: two queries that look alike
#
# A coding agent wrote two endpoints for the same shop. Both find one order. Both are right, both pass their tests, and
# their SQL differs by two characters. One of them will stop the shop on its busiest day.
#
# Run the cells one after the other with **Shift + Enter** (as soon as the status line below says *Idle*). You measure first; the words come after.

# %%
from workbook import ask, check, compare, explain, hint, predict, progress, shop, start_lab

# %%
engine = shop(orders=600_000)

# %%
first = "SELECT order_id, status FROM orders WHERE order_id = 4711"
explain(first, engine)

# %% [markdown]
# PostgreSQL keeps a table in pages of 8 kB, and what a query *touches* is counted in pages; a page that is visited twice counts twice (twice in a row, once).
# This one touched a handful out of thousands. Now the other endpoint, whose client sends every JSON number as a float:

# %%
second = "SELECT order_id, status FROM orders WHERE order_id = 4711.0"

# %% [markdown]
# **Your turn.** How many pages does `second` touch? Write the least and the most that you think possible in place of the dots, so that you would
# be right four times out of five. `predict("start-pages", "no idea")` is an answer too. Nothing is graded.

# %%
guess = predict("start-pages", between=(..., ...))

# %%
plan = explain(second, engine)
plan

# %%
guess.measured(plan.buffers.value)

# %%
as_parameter = "SELECT order_id, status FROM orders WHERE order_id = :id"
bound = explain(as_parameter, engine, {"id": 4711.0})
assert bound.buffers.value == plan.buffers.value > 1000 * explain(first, engine).buffers.value
compare(explain(first, engine), plan)

# %% [markdown]
# The same row, the same table, the same index. But `4711.0` is not a `bigint`, written out or handed in as a parameter (`bound` touched as
# many pages): PostgreSQL has no index of order ids *as decimal numbers*, so it turns the id of every order into one and compares. A test with ten orders never notices. With six hundred
# thousand it is a disaster that waits for visitors, and each year's orders make it worse.
#
# Nothing in the agent's code is wrong. Somebody has to *know*, and be able to show it before the busiest day does. That is what this workbook
# is about.

# %% [markdown]
# ## How to read a plan
#
# The engine runs the tree from its leaves upwards: each box hands its rows to the one above it. Three things to look at,
# in this order:
#
# 1. **Pages.** The bar is what a box touched itself. Where is the widest?
# 2. **Rows.** First what was estimated, then what came. A factor of ten between them is marked: the planner decided on a wrong number.
# 3. **Conditions.** An *index condition* decides where to look. A *filter* looks at a row that was already read, and throws it away.

# %%
detail = """SELECT l.line_no, p.name, l.quantity
            FROM order_lines l JOIN products p USING (product_id) WHERE l.order_id = 4711"""
explain(detail, engine)

# %% [markdown]
# A *Nested Loop* asks its second box once for each row of the first. *Loops* says how often, and the pages are the sum.

# %% [markdown]
# ## How an answer is checked
#
# There is no stored solution. Your answer runs on a fresh copy of the database, and what happens there is measured. A wrong
# answer tells you what was seen; `hint` goes from a question to nearly the answer. Everything may be tried as often as you like.

# %%
start_lab("00_start", seed=1)
ask("start-mend")

# %%
mended = ...

# %%
check("start-mend", mended)

# %% [markdown]
# Stuck? Run `hint("start-mend")`, up to three times. Then see where you stand:

# %%
progress()

# %% [markdown]
# ## What you know now
#
# - What a query costs is what it touches, and you can count it: `explain(sql, engine)`.
# - Two queries that return the same row can differ a thousandfold, and no test of the result will tell.
# - Predict, measure, explain. In that order, every time.
#
# **Next:** `01_btrees_1_heap.ipynb` in this folder, from the bottom up; or, for whoever has a slow query today, `02_indexes_1_finding.ipynb`. Each module ends in a graded lab, in `labs/`.
