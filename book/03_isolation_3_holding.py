# %% [markdown]
# # Isolation, third evening: what a transaction holds back
#
# Thursday, three in the afternoon. The shop stands still, and no query is slow. At two, a migration began that adds one column, *"a matter of milliseconds"*; it is still running. In the list of connections there is one that does nothing. It
# has been doing nothing since lunch.
#
# *"It is idle, and it has only read,"* says the agent that wrote the export. *"It cannot be that one."*
#
# Thirty-five minutes, six predictions. Afterwards you know what a transaction holds while it does nothing, what one that only reads can spoil, and which promises stay behind when a program moves to another engine.

# %%
import re

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from workbook import measure, predict, shop
from workbook.schedules import Schedule, Stage, explore, run, step_through
from workbook.schedules.graph import dependencies
from workbook.schedules.scenarios import SCENARIOS, matrix
from workbook.schedules.verdict import judge

# %% [markdown]
# ## 1. Doing nothing
#
# Every `UPDATE` leaves the old version of a row behind, and `VACUUM` removes it when nobody can see it any more. Four programs have said *one* thing each, and then forgot to end their transaction. None of them has ever
# touched the table `stock`:

# %%
customers = "SELECT * FROM customers"
forgotten = {
    "A  read committed, has read": ("READ COMMITTED", customers, False),
    "B  read committed, has changed a product": ("READ COMMITTED", "UPDATE products SET name = 'Lamp'", False),
    "C  read committed, reads row by row": ("READ COMMITTED", customers, True),
    "D  repeatable read, has read": ("REPEATABLE READ", customers, False),
}

# %% [markdown]
# (C is what an export does that must not hold all rows in memory: a cursor on the server, of which it has fetched a part.) While one of them is idle, all thousand rows of `stock` are updated, and `VACUUM` says how many old versions it had to leave.


# %%
def vacuum(table, on):
    """Vacuum a table. How many dead rows had to stay?"""
    said = []
    with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.connection.driver_connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
        connection.execute(text(f"VACUUM (VERBOSE) {table}"))
    return int(re.search(r"(\d+) are dead but not yet removable", "".join(said))[1])

# %%
def stay_behind(level, says, row_by_row, on):
    vacuum("stock", on)  # what the one before has left
    with on.connect().execution_options(isolation_level=level, stream_results=row_by_row) as idle:
        rows = idle.execute(text(says))
        if row_by_row:
            rows.fetchone()
        measure("UPDATE stock SET on_hand = on_hand + 1", on)
        return vacuum("stock", on)


# %% [markdown]
# **Predict.** For how many of the four do the old versions have to stay?

# %%
guess = predict("holding-idle", between=(..., ...))

# %%
engine = shop(orders=50_000)
stayed = {name: stay_behind(*what, on=engine) for name, what in forgotten.items()}
guess.measured(sum(rows > 0 for rows in stayed.values()), unit="of the four")

# %%
for name, rows in stayed.items():
    print(f"{name:42}{rows:>6,} dead rows stay")
assert list(stayed.values()) == [0, 1_000, 1_000, 1_000]

# %% [markdown]
# A is the only one that lets go: at read committed a snapshot ends with its statement. C's statement is not over, so its snapshot is not. D's lasts as long as the transaction. And B has written, so it has a number, and whatever died after the oldest
# number in use has to stay. `VACUUM` asks how far back somebody may still look. It does not ask at which tables.
#
# "Idle" says nothing. *Idle with what?* is the question.

# %% [markdown]
# ## 2. What the dead cost the living
#
# Dead rows take space. Is that all? The shop's mails stand in a queue. Who sends them looks for the smallest number, and deletes it. 8,000 of 10,000 are gone.

# %%
next_mail = "SELECT mail_id FROM mails ORDER BY mail_id LIMIT 1"


def morning(on):
    """A queue of ten thousand mails, of which eight thousand are sent. Pages to find the next one, for who looks first."""
    with on.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS mails"))
        connection.execute(text("CREATE TABLE mails (mail_id int PRIMARY KEY, body text)"))
        connection.execute(text("INSERT INTO mails SELECT n, repeat('x', 400) FROM generate_series(1, 10000) AS n"))
    measure("DELETE FROM mails WHERE mail_id <= 8000", on)
    return measure(next_mail, on).buffers


# %%
def look_next(on, first):
    """Pages to find it for who looks next; again, while another database of this server holds the dead back for a moment."""
    looks = (measure(next_mail, on).buffers for _ in range(3000))
    return next((pages for pages in looks if pages < first), first)


