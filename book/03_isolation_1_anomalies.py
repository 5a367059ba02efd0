# %% [markdown]
# # Isolation, first evening: what a transaction does not promise
#
# Tuesday, a quarter to five. The last desk lamp was sold twice. *"That cannot be,"* says the agent that wrote the checkout, *"it runs in a transaction"*, and it does:
#
# ```python
# with engine.begin() as connection:
#     left = connection.execute(SELECT_ON_HAND).scalar_one()
#     if left < 1:
#         raise SoldOut
#     connection.execute(UPDATE_ON_HAND, {"left": left - 1})
# ```
#
# All tests are green. Two colleagues have approved it. What do you write under the ticket?
#
# Thirty-five minutes, seven predictions. Afterwards you read a transaction and say which of its lines another session can slip between, and what that costs.

# %%
from sqlalchemy import text

from workbook import predict, shop
from workbook.schedules import Schedule, Stage, explore, run

# %% [markdown]
# A bug that needs two people needs two columns to be seen. So write down what each session says, and in which order: that is a **schedule**. Ana and Ben want the lamp;
# each sees that one is left, and each writes what their program has worked out, 1 - 1 = 0.

# %%
lamp = Schedule.read("""
# The last lamp
setup:
    CREATE TABLE stock (product_id int PRIMARY KEY, on_hand int);
    INSERT INTO stock VALUES (40, 1);
ana: BEGIN
ben: BEGIN
ana: SELECT on_hand FROM stock WHERE product_id = 40
ben: SELECT on_hand FROM stock WHERE product_id = 40
ana: UPDATE stock SET on_hand = 0 WHERE product_id = 40
ben: UPDATE stock SET on_hand = 0 WHERE product_id = 40
ana: COMMIT
ben: COMMIT
""")

# %% [markdown]
# `run` plays it on a real PostgreSQL, each session on a connection of its own. What has happened is kept in a diary, for the end of the evening.

# %%
diary = {}


def play(schedule, level="read committed"):
    diary[str(schedule), level] = seen = run(schedule, level=level)
    return seen


# %%
sold_twice = play(lamp)
sold_twice

# %% [markdown]
# Read it from top to bottom. Both read 1. Ben's `UPDATE` *waits* for Ana, as people expect. Then Ana commits, Ben goes on, and writes his 0 over hers. No error, two commits, two
# parcels, one lamp. This is a **lost update**. The transaction has kept its promise, all of it or nothing. Being *alone* is another promise, and it has levels.

# %%
assert sold_twice.committed == ("ana", "ben")
assert sold_twice.end("ana.2").rows == sold_twice.end("ben.2").rows == ((1,),)

# %% [markdown]
# ## 1. How often?
#
# *"You constructed that. It is one order in a million."* Two sessions of four steps each can take turns in exactly 70 ways. `explore` runs them all. An order is called **serial** when everybody
# read, and the table holds, what they would have if one session had run after the other. That is asked of the engine itself: it runs both, and compares.
#
# **Predict.** Read committed, PostgreSQL's default. How many of the 70 orders lose the update?

# %%
guess = predict("anomalies-lost-update", between=(..., ...))

# %%
every = explore(lamp, levels="read committed")
every

# %%
guess.measured(every.tallies["read committed"].anomaly, unit="of 70 orders")

# %%
assert every.tallies["read committed"].anomaly == 60

# %% [markdown]
# All but ten. A cell of the map is an order; click on one, or use the arrow keys, and it is played back below. In the one that is framed, follow the arrows: Ben must come before Ana, since he read what was there before her;
# and Ana before Ben, since he wrote over hers. (The letters on an arrow say why: `rw`, the one *reads* what the other *writes* over; `wr`, the other reads what the one wrote; `ww`, both write.) Both cannot be, so it is as good as *no* order of the two. Only where one of them has committed before the other one reads does it end well. Your tests are green because a test runs one session at a time: they try two of the 70, and both are
# among the ten.
#
# The mistake is the way through the program: read, work it out *there*, write. Let the database work it out, and no line is left to slip between:

