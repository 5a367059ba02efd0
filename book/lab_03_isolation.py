# %% [markdown]
# # Lab: isolation
#
# Eight core exercises and five further ones. You hand in orders, rules, SQL and decisions; each is run, mostly in every order that two sessions allow, on a real PostgreSQL. The seed
# below chooses the variants, and each changes the right answer; in `my-work/` it is a seed of your own.
#
# **How to work.** Read the task that `ask` shows. `run(Schedule.read(text))` plays one order and draws it, `explore(Schedule.read(text), levels="read committed")` plays them all, and `practice("...")` gives you a database with the
# task's tables where there is one. A schedule is text: the tables under `setup:`, then the steps. Write each session's BEGIN and COMMIT; without them each statement is a transaction of its own:
#
# ```
# level: repeatable read
#
# setup:
#     CREATE TABLE test (id int PRIMARY KEY, value int);
#     INSERT INTO test VALUES (1, 10)
#
# ana: BEGIN
# ana: SELECT value FROM test WHERE id = 1
# ben: UPDATE test SET value = 11 WHERE id = 1
# ana: SELECT value FROM test WHERE id = 1
# ana: COMMIT
# ```
#
# Your answer takes the place of the `...`: inside of the brackets the value alone, without `name =`; a function below `decide = ...`, which may stay. The two comment lines around it are for a teacher's tools: leave them alone. Run the cell and the one below it. `hint("...")`, three times at most, goes from a question to nearly the answer. Points are for answers, hints cost nothing.
#
# The core takes about seventy-five minutes. Agents are welcome. Nobody but you can say in which order it breaks.

# %%
from workbook import ask, check, hint, practice, progress, start_lab
from workbook.schedules import Schedule, explore, remedies, run, step_through

# %%
start_lab("03_isolation", seed=1)

# %% [markdown]
# ## 1. What a level does
#
# *"We are on read uncommitted there, for speed"*, says the one; *"on repeatable read, so no phantoms"*, says the other, and both have read it in a table. A level's name says what the standard forbids. What is seen, and from which moment,
# the engine says. Put it into a rule: a function with the arguments `schedule` and `level`, which is asked of schedules that you have not seen.
#
# - **What is committed:** at each step, which rows would somebody see who has just come in?
# - **From which moment:** does a statement look at that, or at a picture from before? When was the picture taken?
# - **Whose work:** does the step meet uncommitted work, its own or the other one's? Does that change what you are asked?

# %%
ask("isolation-levels")

# %%
decide = ...
### BEGIN SOLUTION
def decide(schedule, level):
    committed, written, picture, seen = {1: 10, 2: 20}, {"ana": {}, "ben": {}}, None, []
    for session, action, *numbers in schedule:
        if session == "ana" and action in ("read", "set"):
            if picture is None or level != "repeatable read":
                picture = dict(committed)
        if action == "read":
            seen.append(written["ana"].get(numbers[0], picture[numbers[0]]))
        elif action == "set":
            written[session][numbers[0]] = numbers[1]
        elif action == "commit":
            committed.update(written[session])
    return seen
### END SOLUTION

# %%
check("isolation-levels", decide)

# %% [markdown]
# ## 2. Write skew on demand
#
# A rule over several rows, two programs that keep it, and a level whose name sounds as if nothing could happen. You are the attacker: which statements, in which order?

# %%
ask("isolation-skew")

# %%
skew = (
    ### BEGIN SOLUTION
    """
    ana: BEGIN
    ben: BEGIN
    ana: SELECT sum(euros) FROM claim WHERE project = 3
    ben: SELECT sum(euros) FROM claim WHERE project = 3
    ana: INSERT INTO claim VALUES (3, 2, 300)
    ben: INSERT INTO claim VALUES (3, 3, 300)
    ana: COMMIT
    ben: COMMIT
    """
    ### END SOLUTION
)

# %%
check("isolation-skew", skew)

# %% [markdown]
# ## 3. A lost update, or none
#
# Four pull requests for the same bug, each with a sentence why it cannot happen any more. Some are right. For the others an order exists in which somebody's change is gone, and both programs report success.

# %%
ask("isolation-lost")

# %%
lost = (
    ### BEGIN SOLUTION
    {
        "A": "ben ana ana ana ben ben",
        "B": None,
        "C": "ana ben ben ben ben ana ana ana",
        "D": None,
    }
    ### END SOLUTION
)

# %%
check("isolation-lost", lost)

# %% [markdown]
# ## 4. One hour, two bookings
#
# It happened once, and somebody put `FOR UPDATE` in. It happened again. A lock is put on rows that are there, and the second booking is for something that nobody has booked yet. Which rule, or
# which lock, do both customers meet, and who else would meet it, too?