# %%
first = morning(engine)
quiet = look_next(engine, first)
vacuum("mails", engine)
swept = measure(next_mail, engine).buffers
print(f"pages to find the next mail: {quiet}, after VACUUM {swept}")

# %% [markdown]
# Now the same morning with D in a corner. It has read the customers, it is idle, and it knows nothing of mails. `VACUUM` has been here, too.
#
# **Predict.** How many pages to find *one* mail?

# %%
guess = predict("holding-queue", between=(..., ...))

# %%
def morning_with_idle(on):
    with on.connect().execution_options(isolation_level="REPEATABLE READ") as idle:
        idle.execute(text(customers))
        morning(on)
        vacuum("mails", on)
        return measure(next_mail, on).buffers


crowded = morning_with_idle(engine)
guess.measured(crowded, unit="pages")

# %%
print(f"with nobody idle, the first look: {first} pages, the next: {quiet}")
assert swept < quiet < 30 and first > 15 * quiet and crowded > 15 * quiet

# %% [markdown]
# For one mail, every time. The index leads to the smallest number first, and that row is dead; so is the next one, and the next. With nobody idle, the first look paid for it, and marked the entries for those who came after. Here nobody may mark them, since D could still ask. So
# a queue gets slower with every mail that it has *sent*, as long as somebody is idle in a corner. No query has changed, and no plan.

# %% [markdown]
# ## 3. Two who do nothing wrong
#
# A was harmless, then. It has read the orders, at read committed, and is idle. At two o'clock comes the migration, `ADD COLUMN`, and waits for it. Then Ana looks at her order.

# %%
migration = Schedule.read("""
# A column that is added
setup:
    CREATE TABLE orders (order_id int PRIMARY KEY, status text);
    INSERT INTO orders VALUES (1, 'paid');
idle: BEGIN
idle: SELECT count(*) FROM orders
deploy: ALTER TABLE orders ADD COLUMN note text
ana: SELECT status FROM orders WHERE order_id = 1
idle: COMMIT
""")

# %% [markdown]
# **Predict** what becomes of Ana's `SELECT`:
#
# - `a`: she reads at once; the column is not there yet, so nothing is in her way
# - `b`: she waits, for the one that is idle
# - `c`: she waits, for the migration
# - `d`: she gets an error

# %%
guess = predict("holding-migration", choice=..., confidence=...)

# %%
stands_still = run(migration)
stands_still

# %%
for_whom = {migration.steps[event.step].session: event.waits_for for event in stands_still.waits}
guess.measured({None: "a", ("idle",): "b", ("deploy",): "c"}.get(for_whom.get("ana"), "d"))

# %%
assert for_whom == {"deploy": ("idle",), "ana": ("deploy",)}

# %% [markdown]
# That is your Thursday. A plain `SELECT` takes a lock on its *table*, the weakest there is, and keeps it until the transaction ends; only the likes of `ALTER TABLE` mind. (A table's locks have eight modes, in the manual's *Explicit Locking*; one more that people meet: `CREATE INDEX` takes `SHARE`, which stops all who write the table and nobody who reads it.) The `ALTER` waits, and **whoever comes later queues up behind it**, although
# they would get on with everybody who holds a lock now. One idle reader and one migration are harmless, each for itself. Together they close the shop.
#
# So a migration must not wait for long. It says how long, and tries again later:

# %%
with engine.connect() as idle, engine.connect() as deploy:
    idle.execute(text("SELECT count(*) FROM orders"))
    deploy.execute(text("SET lock_timeout = '50ms'"))
    try:
        deploy.execute(text("ALTER TABLE orders ADD COLUMN note text"))
    except OperationalError as error:
        gave_up = error.orig.sqlstate
print("the migration gave up:", gave_up)
assert gave_up == "55P03"

# %% [markdown]
# ## 4. A lock that nobody asked for
#
# The office has product 40 on the screen, in an open transaction. Ana orders one: she inserts a line that `REFERENCES products`. Two ways to have it on the screen:

# %%
def office(says):
    return Schedule.read(f"""
# A line for a product, {says.split()[0]}
setup:
    CREATE TABLE products (product_id int PRIMARY KEY, euros int);
    CREATE TABLE lines (line_id int, product_id int REFERENCES products);
    INSERT INTO products VALUES (40, 20);
office: BEGIN
office: {says}
ana: INSERT INTO lines VALUES (1, 40)
office: COMMIT
""")