# %%
one_statement = Schedule.read("""
# The last lamp, in one statement
setup:
    CREATE TABLE stock (product_id int PRIMARY KEY, on_hand int);
    INSERT INTO stock VALUES (40, 1);
ana: BEGIN
ben: BEGIN
ana: UPDATE stock SET on_hand = on_hand - 1 WHERE product_id = 40 AND on_hand > 0
ben: UPDATE stock SET on_hand = on_hand - 1 WHERE product_id = 40 AND on_hand > 0
ana: COMMIT
ben: COMMIT
""")
play(one_statement)

# %%
mended = explore(one_statement, levels="read committed").tallies["read committed"]
print(f"{mended.serial} of {mended.orders} orders are serial")
assert mended.anomaly == 0 and mended.serial == mended.orders == 20

# %% [markdown]
# Ben waits, looks at the row *again* when Ana is done, and changes **0 rows**. That is his "sold out", and the program must read it: the number of rows is the answer.

# %% [markdown]
# ## 2. One level up
#
# Back to the agent's code, unchanged. It proposes one more line: *repeatable read*. Ben cannot be shown two different stocks any more.
#
# **Predict** what becomes of Ben's `UPDATE`, and how sure you are, from 0 to 1: `choice="a", confidence=0.6`.
#
# - `a`: it does not wait, and writes
# - `b`: it waits, then writes over Ana's, as before
# - `c`: it waits, then fails
# - `d`: it waits, then changes 0 rows

# %%
guess = predict("anomalies-repeatable-read", choice=..., confidence=...)

# %%
refused = play(lamp, "repeatable read")
refused

# %%
refusal = refused.end("ben.3")
guess.measured("c" if refused.waits and refusal.sqlstate == "40001" else "another")

# %%
stricter = explore(lamp, levels="repeatable read").tallies["repeatable read"]
print(f"{stricter.anomaly} lost, {stricter.abort} aborted, {stricter.serial} serial")
assert stricter.anomaly == 0 and stricter.abort == 60

# %% [markdown]
# The lamp is sold once, and 60 orders end in an error instead of a loss. `40001` means: *nothing is wrong with your statement, run the whole transaction again*. Who has no loop that does, has
# exchanged a lost lamp for an error page. And look at Ben's last line: his program sent `COMMIT`, and the server answered `ROLLBACK`.

# %% [markdown]
# ## 3. One transaction, one view?
#
# The evening report adds up what is placed and what is paid: 100 and 50 euros. It runs in one transaction, "so that the numbers fit". In between, the till books a payment.

# %%
report = Schedule.read("""
# The report and the till
setup:
    CREATE TABLE orders (order_id int PRIMARY KEY, status text, euros int);
    INSERT INTO orders VALUES (1, 'placed', 100), (2, 'paid', 50);
report: BEGIN
report: SELECT sum(euros) FROM orders WHERE status = 'placed'
till: UPDATE orders SET status = 'paid' WHERE order_id = 1
report: SELECT sum(euros) FROM orders WHERE status = 'paid'
report: COMMIT
""")


def total(seen):
    return sum(seen.end(name).rows[0][0] for name in ("report.2", "report.3"))


# %% [markdown]
# **Predict.** At read committed, how many euros do the report's two lines come to?

# %%
guess = predict("anomalies-report", between=(..., ...))

# %%
two_views = play(report)
two_views

# %%
guess.measured(total(two_views), unit="euros")

# %%
one_view = play(report, "repeatable read")
print(f"{total(two_views)} euros at read committed, {total(one_view)} at repeatable read")
assert total(two_views) == 250 and total(one_view) == 150

# %% [markdown]
# One order was counted twice. At read committed, every *statement* takes a **snapshot** of its own: the diamonds in the picture. `BEGIN` does not make them one. A report of two statements wants repeatable
# read. It only reads, so nobody aborts it, in no order:

# %%
quiet = explore(report, levels="repeatable read").tallies["repeatable read"]
print(f"{quiet.serial} of {quiet.orders} orders serial, {quiet.abort} aborted, {quiet.waits} waits")
assert quiet.serial == quiet.orders and not quiet.waits

# %% [markdown]
# ## 4. A writer, and somebody who reads
#
# A colleague is typing a new price: 2 euros, a zero too few. He has not committed. Ana opens the page, and her session says `READ UNCOMMITTED`, "because it is only a page, and must not hang".

# %%
typo = Schedule.read("""
# A price that is being changed
setup:
    CREATE TABLE products (product_id int PRIMARY KEY, euros int);
    INSERT INTO products VALUES (40, 20);
shop: BEGIN
shop: UPDATE products SET euros = 2 WHERE product_id = 40
ana: BEGIN
ana: SELECT euros FROM products WHERE product_id = 40
shop: ROLLBACK
ana: COMMIT
""")

# %% [markdown]
# **Predict** what Ana gets:
#
# - `a`: 2 euros, at once
# - `b`: 20 euros, at once
# - `c`: she waits until the writer is done

# %%
guess = predict("anomalies-uncommitted", choice=..., confidence=...)

# %%
unread = play(typo, "read uncommitted")
unread

# %%
price = unread.end("ana.2").rows[0][0]
guess.measured("c" if unread.waits else {2: "a", 20: "b"}[price])

# %%
assert price == 20 and not unread.waits

# %% [markdown]
# Two beliefs fall at once. PostgreSQL takes the *name* of this level and gives you read committed. And the writer did not block her: an update leaves the old version of the row in its place, and whoever reads gets
# that one. **Writers block writers of the same row.** A plain `SELECT` waits for no row. It
# waits where somebody alters the *table*:

# %%
update = "UPDATE products SET euros = 2 WHERE product_id = 40"
altered = run(Schedule.read(str(typo).replace(update, "ALTER TABLE products ADD note text")))
print("ana waits for", *altered.waits[0].waits_for, "on", altered.waits[0].waits_on)

# %% [markdown]
# ## 5. When is the picture taken?
#
# Repeatable read: one snapshot for the whole transaction. Two orders are in the table. The report begins; Ana orders; the report counts; Ben orders; the report counts again.

# %%
counting = Schedule.read("""
# Two counts
setup:
    CREATE TABLE orders (order_id int PRIMARY KEY);
    INSERT INTO orders VALUES (1), (2);
report: BEGIN
ana: INSERT INTO orders VALUES (3)
report: SELECT count(*) FROM orders
ben: INSERT INTO orders VALUES (4)
report: SELECT count(*) FROM orders
report: COMMIT
""")

# %% [markdown]
# **Predict** the two counts: `a`: 2 and 2, `b`: 2 and 3, `c`: 3 and 3, `d`: 3 and 4.

# %%
guess = predict("anomalies-snapshot", choice=..., confidence=...)

# %%
counted = play(counting, "repeatable read")
counted

# %%
counts = tuple(counted.end(name).rows[0][0] for name in ("report.2", "report.3"))
guess.measured({(2, 2): "a", (2, 3): "b", (3, 3): "c", (3, 4): "d"}[counts])

# %%
assert counts == (3, 3)

# %% [markdown]
# Who says 2 thinks that the snapshot is taken at `BEGIN`. `BEGIN` only opens the door; the first *statement* takes the picture (there is the diamond, and it is the only one). In production, minutes can lie between the two.
#
# Who says 4 thinks of **phantoms**, rows that appear when the same question is asked again. The SQL standard allows them at this level. PostgreSQL shows none: its repeatable read is a snapshot, and a
# snapshot holds no later rows, whether updated or new. A level's name is no specification. Ask the engine.