# %%
ask("isolation-booking")

# %%
booking = (
    ### BEGIN SOLUTION
    {
        "booking": """
            SELECT 1 FROM course WHERE course_id = :course FOR UPDATE;
            INSERT INTO booking SELECT :course, :who
                WHERE (SELECT count(*) FROM booking WHERE course_id = :course)
                    < (SELECT seats FROM course WHERE course_id = :course)
        """,
    }
    ### END SOLUTION
)

# %%
check("isolation-booking", booking)

# %% [markdown]
# ## 5. Remove the deadlocks
#
# Once a night the log says `deadlock detected`, somebody's purchase is gone, and in the morning nobody can make it happen again. An agent has looked at the code and suggests
# `LOCK TABLE`, which does end it: since then the shop sells one basket at a time.
#
# You get programs that deadlock, and mend them without a lock that strangers would share.
#
# - **Draw:** two calls side by side; at each statement, what it locks, and in which order.
# - **Circle:** where does each hold what the other one wants next?
# - **Order:** something that every caller can compute beforehand, and as strong a lock as will be needed, from the first time on.

# %%
ask("isolation-deadlock")

# %%
mended = (
    ### BEGIN SOLUTION
    {
        "take": """SELECT FROM stock WHERE item = ANY (:items::int[]) ORDER BY item FOR NO KEY UPDATE;
            UPDATE stock SET pieces = pieces - 1 FROM unnest(:items::int[]) AS wanted(item) WHERE stock.item = wanted.item"""
    }
    ### END SOLUTION
)

# %%
check("isolation-deadlock", mended)

# %% [markdown]
# ## 6. A child does not wait for its parent
#
# The dashboard shows orders that take two seconds to insert. No index is missing, no trigger runs, and the plan of the INSERT is one line. It waits for another table's row.
#
# - **Who:** which statement of the other transaction is waited for?
# - **What for:** what does the INSERT need of that row, and what does the other transaction forbid?
# - **As little:** which lock forbids what has to be forbidden, and no more?

# %%
ask("isolation-parent")

# %%
let_past = (
    ### BEGIN SOLUTION
    "UPDATE customers SET name = :name, points = points + :points WHERE customer_id = :customer"
    ### END SOLUTION
)

# %%
check("isolation-parent", let_past)

# %% [markdown]
# ## 7. Retry, ask, give up
#
# *"I put a retry around it"*, says the agent, and it did: around everything. Which errors does that help against, which does it repeat for ever, and after which does it charge the customer a second
# time?

# %%
ask("isolation-retry")

# %%
after_failure = ...
### BEGIN SOLUTION
def after_failure(sqlstate, phase, key):
    if sqlstate == "08006" and phase == "COMMIT":
        return "ask"
    if sqlstate in ("40001", "40P01", "57P01", "57014", "08006"):
        return "retry"
    return "give up"
### END SOLUTION

# %%
check("isolation-retry", after_failure)

# %% [markdown]
# ## 8. Incident: who holds up all the others
#
# Half of the shop stands still, and somebody asks in the chat whether to restart the database. You look at the lock tables first. Which one session is to be ended, why not the one that your colleague
# has in mind, and which query finds it the next time?

# %%
ask("isolation-blocker")

# %%
blocker = (
    ### BEGIN SOLUTION
    {
        "end": "deploy",
        "rules_out": 1,
        "sql": """SELECT application_name FROM pg_stat_activity a
                  WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) = 0
                    AND EXISTS (SELECT FROM pg_stat_activity w
                                WHERE w.datname = current_database() AND a.pid = ANY (pg_blocking_pids(w.pid)))""",
    }
    ### END SOLUTION
)

# %%
check("isolation-blocker", blocker)

# %% [markdown]
# ## 9. Further: missed, then seen
#
# *"The report runs in one transaction, and it does not show what was paid before it ran."* Before it ran, or before it *looked*? Find the one step that decides it.

# %%
ask("isolation-snapshot")

# %%
orders = (
    ### BEGIN SOLUTION
    {
        "sees": "till till report till report report report report",
        "misses": "till till report report till report report report",
    }
    ### END SOLUTION
)

# %%
check("isolation-snapshot", orders)

# %% [markdown]
# ## 10. Further: the lowest level that suffices
#
# *"We run everything at serializable, to be safe."* It is paid for in transactions that are sent again, and one of the five programs below is broken all the same. Decide for each, and give a reason that
# can be run: the order of statements that breaks the rule one level lower.

# %%
ask("isolation-lowest")

