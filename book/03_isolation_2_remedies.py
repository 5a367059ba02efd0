# %% [markdown]
# # Isolation, second evening: what the remedy costs
#
# Wednesday, half past nine. The agent answers last evening's ticket with a pull request of one line:
#
# ```python
# engine = create_engine(url, isolation_level="SERIALIZABLE")
# ```
#
# *"All anomalies are gone, and no other line has changed."* You run the 70 orders of the last lamp, and it is true: none is left. At noon the flash sale begins. At ten past twelve there are error pages, the
# order numbers have holes, and somebody asks what a deadlock is. What should you have asked in the review?
#
# Thirty-five minutes, six predictions. Afterwards you can say of a remedy not only that it helps, but who waits for it, who is sent back, and what the program must do then.

# %%
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from workbook import predict, shop
from workbook.schedules import Schedule, Stage, Step, explore, remedies, run

# %% [markdown]
# ## 1. The cheapest remedy, and a wait
#
# Last evening one statement was enough: it waits, looks at the row again, and goes on. So is a single statement always right, at read committed?
#
# The first page shows two offers, in place 1 and in place 2. Twice a day they change places, in one statement. At night a job takes down what stands in place 2. Until it has, exactly one offer stands there, at
# *every* moment that a session can see.

# %%
offers = Schedule.read("""
# Two offers change places
setup:
    CREATE TABLE offers (name text PRIMARY KEY, place int);
    INSERT INTO offers VALUES ('lamp', 1), ('chair', 2);
editor: BEGIN
night: BEGIN
editor: UPDATE offers SET place = 3 - place
night: DELETE FROM offers WHERE place = 2
editor: COMMIT
night: COMMIT
""")

# %% [markdown]
# The `DELETE` waits for the editor's `COMMIT`, and goes on. **Predict** what it has taken down:
#
# - `a`: the chair, which stood in place 2 when the statement began
# - `b`: the lamp, which stands there when it goes on
# - `c`: both
# - `d`: neither

# %%
guess = predict("remedies-delete", choice=..., confidence=...)

# %%
taken = run(offers)
taken

# %%
left = {name for name, _ in taken.final["offers"]}
guess.measured({("lamp",): "a", ("chair",): "b", (): "c"}.get(tuple(sorted(left)), "d"))

# %%
missed = explore(offers, levels=["read committed", "repeatable read"]).tallies
print(f"{missed['read committed'].anomaly} of 20 orders take down nothing")
print(f"at repeatable read {missed['repeatable read'].anomaly}, and {missed['repeatable read'].abort} are aborted")
assert taken.end("night.2").rowcount == 0 and missed["read committed"].anomaly == 6
assert missed["repeatable read"].anomaly == 0
behind = Schedule.read(str(offers).replace("night: DELETE", "night: SELECT FROM offers FOR UPDATE\nnight: DELETE"))
again = explore(behind, levels="read committed").tallies["read committed"]
print(f"a lock first, and then the DELETE: {again.anomaly} of {again.orders} orders take down nothing")
assert not again.anomaly and not again.deadlock

# %% [markdown]
# Zero rows, no error, and the next page still shows two offers. The statement chose its rows from its snapshot: the chair. After the wait it looked at *that row* again: it stands in place 1 by now, so it is left alone. The
# lamp has come to place 2, but it was not chosen, and nobody looks for it anew. After a wait, a statement at read committed sees the rows that it waited for as they are now, and all others as they were.
#
# So: one statement for *one row that is named by a key that does not change*, as the lamp was. Where a `WHERE` or a `count` asks for what
# others change, it stands in a statement *behind* the one that waits, which sees all as it is by then.

# %% [markdown]
# ## 2. A lock that one of two takes
#
# Back to the lamp: read, work it out in the program, write. 60 of 70 orders lose an update. This time the checkout has been mended with a lock on its row. The tool of the back office has the same four lines, and
# nobody has thought of it.

