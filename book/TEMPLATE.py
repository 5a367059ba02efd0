# %% [markdown]
# # Subject: the question that a working day asks
#
# Copy this file to `book/NN_module_K_name.py` and fill it in. Open with the situation, two or three sentences: what somebody says on a
# Tuesday, and what nobody has measured. Then say how long it takes and what the learner can do afterwards. A lesson is
# thirty-five minutes and has at most seven predictions.

# %%
from workbook import explain, predict, shop

# %%
engine = shop(orders=20_000)

# %% [markdown]
# ## 1. One question, in words
#
# The idea in words first, then code that mirrors the words. Code cells are short: two lines at the median, fifteen at most. What
# is longer belongs in the package. There is one import cell and no magic. Everything is seeded.

# %%
lookup = explain("SELECT status FROM orders WHERE order_id = 4711", engine)
lookup

# %% [markdown]
# A prediction stands before its measurement, and is shipped unanswered. Ask for a number that is counted, never for a time. Who has no idea
# writes `predict("template-scan", "no idea")`.

# %%
guess = predict("template-scan", between=(..., ...))

# %%
scan = explain("SELECT count(*) FROM orders WHERE status = 'placed'", engine)
guess.measured(scan.buffers.value)

# %% [markdown]
# Say what was seen, under which settings, and what would change it. What is refuted is asserted, so that the build says when a new version of
# the engine no longer refutes it:

# %%
assert scan.buffers.value > 20 * lookup.buffers.value

# %% [markdown]
# ## 2. An intended failure names the one exception that it expects
#
# Its cell carries the tag `raises-exception`. A cell whose output must be the same in every run carries `nbval-check-output`; the cells that
# call `check` get it by themselves. Dividing by nothing raises `ZeroDivisionError`:

# %% tags=["raises-exception"]
scan.buffers.value / 0

# %% [markdown]
# ## What you know now
#
# - Each claim in one sentence, with the number that carries it.
#
# ## Tomorrow at work
#
# Two or three queries that only read, to run on one's own database.
#
# **To read**: the manual's page, the paper. **Next**: the lab.