# %%
levels = (
    ### BEGIN SOLUTION
    {
        "A": ("repeatable read", "T1 T2 T1 T1 T2 T2"),
        "B": ("none", "T1 T1 T2 T2 T1 T1 T2 T2"),
        "C": ("read committed", ""),
        "D": ("repeatable read", "T1 T2 T2 T2 T1 T1"),
        "E": ("serializable", "T1 T2 T1 T2 T1 T2"),
    }
    ### END SOLUTION
)

# %%
check("isolation-lowest", levels)

# %% [markdown]
# ## 11. Further: a safe transfer
#
# An agent has written a transfer and tests for it. All of them pass, and each makes one transfer after the other. Show an order of two at once that does harm, and then take it away with as few changes as you can:
# whoever reviews the patch wants to see why it helps.

# %%
ask("isolation-transfer")

# %%
transfer = (
    ### BEGIN SOLUTION
    {
        "witness": ((3, 4, 10), (4, 3, 20), "one two one two one two one two"),
        "transfer": """
            WITH held AS (SELECT * FROM account WHERE account_id IN (:from, :to) ORDER BY account_id FOR UPDATE)
            SELECT set_config('my.balance', cents::text, true) FROM held WHERE account_id = :from;
            UPDATE account SET cents = cents - :cents
                WHERE account_id = :from AND current_setting('my.balance')::int >= :cents;
            UPDATE account SET cents = cents + :cents
                WHERE account_id = :to AND current_setting('my.balance')::int >= :cents
        """,
    }
    ### END SOLUTION
)

# %%
check("isolation-transfer", transfer)

# %% [markdown]
# ## 12. Further: aborted, and nothing is shared
#
# The code runs at SERIALIZABLE, the retries work, and the more customers there are, the more is sent again. Everybody touches their own rows only; somebody has checked that twice. On the
# developer's machine, with a hundred rows, it was just as bad, and an index changed nothing there.
#
# You write DDL, and nothing else changes.
#
# - **Look:** which plan has each statement, the one that writes, too?
# - **Remembered:** what does `pg_locks` say of `SIReadLock` after each of them?
# - **Narrow:** an index by which each statement fetches its own rows alone, from pages of the index where only its neighbours' entries stand.

# %%
ask("isolation-disjoint")

# %%
narrowed = (
    ### BEGIN SOLUTION
    "CREATE INDEX ON payments (reference)"
    ### END SOLUTION
)

# %%
check("isolation-disjoint", narrowed)

# %% [markdown]
# ## 13. Further: direct
#
# Some thirty agents deliver booking desks, with tests that pass, one request after the other. You do not read their code. You write what each of them has to get past: a function that is shown what two
# requests asked, when, what they were answered, and what is left, as it was on PostgreSQL, and that says whether this may be.
#
# - **Rows:** is each booking that is there one that was there or was asked for, and is none gone that nobody cancelled?
# - **Answers:** is each answer true, and was a refusal due?
# - **Order:** would one request after the other have given just this, and in an order that the clock allows?
#
# Two halves: no wrong desk may pass, and no right one may be refused because it was made otherwise than you would have made it.

# %%
ask("isolation-direct")

# %%
accept = ...
### BEGIN SOLUTION
def accept(history):
    def booking(request):
        return {name: request[name] for name in ("number", "room", "first", "last", "guest")}

    def answer(rows, request):
        if request["do"] == "cancel":
            found = [row for row in rows if row["number"] == request["number"]]
            rows[:] = [row for row in rows if row not in found]
            return "cancelled" if found else "unknown"
        for day in range(request["first"], request["last"]):
            if any(row["room"] == request["room"] and row["first"] <= day < row["last"] for row in rows):
                return "refused"
        rows.append(booking(request))
        return "booked"

    one, other = history["operations"]
    beside = one["began"] < other["ended"] and other["began"] < one["ended"]
    if not beside and "failed" in (one["answer"], other["answer"]):
        return False
    for order in ((one, other), (other, one)):
        order = [request for request in order if request["answer"] != "failed"]
        if len(order) == 2 and order[1]["ended"] < order[0]["began"]:
            continue
        rows = [dict(row) for row in history["before"]]
        given = [answer(rows, request) for request in order]
        if given == [request["answer"] for request in order] and sorted(map(str, rows)) == sorted(map(str, map(booking, history["after"]))):
            return True
    return False
### END SOLUTION

# %%
check("isolation-direct", accept)

# %% [markdown]
# ## What you can do now
#
# You say what a level lets through, make it happen with two sessions, name it, and mend it with as little as it takes; you know what is to be sent again and what never; and you find the one
# session that holds up all the others. In a week, take the exercise that you liked least, and run `reset` on a copy of this lab: your seed stays, your answers do not.

# %%
progress()
