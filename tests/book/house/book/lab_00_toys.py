# %% [markdown]
# # Lab: toys

# %%
import toys  # noqa: F401

from workbook import ask, check, start_lab

# %%
start_lab("00_toys", seed=1)

# %% [markdown]
# ## 1. One

# %%
ask("toys-one")

# %%
one = (
    ### BEGIN SOLUTION
    10
    ### END SOLUTION
)

# %%
check("toys-one", one)

# %% [markdown]
# ## 2. Two

# %%
ask("toys-two")

# %%
two = (
    ### BEGIN SOLUTION
    20
    ### END SOLUTION
)

# %%
check("toys-two", two)

# %% [markdown]
# ## 3. Three (further)

# %%
ask("toys-three")

# %%
three = (
    ### BEGIN SOLUTION
    30
    ### END SOLUTION
)

# %%
check("toys-three", three)