# %% [markdown]
# ## 6. So is repeatable read enough?
#
# One snapshot, no phantoms, no lost update. The warehouse has one rule: *one packer at least stays on duty*. Ana and Ben want to go home. Each program counts who is on duty, sees two, and signs its
# person off.

# %%
packers = Schedule.read("""
# Two packers
setup:
    CREATE TABLE packers (name text PRIMARY KEY, on_duty boolean);
    INSERT INTO packers VALUES ('ana', true), ('ben', true);
ana: BEGIN
ben: BEGIN
ana: SELECT count(*) FROM packers WHERE on_duty
ben: SELECT count(*) FROM packers WHERE on_duty
ana: UPDATE packers SET on_duty = false WHERE name = 'ana'
ben: UPDATE packers SET on_duty = false WHERE name = 'ben'
ana: COMMIT
ben: COMMIT
""")

# %% [markdown]
# **Predict.** At repeatable read, in how many of the 70 orders do both see two on duty, and both go home?

# %%
guess = predict("anomalies-write-skew", between=(..., ...))

# %%
shifts = explore(packers, levels=["repeatable read", "serializable"])
shifts

# %%
skewed, safe = shifts.tallies["repeatable read"], shifts.tallies["serializable"]
guess.measured(skewed.anomaly, unit="of 70 orders")

# %%
nobody = play(packers, "repeatable read")
print("left:", nobody.final["packers"], "waits:", len(nobody.waits), "errors:", len(nobody.failures))
assert skewed.anomaly == 60 and safe.anomaly == 0 and safe.abort == 60
assert not nobody.waits and not nobody.failures

# %% [markdown]
# Nobody waits, nobody fails, the warehouse is empty. In the lamp's case both wrote the *same* row, and repeatable read compares what was written. Here each writes a row of their own, and each has *read* what the other
# changes. This is **write skew**. A snapshot never sees it; only *serializable* watches what was read.
#
# So a rule over several rows (a sum, a count, "at least one", "none so far") is not safe at repeatable read.

# %% [markdown]
# ## 7. FOR UPDATE, and a row that is not there
#
# *"Then lock what you read,"* says the agent, and puts `FOR UPDATE` behind the lamp's `SELECT`. Read committed, all 70 orders:

# %%
found = "FROM stock WHERE product_id = 40"
locked = Schedule.read(str(lamp).replace(found, found + " FOR UPDATE"))
held = explore(locked, levels="read committed").tallies["read committed"]
print(f"{held.serial} of 70 serial, {held.waits} waits")
assert held.serial == 70

# %% [markdown]
# It holds. So the agent uses it for the delivery van, too: look whether van 1 is free at ten, lock what was found, book it.

# %%
van = Schedule.read("""
# One van, ten o'clock
setup:
    CREATE TABLE trips (van int, hour int, driver text);
ana: BEGIN
ben: BEGIN
ana: SELECT driver FROM trips WHERE van = 1 AND hour = 10 FOR UPDATE
ben: SELECT driver FROM trips WHERE van = 1 AND hour = 10 FOR UPDATE
ana: INSERT INTO trips VALUES (1, 10, 'ana')
ben: INSERT INTO trips VALUES (1, 10, 'ben')
ana: COMMIT
ben: COMMIT
""")

# %% [markdown]
# **Predict** what becomes of Ben:
#
# - `a`: his `SELECT` waits for Ana, then finds her trip
# - `b`: his `INSERT` waits for Ana, then fails
# - `c`: nothing waits, and the van is booked twice

# %%
guess = predict("anomalies-double-booking", choice=..., confidence=...)

# %%
booked = play(van)
booked

# %%
waited = booked.schedule.steps[booked.waits[0].step].sql[:6] if booked.waits else "nothing"
guess.measured({"SELECT": "a", "INSERT": "b", "nothing": "c"}[waited])

# %%
assert not booked.waits and len(booked.final["trips"]) == 2