# %%
checkout = """
# The last lamp, and the back office
setup:
    CREATE TABLE stock (product_id int PRIMARY KEY, on_hand int);
    INSERT INTO stock VALUES (40, 1);
ana: BEGIN
office: BEGIN
ana: SELECT on_hand FROM stock WHERE product_id = 40
office: SELECT on_hand FROM stock WHERE product_id = 40
ana: UPDATE stock SET on_hand = 0 WHERE product_id = 40
office: UPDATE stock SET on_hand = 0 WHERE product_id = 40
ana: COMMIT
office: COMMIT
"""

# %%
lamp = Schedule.read(checkout)
reads = "SELECT on_hand FROM stock WHERE product_id = 40"
one_sided = Schedule.read(checkout.replace(f"ana: {reads}", f"ana: {reads} FOR UPDATE"))

# %% [markdown]
# **Predict.** How many of the 60 lost updates are left?

# %%
guess = predict("remedies-one-sided", between=(..., ...))

# %%
half = explore(one_sided, levels="read committed")
guess.measured(half.tallies["read committed"].anomaly, unit="of 70 orders")

# %%
half

# %%
assert half.tallies["read committed"].anomaly == 48

# %% [markdown]
# Not half of them, as for half of the lock: 48. A lock is an agreement. Who reads without asking for it walks past it, since a plain `SELECT` waits for no row. Twelve orders are saved, those in which the office has already written when Ana
# reads. Look for *every* writer of a row before you lock it in one place.
#
# `remedies` tries what one would think of, and counts what each costs. Beside them your own from last evening, the single statement:

# %%
buy = "UPDATE stock SET on_hand = on_hand - 1 WHERE product_id = 40 AND on_hand > 0"
single = "\n".join(line for line in checkout.splitlines() if "SELECT" not in line)
atomic = Schedule.read(single.replace("UPDATE stock SET on_hand = 0 WHERE product_id = 40", buy))

# %%
tried = remedies(lamp, level="read committed", also={"one statement": atomic.program()})
tried

# %%
assert tried.trial("repeatable read").tally.aborted == 60
assert tried.trial("FOR UPDATE in ana.2 and office.2").tally.aborted == 0

# %% [markdown]
# Three families, three prices. **Locks** cost waits. **Levels** cost aborts, and so a loop. A **statement** costs thought. The level changes one line and no SQL, which is why agents like it. Its bill
# stands in the columns on the right.

# %% [markdown]
# ## 3. Run it again
#
# `SERIALIZABLE`, then, and round it a loop: after `40001`, roll back, begin again. Eight customers press the button at the same moment; there are lamps for all. Each transaction writes an order, and takes one lamp with the single
# statement of last evening. Below, they go in step: everybody says the first line, everybody the second. Whom an error has hit begins again at once.

# %%
setup = """CREATE TABLE stock (product_id int PRIMARY KEY, on_hand int);
           INSERT INTO stock VALUES (40, 100);
           CREATE TABLE orders (order_id int GENERATED ALWAYS AS IDENTITY, customer text)"""

# %%
def together(names):
    """One try of each, in step. The first one commits; the others roll back."""
    lines = ("BEGIN", "INSERT INTO orders (customer) VALUES ('{}')", buy)
    steps = [Step(name, line.format(name)) for line in lines for name in names]
    return [*steps, Step(names[0], "COMMIT"), *(Step(name, "ROLLBACK") for name in names[1:])]


def rush(*names):
    """Try after try, until each has ordered."""
    steps = [step for place in range(len(names)) for step in together(names[place:])]
    return Schedule(f"{len(names)} customers", setup, tuple(steps))


# %% [markdown]
# **Predict.** How many transactions are begun until all eight have ordered?

# %%
guess = predict("remedies-retries", between=(..., ...))

# %%
eight = ("ana", "ben", "cem", "dia", "eva", "fay", "gus", "hal")
noon = run(rush(*eight), level="serializable")
begun = [step for step in noon.schedule.steps if step.begins]
guess.measured(len(begun), unit="transactions")