# %%
changes = office("UPDATE products SET euros = 25 WHERE product_id = 40")
locks = office("SELECT euros FROM products WHERE product_id = 40 FOR UPDATE")

# %% [markdown]
# **Predict** for which of the two Ana's `INSERT` has to wait: `a`: for neither, `b`: only for the one that *changes* the price, `c`: only for the one that *locks* the row, `d`: for both.

# %%
guess = predict("holding-parent", choice=..., confidence=...)

# %%
changed, locked = run(changes), run(locks)
guess.measured({(0, 0): "a", (1, 0): "b", (0, 1): "c", (1, 1): "d"}[len(changed.waits), len(locked.waits)])

# %%
locked

# %%
assert not changed.waits and locked.waits[0].waits_on == "row product_id=40 of products"

# %% [markdown]
# The one that changes the price does not disturb her, and the one that changes nothing does. To be sure that the product stays, her insert locks its row a little: `FOR KEY SHARE`, *the key must stay as it is*. An update of the price takes `FOR NO KEY UPDATE`, which says that it will. `FOR UPDATE` says
# *I may delete it*. It is the strongest of four locks, and the one that everybody writes.
#
# It gets worse where two customers do both: insert a line, and then lock the product to count it up. Each already has the little lock that nobody asked for, and each now waits for the other's:

# %%
def count_up(lock):
    return Schedule.read(f"""
# Insert, then lock
setup:
    CREATE TABLE products (product_id int PRIMARY KEY, sold int);
    CREATE TABLE lines (line_id int, product_id int REFERENCES products);
    INSERT INTO products VALUES (40, 0);
ana: INSERT INTO lines VALUES (1, 40)
ana: SELECT sold FROM products WHERE product_id = 40 {lock}
ben: INSERT INTO lines VALUES (2, 40)
ben: SELECT sold FROM products WHERE product_id = 40 {lock}
""")


# %%
deadlocks = {}
for lock in ("FOR UPDATE", "FOR NO KEY UPDATE"):
    deadlocks[lock] = explore(count_up(lock), levels="read committed").tallies["read committed"].deadlock
    print(f"{lock:18}{deadlocks[lock]:>3} of 70 orders are a deadlock")
assert deadlocks == {"FOR UPDATE": 36, "FOR NO KEY UPDATE": 0}

# %% [markdown]
# Two words in the SQL, and the deadlocks are gone. Write `FOR NO KEY UPDATE`, unless you mean to delete the row.

# %% [markdown]
# ## 5. It only reads
#
# The till notes receipts under the day that it is. At midnight somebody closes the day, by setting it to the next one. Both at repeatable read. A receipt that was begun before midnight may be written after it, and counts for the old day, just as if it had been written
# before. All 35 orders of the two are fine:

# %%
midnight = """
# Midnight
setup:
    CREATE TABLE days (shop int PRIMARY KEY, today int);
    CREATE TABLE receipts (day int, euros int);
    INSERT INTO days VALUES (7, 1);
    INSERT INTO receipts VALUES (1, 100);
till: BEGIN
till: SELECT today FROM days
close: UPDATE days SET today = 2
till: INSERT INTO receipts VALUES (1, 20)
till: COMMIT
"""
two = explore(Schedule.read(midnight), levels="repeatable read").tallies["repeatable read"]
print(f"{two.serial} of {two.orders} orders are serial")

# %% [markdown]
# Now somebody prints day 1, as soon as it is closed. It is a transaction that only reads, at repeatable read, on one snapshot:

# %%
report = """report: BEGIN READ ONLY
report: SELECT today FROM days
report: SELECT sum(euros) FROM receipts WHERE day = 1
report: COMMIT
"""
printed = Schedule.read(midnight.replace("till: INSERT", f"{report}till: INSERT"))

# %% [markdown]
# **Predict** what the reader changes:
#
# - `a`: nothing changes; who only reads can spoil nothing
# - `b`: somebody is aborted
# - `c`: all three commit, and there is no order of the three that explains what was read and what is left

# %%
guess = predict("holding-report", choice=..., confidence=...)

# %%
spoilt = run(printed, level="repeatable read")
verdict = judge(spoilt)
guess.measured("b" if spoilt.failures else "a" if verdict.serializable else "c")

# %%
step_through(spoilt, dependencies(spoilt), verdict)

# %%
assert two.serial == two.orders == 35 and not verdict.serializable and len(spoilt.committed) == 3

