# %% [markdown]
# # A lesson

# %%
from workbook import predict

# %%
guess = predict("toys-guess", between=(..., ...))

# %% tags=["nbval-check-output"]
sum(range(5))

# %% [markdown]
# Dividing by nothing raises `ZeroDivisionError`:

# %% tags=["raises-exception"]
1 / 0