# %%
print(len(noon.committed), "have ordered,", len(noon.failures), "errors:", {one.sqlstate for one in noon.failures})
assert len(noon.committed) == 8 and len(begun) == 36 and len(noon.failures) == 28

# %% [markdown]
# Thirty-six. Who believes that serializable only makes people wait says 8; who counts one more try for each loser says 15. In each round one of them gets the row, and *all* others, who waited for it politely, are sent back:
# 8 + 7 + 6 + ... + 1. Here are three of them, line by line:

# %%
three = run(rush("ana", "ben", "cem"), level="serializable")
three

# %%
assert len([step for step in three.schedule.steps if step.begins]) == 6

# %% [markdown]
# That is the worst rhythm: everybody begins again at the same time. A loop that first waits for a short, *random* while gets them out of step. At best each loser needs one more try, alone:

# %%
alone = [step for name in eight[1:] for step in together([name])]
lucky = run(Schedule("Out of step", setup, (*together(eight), *alone)), level="serializable")
print(sum(step.begins for step in lucky.schedule.steps), "transactions,", len(lucky.committed), "have ordered")

# %% [markdown]
# At read committed the eight wait for one another, and nobody begins again:

# %%
once = [step for step in together(eight) if not step.ends]
patient = run(Schedule("Eight, once", setup, (*once, *(Step(name, "COMMIT") for name in eight))))
print(len(patient.committed), "have ordered,", len(patient.failures), "errors, lamps:", patient.final["stock"])
assert len(patient.committed) == len(lucky.committed) == 8 and not patient.failures

# %% [markdown]
# And the holes in the order numbers? The orders of the rush:

# %%
print(noon.final["orders"])
assert [number for number, _ in noon.final["orders"]] == [1, 9, 16, 22, 27, 31, 34, 36]

# %% [markdown]
# An identity column takes its number from a sequence, and **a sequence does not roll back**: if it did, everybody would have to wait for the number before theirs. Whatever must have no holes (an invoice, by law in some countries) needs
# a number of another kind, a row that is updated, and pays with waits. And a mail that is sent from inside of the transaction is sent in every try.

# %% [markdown]
# ## 4. Two who have nothing in common
#
# That was one row, which everybody wants. Surely those who want *different* rows leave each other alone? A stock of a thousand products, copied by a migration (`CREATE TABLE ... AS`). Ana takes product 1, Ben product 1000.

# %%
strangers = """
# Two strangers
setup:
    CREATE TABLE stock AS SELECT n AS product_id, 10 AS on_hand FROM generate_series(1, 1000) AS n;
ana: BEGIN
ben: BEGIN
ana: SELECT on_hand FROM stock WHERE product_id = 1
ben: SELECT on_hand FROM stock WHERE product_id = 1000
ana: UPDATE stock SET on_hand = 9 WHERE product_id = 1
ben: UPDATE stock SET on_hand = 9 WHERE product_id = 1000
ana: COMMIT
ben: COMMIT
"""
apart = Schedule.read(strangers)

# %% [markdown]
# **Predict.** At serializable, in how many of the 70 orders is one of the two sent back?

# %%
guess = predict("remedies-strangers", between=(..., ...))

# %%
needless = explore(apart, levels="serializable", names=False).tallies["serializable"]
guess.measured(needless.abort, unit="of 70 orders")

# %%
seen = run(apart, level="serializable")
seen

# %% [markdown]
# 60, as many as for the last lamp. And look *where* Ben's error came: at `COMMIT`. Any line may be the one that fails, so the loop goes round all of them. An error that the server *sends*,
# even here, says that the transaction is rolled back. A line that breaks says nothing: whoever hears no answer to `COMMIT` has to look.
#
# To serializable, what you have **read** is what the engine has read for you. `CREATE TABLE ... AS` copies no index. Without one, a search for a single product reads the whole table, and then everybody has read everything. So:

# %%
index = "CREATE INDEX ON stock (product_id); ANALYZE stock;"
indexed = Schedule.read(strangers.replace(" AS n;", f" AS n;\n    {index}").replace("strangers", "strangers, an index"))
quiet = explore(indexed, levels="serializable", names=False).tallies["serializable"]
print("Ben's row after the error at COMMIT:", dict(seen.final["stock"])[1000], "| sent back with an index:", quiet.abort)
assert needless.abort == 60 and quiet.abort == 0 and dict(seen.final["stock"])[1000] == 10

# %% [markdown]
# The index empties the error log. A plan decides who is sent back: the day on which the planner reads the whole table again, the errors return.

# %% [markdown]
# ## 5. Nobody wrote LOCK
#
# Read committed again, single statements only, no `LOCK`, no `FOR UPDATE`. Ana's basket holds a lamp (40) and a chair (41), Ben's a chair and a lamp.

# %%
take = "UPDATE stock SET on_hand = on_hand - 1 WHERE product_id ="


def baskets(ben_first, ben_second):
    return Schedule.read(f"""
# Two baskets
setup:
    CREATE TABLE stock (product_id int PRIMARY KEY, on_hand int);
    INSERT INTO stock VALUES (40, 10), (41, 10);
ana: {take} 40
ben: {take} {ben_first}
ana: {take} 41
ben: {take} {ben_second}
""")


# %% [markdown]
# **Predict.** In how many of the 70 orders does each come to wait for the other?

# %%
guess = predict("remedies-deadlock", between=(..., ...))

# %%
circles = explore(baskets(41, 40), levels="read committed")
guess.measured(circles.tallies["read committed"].deadlock, unit="of 70 orders")

# %%
circles

# %% [markdown]
# More than half. Every `UPDATE` locks its row until the transaction ends; that is all it takes. The server finds the circle, ends one of the two (`40P01`, run it again), and the other
# goes on. The mend costs nothing: everybody takes the rows in the *same order*.
# And one statement that takes several? An `UPDATE` knows no `ORDER BY`, and locks as its plan comes to the rows; put `SELECT ... ORDER BY ... FOR UPDATE` in front.

# %%
same_order = explore(baskets(40, 41), levels="read committed").tallies["read committed"]
print(f"sorted: {same_order.deadlock} deadlocks, {same_order.waits} waits")
lock = "SELECT FROM stock WHERE product_id IN (40, 41) ORDER BY product_id FOR UPDATE"
locked = str(baskets(41, 40)).replace(f"ana: {take} 40", f"ana: {lock}\nana: {take} 40")
locked = locked.replace(f"ben: {take} 41", f"ben: {lock}\nben: {take} 41")
in_front = explore(Schedule.read(locked), levels="read committed").tallies["read committed"]
print(f"unsorted, all locked in front: {in_front.deadlock} deadlocks, {in_front.waits} waits")
assert in_front.waits and not in_front.deadlock
assert circles.tallies["read committed"].deadlock == 36 and same_order.deadlock == 0

# %% [markdown]
# Sort, then, by the key. Inserts take part, too. Two imports that both create the categories *red* and *blue*, in an order of their own, wait for one another at the unique key, where no row is to be
# seen yet:

# %%
imports = Schedule.read("""
# Two imports
setup:
    CREATE TABLE categories (name text PRIMARY KEY);
ana: BEGIN
ben: BEGIN
ana: INSERT INTO categories VALUES ('red')
ben: INSERT INTO categories VALUES ('blue')
ana: INSERT INTO categories VALUES ('blue')
ben: INSERT INTO categories VALUES ('red')
ana: COMMIT
ben: COMMIT
""")

# %%
inserted = explore(imports, levels="read committed").tallies["read committed"]
print(f"inserts only: {inserted.deadlock} of 70 orders are a deadlock")
assert inserted.deadlock == 36