# %% [markdown]
# `FOR UPDATE` locks the rows that it *finds*. It found none. "Free" is a row that is not there, and nothing can be locked on it. What can be said about rows that are not there is said once, in the table:

# %%
ruled = str(van).replace("driver text)", "driver text, UNIQUE (van, hour))")
unique = Schedule.read(ruled.replace("ten o'clock", "ten o'clock, UNIQUE"))
once = play(unique)
print("left:", once.final["trips"], once.outcomes["ben"], once.end("ben.3").message, sep="\n")
assert once.end("ben.3").sqlstate == "23505" and len(once.final["trips"]) == 1

# %%
bookings = explore(van, levels=["read committed", "repeatable read", "serializable"], names=False)
for level, tally in bookings.tallies.items():
    print(f"{level:16} without the constraint: {tally.anomaly} of 70 book twice")
guarded = explore(unique, levels="read committed").tallies["read committed"]
print(f"{'read committed':16} with it: {guarded.anomaly}, and {guarded.abort} times 23505")
assert bookings.tallies["repeatable read"].anomaly == 60 and guarded.anomaly == 0

# %% [markdown]
# With the constraint the second booking is refused in *every* order, one after the other included, and at the cheapest level. Serializable helps as well, by aborting. The constraint also guards against the session that somebody
# opens by hand next year.

# %% [markdown]
# ## The same elsewhere
#
# The nightly job clears away orders that nobody paid for. It looks, and then it deletes; the till books a payment in between. At PostgreSQL's repeatable read that is safe. Take it, unchanged, to two other engines:

# %%
clearing = Schedule.read("""
# Clearing away what nobody paid for
setup:
    CREATE TABLE orders (order_id int PRIMARY KEY, status text);
    INSERT INTO orders VALUES (1, 'placed'), (2, 'placed');
night: BEGIN
night: SELECT order_id FROM orders WHERE status = 'placed'
till: UPDATE orders SET status = 'paid' WHERE order_id = 1
night: DELETE FROM orders WHERE status = 'placed'
night: COMMIT
""")
engines = {"postgresql": "repeatable read", "sqlite": "deferred", "duckdb": "snapshot"}

# %%
cleared = {name: run(clearing, name, level) for name, level in engines.items()}
for name, seen in cleared.items():
    codes = [event.sqlstate for event in seen.failures]
    print(f"{name:11} error {codes}, left: {seen.final['orders']}")

# %%
cleared["duckdb"]

# %%
assert [event.sqlstate for event in cleared["postgresql"].failures] == ["40001"]
assert [event.sqlstate for event in cleared["sqlite"].failures] == ["517"]
assert not cleared["duckdb"].failures and not cleared["duckdb"].final["orders"]

# %% [markdown]
# PostgreSQL refuses, and so does SQLite, with a number of its own (517, *the snapshot is out of date*). DuckDB deletes the order that has just been paid, and both sides were told that all is well: it takes a snapshot, but does not see that a
# `DELETE` and an `UPDATE` have met. Now the packers, on each engine's strictest level that does not begin by locking:

# %%
for name, level in {**engines, "postgresql": "serializable"}.items():
    found = explore(packers, name, level, names=False).tallies[level]
    print(f"{name:11} {level:13} {found.anomaly:2} of 70 leave nobody, {found.abort:2} aborted")
    assert found.anomaly == (60 if name == "duckdb" else 0)

# %% [markdown]
# SQLite lets one transaction write at a time and refuses the other one, so there is no skew. DuckDB has no level above its snapshot: such a rule needs a single writer there. "It is in a transaction" says nothing until you add *where*.

# %% [markdown]
# ## The same in production
#
# The evening ran in the profile `counting`. Here is your diary again, on a server with PostgreSQL's own defaults. A run's text holds every answer, every wait and every error, line by line:

# %%
with Stage(profile="production") as production:
    there = {key: production.run(seen.schedule, seen.level) for key, seen in diary.items()}
    lost_there = explore(lamp, levels="read committed", stage=production).tallies
    skewed_there = explore(packers, levels="repeatable read", stage=production).tallies