# %% [markdown]
# The report says: the day is closed, and it brought 100 euros. In the table are 120. The till comes before the closing, for it saw day 1; the closing comes before the report; the report comes before the till, whose receipt it did not see. A circle, and only
# the reader closes it. The two others are fine without it; but in no order of the three is day 1 closed with 100 euros.
#
# At serializable somebody has to go. **Whom** does it hit?

# %%
strict = run(printed, level="serializable")
print(dict(strict.outcomes))
assert strict.outcomes["till"] == "aborted 40001"

# %% [markdown]
# The till: a customer's receipt fails, because somebody *read*. A report can spare others that. It says that it only reads, and that it has time; then it waits until its snapshot can do no harm:

# %%
waiting = str(printed).replace("READ ONLY", "READ ONLY DEFERRABLE").replace("Midnight", "Midnight, DEFERRABLE")
patient = run(Schedule.read(waiting), level="serializable")
patient

# %%
assert patient.end("report.3").rows == ((120,),) and len(patient.committed) == 3
assert patient.waits[0].waits_on == "a safe snapshot"

# %% [markdown]
# ## 6. The safest line of all
#
# A foreign key needs no level, no lock of yours and no loop. Ana inserts a line for product 40; the office deletes the product. In PostgreSQL, one of the two is refused in *every* order. Take it to SQLite and to DuckDB: the table, the key and the statements are the same.

# %%
goes = Schedule.read("""
# A product that goes
setup:
    CREATE TABLE products (product_id int PRIMARY KEY, euros int);
    CREATE TABLE lines (line_id int, product_id int REFERENCES products (product_id));
    INSERT INTO products VALUES (40, 20);
ana: BEGIN
office: BEGIN
ana: INSERT INTO lines VALUES (1, 40)
office: DELETE FROM products WHERE product_id = 40
ana: COMMIT
office: COMMIT
""")

# %% [markdown]
# **Predict** where an order of the 20 leaves a line whose product is gone: `a`: on neither, `b`: on SQLite, `c`: on DuckDB, `d`: on both.

# %%
guess = predict("holding-elsewhere", choice=..., confidence=...)


# %%
def orphans(engine, level):
    """In how many orders a line is left whose product is gone."""
    left = [cell.run.final for cell in explore(goes, engine, level, names=False).cells]
    return sum(bool(final["lines"]) and not final["products"] for final in left)


engines = {"postgresql": "read committed", "sqlite": "deferred", "duckdb": "snapshot"}
alone = {name: orphans(name, level) for name, level in engines.items()}
guess.measured({(0, 0): "a", (1, 0): "b", (0, 1): "c", (1, 1): "d"}[bool(alone["sqlite"]), bool(alone["duckdb"])])

# %%
for name, orders in alone.items():
    print(f"{name:12}{orders:>3} of 20 orders leave a line without its product")
assert alone == {"postgresql": 0, "sqlite": 20, "duckdb": 12}

# %%
run(goes, "duckdb")

# %% [markdown]
# DuckDB checks the key in each transaction's own snapshot: here is the product, there is no line. Nobody looks across. SQLite does not check at all, in no order, until *each connection* has asked for it:

# %%
asked = "ana: PRAGMA foreign_keys = ON\noffice: PRAGMA foreign_keys = ON\nana: BEGIN"
checked = run(Schedule.read(str(goes).replace("ana: BEGIN", asked)), "sqlite")
print(checked.failures[0].message, checked.final, sep="\n")
assert checked.final["products"] and len(checked.failures) == 1

# %% [markdown]
# And what else changes its meaning? Here are the fourteen small stories that the literature has collected, on five levels, measured just now:

# %%
levels = [("postgresql", level) for level in ("read committed", "repeatable read", "serializable")]
measured = matrix([*levels, ("sqlite", "deferred"), ("duckdb", "snapshot")])
print(measured)

# %%
names = [f"{key} {story.name}" for key, story in SCENARIOS.items()]
print(*("; ".join(names[place : place + 5]) for place in range(0, len(names), 5)), sep="\n")

# %%
texts = measured.texts()
assert texts["postgresql", "repeatable read"]["Gs-w"] == "e" and texts["duckdb", "snapshot"]["Gs-w"] == "X"
assert all("X" not in cell for cell in [*texts["postgresql", "serializable"].values(), *texts["sqlite", "deferred"].values()])