# %% [markdown]
# ## 6. COMMIT means saved
#
# The loop of section 3 needs to know whether a transaction failed. The agent's checkout gives every new customer a voucher. *"A voucher must never stop an order"*, so its error is caught:

# %%
engine = shop(orders=1_000)
with engine.begin() as connection:
    connection.execute(text("CREATE TABLE vouchers (customer_id int PRIMARY KEY)"))
    connection.execute(text("INSERT INTO vouchers VALUES (7)"))


# %%
def order(number, on=engine):
    with on.begin() as connection:
        connection.execute(text(f"INSERT INTO orders VALUES ({number}, 7, 'placed', CURRENT_TIMESTAMP)"))
        try:
            connection.execute(text("INSERT INTO vouchers VALUES (7)"))
        except IntegrityError:
            pass  # has one already


def orders_of(number, on=engine):
    with on.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM orders WHERE order_id = {number}")).scalar_one()


# %% [markdown]
# Customer 7 has a voucher already. **Predict** what comes of `order(5001)`:
#
# - `a`: no error, and the order is saved
# - `b`: an error at the end of the `with`, and nothing is saved
# - `c`: no error, and nothing is saved

# %%
guess = predict("remedies-commit", choice=..., confidence=...)

# %%
order(5001)
guess.measured("a" if orders_of(5001) else "c")

# %% [markdown]
# It returned. No error, no order; the customer sees *thank you*. Here is what was said on the wire:

# %%
wire = run(Schedule.read("""
# A voucher must never stop an order
setup:
    CREATE TABLE orders (order_id int PRIMARY KEY);
    CREATE TABLE vouchers (customer_id int PRIMARY KEY);
    INSERT INTO vouchers VALUES (7);
shop: BEGIN
shop: INSERT INTO orders VALUES (5001)
shop: INSERT INTO vouchers VALUES (7)
shop: COMMIT
"""))
wire

# %%
assert wire.end("shop.4").answer == "ROLLBACK" and not orders_of(5001)

# %% [markdown]
# After an error, PostgreSQL's transaction is over, whatever your program catches. `COMMIT` is answered with `ROLLBACK`, which is no error, and the driver passes it on as a success. What may fail gets a **savepoint**, to which the
# transaction can go back:

# %%
with engine.begin() as connection:
    connection.execute(text("INSERT INTO orders VALUES (5002, 7, 'placed', CURRENT_TIMESTAMP)"))
    try:
        with connection.begin_nested():
            connection.execute(text("INSERT INTO vouchers VALUES (7)"))
    except IntegrityError:
        pass
print("with a savepoint, orders saved:", orders_of(5002))
assert orders_of(5002) == 1

# %% [markdown]
# And why did the agent's test pass? It ran on SQLite:

# %%
for kind in ("sqlite", "duckdb"):
    other = shop(orders=1_000, kind=kind)
    with other.begin() as connection:
        connection.execute(text("CREATE TABLE vouchers (customer_id int PRIMARY KEY)"))
        connection.execute(text("INSERT INTO vouchers VALUES (7)"))
    order(5001, other)
    print(f"{kind:7}orders saved: {orders_of(5001, other)}")
    assert orders_of(5001, other) == (kind == "sqlite")

# %% [markdown]
# SQLite undoes the statement and keeps the transaction; DuckDB does as PostgreSQL does. A test on another engine is a test of that engine.

# %% [markdown]
# ## The same in production
#
# The evening's numbers once more, on a server with PostgreSQL's own defaults:

# %%
runs = (taken, noon, seen, run(indexed, level="serializable"), wire)
with Stage(profile="production") as production:
    there = [production.run(mine.schedule, mine.level) for mine in runs]
    half_there = explore(one_sided, levels="read committed", stage=production).tallies["read committed"]
    circles_there = explore(baskets(41, 40), levels="read committed", stage=production).tallies["read committed"]