# %%
for key, seen in diary.items():
    same = "the same" if str(seen) == str(there[key]) else "changed"
    print(f"{seen.schedule.title:34}{seen.level:18}{same}")
    assert same == "the same"

# %%
print("lost updates:", lost_there["read committed"].anomaly)
print("write skews: ", skewed_there["repeatable read"].anomaly)
assert lost_there["read committed"].anomaly == skewed_there["repeatable read"].anomaly == 60

# %% [markdown]
# None of these settings changes what a level means. One setting of the server chooses the level for you, where the program names none: `default_transaction_isolation`.

# %% [markdown]
# ## What you know now
#
# - `BEGIN` gives you all or nothing. It does not make you alone: 60 of 70 orders sell the lamp twice.
# - Read, compute in the program, write: that is the pattern to look for in a review. One `UPDATE` with its condition mends it, if somebody reads the number of rows.
# - Read committed takes a snapshot for each statement, repeatable read for each transaction, at its *first statement*.
# - Repeatable read refuses the second writer of a row (`40001`, run it again). It is blind to write skew: 60 of 70.
# - `READ UNCOMMITTED` reads nothing dirty in PostgreSQL, its repeatable read shows no phantoms, and a plain reader waits for no writer.
# - `FOR UPDATE` locks what is there. A constraint guards what is not.
# - The same transaction on another engine is another transaction.
#
# Under the ticket you write: *the transaction is fine, the `SELECT` before the `UPDATE` is not*, and add the one statement.
#
# ## Tomorrow at work
#
# Three queries that only read (a role sees other people's statements if it is a member of `pg_monitor`). **Who waits for whom, now?** Here with something to see: a third session asks while Ben waits.

# %%
who_waits = """SELECT waiting.pid, waiting.query AS waits_in, holder.pid AS for_pid,
                      holder.state AS which_is, holder.query AS and_last_said
               FROM pg_stat_activity waiting
               CROSS JOIN unnest(pg_blocking_pids(waiting.pid)) AS blocker (pid)
               JOIN pg_stat_activity holder ON holder.pid = blocker.pid
               WHERE waiting.wait_event_type = 'Lock'"""
asked = run(Schedule.read(str(lamp).replace("ana: COMMIT", f"dba: {who_waits}\nana: COMMIT")))

# %%
answer = asked.end("dba.1")
for row in answer.rows:
    for column, value in zip(answer.columns, row, strict=True):
        print(f"{column:14} {value}")

# %% [markdown]
# *Idle in transaction* is the holder to look for: it waits for a program, not for the database. **Who is idle in an open transaction, and for how long?** And **how many deadlocks** has this database broken up, beside the transactions it
# rolled back? The first connection below forgets to commit; SQLAlchemy has begun a transaction for its `SELECT`.

# %%
idle = """SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::int AS open_s, query AS last_said
          FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY xact_start"""
deadlocks = """SELECT datname, deadlocks, xact_rollback, xact_commit
               FROM pg_stat_database WHERE datname = current_database()"""

# %%
engine = shop(orders=1_000)
with engine.connect() as forgotten, engine.connect() as connection:
    forgotten.execute(text("SELECT count(*) FROM orders"))
    for sql in (idle, deadlocks):
        for row in connection.execute(text(sql)).mappings():
            print(dict(row))

# %% [markdown]
# **To read**: PostgreSQL's manual, chapter 13, *Concurrency Control*, above all *Transaction Isolation*; Berenson and others, *A Critique of ANSI SQL Isolation Levels* (SIGMOD 1995), which shows that the standard's words fit engines that
# behave differently; Adya, *Weak Consistency* (PhD thesis, MIT, 1999), where the names on the maps come from.
#
# **Practise**: take a schedule of this evening, change one line, and say what will happen before you run it. **Next**: `03_isolation_2_remedies.ipynb`, what the remedy costs.