# %% [markdown]
# `X`: it happens. `b`: somebody waits; `e`: somebody gets an error; `ok`: neither is needed. (`†`: this one does not happen, another one does.) Letters add up: `be` waits and then gets an error, `bX` waits and it happens all the same; a number
# behind `e` is SQLite's (5, *busy*; 517, *the snapshot is out of date*). Read it by column: `P4` is the last lamp, `G2i` the packers, `Fekete` the report at midnight. Before you move a program,
# read two rows: where they differ, it changes its meaning, and where the new one says `X`, it does so without a word.

# %% [markdown]
# ## The same in production
#
# The same once more on a server with PostgreSQL's own defaults, where autovacuum is at work:

# %%
production = shop(orders=50_000, profile="production")
stayed_there = {name: stay_behind(*what, on=production) for name, what in forgotten.items()}
crowded_there = morning_with_idle(production)

# %%
print("dead rows that stay:", list(stayed.values()), "there", list(stayed_there.values()))
print("pages for the next mail:", crowded, "there", crowded_there)
assert stayed_there == stayed and crowded_there > 15 * quiet

# %%
with Stage(profile="production") as stage:
    for mine in (stands_still, changed, locked, spoilt, strict, patient):
        there = stage.run(mine.schedule, mine.level)
        print(f"{mine.schedule.title:32}{mine.level:17}{'the same' if str(mine) == str(there) else 'changed'}")
        assert str(mine) == str(there)

# %% [markdown]
# Autovacuum is no help against somebody who is idle: it asks the same question, gets the same answer, and comes again after a nap. The server can end such sessions by itself. Unless you tell it to, it does not:

# %%
with production.connect() as connection:
    for name in ("autovacuum_naptime", "idle_in_transaction_session_timeout", "lock_timeout"):
        print(f"{name:37}{connection.execute(text(f'SHOW {name}')).scalar_one()}")

# %% [markdown]
# ## What you know now
#
# - An idle transaction holds back `VACUUM` for *all* tables if it has written, or has a snapshot: repeatable read, or a cursor that is not read to its end.
# - The living pay: one mail of a queue costs hundreds of pages instead of three.
# - Even one that has only read holds its tables against `ALTER`, and everybody queues up behind the `ALTER`. Migrations run with a `lock_timeout`.
# - A foreign key locks the parent's row, weakly. `FOR UPDATE` on a parent stops inserts of children; `FOR NO KEY UPDATE` does not.
# - At repeatable read a transaction that only reads can see what no order of the transactions explains. Serializable mends that, at a writer's expense; `DEFERRABLE` at the reader's.
# - A foreign key is as good as the engine: 0, 20 and 12 of 20 orders.
#
# And Thursday? You end the idle session, the migration is through in a moment, the shop moves. Then you give the migration a `lock_timeout`, and the export a `COMMIT`.
#
# ## Tomorrow at work
#
# Three queries that only read. **Who holds back VACUUM?** The oldest first; here with D to be seen. (Replication slots and prepared transactions hold back as well: `pg_replication_slots`, `pg_prepared_xacts`.)

# %%
holders = """SELECT state, backend_xid IS NOT NULL AS has_written, query AS last_said
             FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
             ORDER BY greatest(age(backend_xmin), age(backend_xid)) DESC"""
with engine.connect().execution_options(isolation_level="REPEATABLE READ") as idle, engine.connect() as connection:
    idle.execute(text(customers))
    for row in connection.execute(text(holders)).mappings():
        print(dict(row))

# %% [markdown]
# **Where do the dead rows lie?** And **which child has no index on its parent**, so that deleting a parent reads all of it, with the row locked meanwhile?

# %%
dead = """SELECT relname, n_live_tup, n_dead_tup, last_autovacuum IS NOT NULL AS vacuumed
          FROM pg_stat_user_tables WHERE n_dead_tup > 1000 ORDER BY n_dead_tup DESC LIMIT 5"""
children = """SELECT conrelid::regclass AS child, confrelid::regclass AS parent, conname
              FROM pg_constraint c WHERE contype = 'f' AND NOT EXISTS (
                  SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])
              ORDER BY conname"""
with engine.connect() as connection:
    for sql in (dead, children):
        for row in connection.execute(text(sql)).mappings():
            print(dict(row))

# %% [markdown]
# **To read**: PostgreSQL's manual, *Explicit Locking* (the two tables of which lock stands against which) and *Routine Vacuuming*; Fekete, O'Neil and O'Neil, *A Read-Only Transaction Anomaly Under Snapshot Isolation* (SIGMOD Record 2004), three pages, with bank accounts in place of our till.
# **Next**: the graded lab, `labs/03_isolation.ipynb`.