# %%
for mine, other in zip(runs, there, strict=True):
    print(f"{mine.schedule.title:36}{mine.level:16}{'the same' if str(mine) == str(other) else 'changed'}")
    assert str(mine) == str(other)

# %%
print("one-sided lock, lost updates:", half_there.anomaly)
print("baskets, deadlocks:", circles_there.deadlock)
assert half_there.anomaly == 48 and circles_there.deadlock == 36

# %% [markdown]
# All as before. One thing a server in production adds is time: it does not look for a circle at once, but when somebody has waited for `deadlock_timeout`. Until then both wait:

# %%
defaults = shop(orders=1_000, profile="production")
with defaults.connect() as connection:
    print("deadlock_timeout:", connection.execute(text("SHOW deadlock_timeout")).scalar_one())

# %% [markdown]
# ## What you know now
#
# - After a wait, a statement at read committed looks again at the rows that it chose, and does not choose anew: a `DELETE` of exactly one row deletes none.
# - A lock that one writer takes and another does not is nearly none: 48 of 60 lost updates are left.
# - Levels cost aborts. Eight customers at serializable began 36 transactions; the loop needs a random pause, and goes round *all* lines, `COMMIT` included.
# - Sequences do not roll back: orders 1, 9, 16, 22.
# - Serializable watches what the engine *read*. Without an index that is the whole table, and strangers abort one another.
# - Deadlocks need two rows and two orders, no `LOCK`. Sort by the key: 36 to 0.
# - `COMMIT` of a failed transaction answers `ROLLBACK`, and nobody raises an error. A savepoint round what may fail.
#
# In the review you write: *which of our transactions has a loop, and what happens if it runs one eight times?*
#
# ## Tomorrow at work
#
# Three queries that only read. **Who chooses the level, and the time-outs**, where the program does not? (`source` says whether it is the default, the server's file, the database or the role.)

# %%
settings = """SELECT name, setting, unit, source FROM pg_settings
              WHERE name IN ('default_transaction_isolation', 'deadlock_timeout', 'lock_timeout',
                             'log_lock_waits', 'idle_in_transaction_session_timeout') ORDER BY name"""
with defaults.connect() as connection:
    for row in connection.execute(text(settings)).mappings():
        print(dict(row))

# %% [markdown]
# **How many numbers did the sequences give away?** Compare with the rows that are there. And, if somebody runs serializable: **what does it hold as read, now?** A line that says `relation` is a whole table: whoever writes to it may be sent back. Here
# with something to see: three numbers for a transaction that was rolled back, and a session that has added up the stock.

# %%
sequences = """SELECT schemaname, sequencename, last_value, max_value FROM pg_sequences
               WHERE last_value IS NOT NULL ORDER BY last_value DESC LIMIT 5"""
watched = """SELECT relation::regclass AS what, locktype, count(*)
             FROM pg_locks JOIN pg_database d ON d.oid = database AND datname = current_database()
             WHERE mode = 'SIReadLock' GROUP BY 1, 2 ORDER BY 3 DESC"""
with engine.begin() as connection:
    connection.execute(text("CREATE SEQUENCE invoices"))
with engine.connect() as connection:
    connection.execute(text("SELECT nextval('invoices') FROM generate_series(1, 3)"))

# %%
with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
    connection.execute(text("SELECT sum(on_hand) FROM stock"))
    for sql in (sequences, watched):
        for row in connection.execute(text(sql)).mappings():
            print(dict(row))

# %% [markdown]
# **To read**: PostgreSQL's manual, *Transaction Isolation* (the paragraph on `UPDATE` and `DELETE` at read committed has our offers, as a web site's hits) and *Serialization Failure Handling*; Ports and Grittner, *Serializable Snapshot Isolation in
# PostgreSQL* (VLDB 2012).
#
# **Practise**: run the rush of section 3 at repeatable read, and then with sixteen customers. Say first how many transactions are begun. **Next**: `03_isolation_3_holding.ipynb`, what a transaction holds back.
