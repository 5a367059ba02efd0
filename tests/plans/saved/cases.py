"""The statements whose plans are saved: for each node type of PostgreSQL 18 at least one that makes the planner use
it, with the settings that it takes."""

from __future__ import annotations

from dataclasses import dataclass

TABLES = """
CREATE TABLE customers (customer_id int PRIMARY KEY, name text NOT NULL, city int NOT NULL, referred_by int);
CREATE TABLE orders (order_id int PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, placed date NOT NULL,
    total int NOT NULL);
CREATE TABLE lines (order_id int, line int, product_id int NOT NULL, quantity int NOT NULL,
    PRIMARY KEY (order_id, line));
CREATE TABLE products (product_id int PRIMARY KEY, name text NOT NULL, price int NOT NULL);
CREATE TABLE parted (id int, day int) PARTITION BY RANGE (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM (20) TO (30);
INSERT INTO customers SELECT i, 'name ' || i, i % 20, CASE WHEN i > 1 THEN i / 2 END FROM generate_series(1, 1000) i;
INSERT INTO orders SELECT i, (i * 7) % 1000 + 1, (ARRAY['new','paid','sent'])[i % 3 + 1], date '2026-01-01' + i % 365, i % 97
    FROM generate_series(1, 10000) i;
INSERT INTO lines SELECT i, l, (i * 3 + l) % 200 + 1, l FROM generate_series(1, 10000) i, generate_series(1, 2) l;
INSERT INTO products SELECT i, 'product ' || i, i % 50 FROM generate_series(1, 200) i;
INSERT INTO parted SELECT i, i % 30 FROM generate_series(1, 3000) i;
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX orders_total ON orders (total);
CREATE INDEX lines_product ON lines (product_id);
CREATE INDEX parted_day ON parted (day);
"""
ODD = """
CREATE SCHEMA "odd one";
CREATE TABLE "odd one"."Sales ""B & C"" on <x>" ("the id" int PRIMARY KEY, note text);
INSERT INTO "odd one"."Sales ""B & C"" on <x>" SELECT i, 'note ' || i FROM generate_series(1, 50) i;
"""
WRITTEN = """
CREATE TABLE w (id int PRIMARY KEY, n int); CREATE TABLE w_child (id int REFERENCES w ON DELETE CASCADE);
INSERT INTO w SELECT i, i FROM generate_series(1, 100) i; INSERT INTO w_child SELECT 7; ANALYZE w, w_child;
"""
TRIGGER = (
    WRITTEN
    + """
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := NEW.n + 1; RETURN NEW; END';
CREATE TRIGGER noting BEFORE INSERT OR UPDATE ON w FOR EACH ROW EXECUTE FUNCTION noted();
"""
)
# EXPLAIN in a trigger is the one way to see a transition table in a plan without auto_explain.
TRANSITION = (
    WRITTEN
    + """
CREATE TABLE said (at serial, line text);
CREATE FUNCTION looked() RETURNS trigger LANGUAGE plpgsql AS $f$
DECLARE l text; BEGIN
FOR l IN EXPLAIN (@options@) SELECT count(*) FROM added a JOIN w ON w.id = a.id LOOP
INSERT INTO said (line) VALUES (l); END LOOP; RETURN NULL; END $f$;
CREATE TRIGGER looking AFTER INSERT ON w REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION looked();
INSERT INTO w SELECT i, i FROM generate_series(101, 120) i;
"""
)
FOREIGN = """
CREATE EXTENSION postgres_fdw;
CREATE SERVER back FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '@host@', dbname 'postgres', use_remote_estimate 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER back OPTIONS (user 'postgres');
CREATE FOREIGN TABLE far (customer_id int, city int) SERVER back OPTIONS (table_name 'customers');
CREATE FOREIGN TABLE far_orders (order_id int, customer_id int) SERVER back OPTIONS (table_name 'orders');
"""
FILE = """
CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE people (name text, uid text) SERVER files OPTIONS (program 'printf "a:1\\nb:2\\n"', delimiter ':');
"""
TICKETS = """
CREATE TABLE tickets (id int PRIMARY KEY, status text, country text);
INSERT INTO tickets SELECT i, CASE WHEN i % 2 = 0 THEN 'open' ELSE 'shut' END,
    CASE WHEN i % 2 = 0 AND i > {} THEN 'de' ELSE 'at' END FROM generate_series(1, 2000) i;
ANALYZE tickets;
"""
PARALLEL = (
    "max_parallel_workers_per_gather=2 parallel_setup_cost=0 parallel_tuple_cost=0 min_parallel_table_scan_size=0 "
    "min_parallel_index_scan_size=0 parallel_leader_participation=on "
)
EVERY = "ANALYZE, BUFFERS, WAL, SETTINGS"


@dataclass(frozen=True)
class Case:
    """A statement, the settings it runs under, and what is made first; all of it is rolled back.

    `since` and `until` bound the versions that have what it asks for; `contrib` says that it needs Debian's server.
    """

    name: str
    sql: str
    settings: str = ""
    setup: str = ""
    options: str = EVERY
    since: int = 15
    until: int = 99
    contrib: bool = False


JOINED = "SELECT c.name FROM customers c {} JOIN orders o ON o.customer_id = c.customer_id{}"
SEQUENTIAL = "enable_indexscan=off enable_indexonlyscan=off enable_bitmapscan=off"
NO_HASH, NO_MERGE, NO_LOOP = "enable_hashjoin=off ", "enable_mergejoin=off ", "enable_nestloop=off "
HASH, MERGE, LOOP = NO_MERGE + NO_LOOP, NO_HASH + NO_LOOP, NO_HASH + NO_MERGE
MATCHED = "SELECT * FROM customers c WHERE {} EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id AND o.total > c.city + 60)"

CASES = [
    Case("result", "SELECT 1 + 1"),
    Case("result-one-time-filter", "SELECT * FROM orders WHERE random() < -1 AND now() < '2000-01-01'"),
    Case("project-set", "SELECT generate_series(1, 5), city FROM customers WHERE customer_id < 4"),
    Case("seq-scan", "SELECT * FROM orders WHERE total = 5", "enable_bitmapscan=off enable_indexscan=off"),
    Case("sample-scan", "SELECT count(*) FROM orders TABLESAMPLE BERNOULLI (10) REPEATABLE (7)"),
    Case("index-scan", "SELECT * FROM orders o WHERE order_id = 4711"),
    Case("index-scan-backward", "SELECT * FROM orders ORDER BY order_id DESC LIMIT 3"),
    Case("index-scan-filter", "SELECT * FROM orders WHERE order_id < 300 AND total > 90", "enable_bitmapscan=off"),
    Case("index-only-scan", "SELECT count(*) FROM orders WHERE order_id BETWEEN 10 AND 900"),
    Case("index-only-scan-backward", "SELECT order_id FROM orders WHERE order_id < 50 ORDER BY order_id DESC"),
    Case("index-searches", "SELECT order_id FROM orders WHERE order_id IN (1, 3000, 6000, 9000)"),
    Case("bitmap-heap-scan", "SELECT * FROM orders WHERE customer_id = 8"),
    Case("bitmap-lossy", "SELECT sum(total) FROM orders WHERE total < 30 AND status = 'paid'", "work_mem=64kB enable_seqscan=off"),
    Case("bitmap-and", "SELECT * FROM orders WHERE customer_id < 60 AND total = 5", "enable_seqscan=off enable_indexscan=off"),
    Case("bitmap-or", "SELECT * FROM orders WHERE customer_id = 8 OR total = 5"),
    Case("tid-scan", "SELECT * FROM orders WHERE ctid = '(0,3)'"),
    Case("tid-range-scan", "SELECT * FROM orders WHERE ctid < '(2,0)'", "enable_seqscan=off"),
    Case("subquery-scan", "SELECT * FROM (SELECT customer_id, rank() OVER (ORDER BY city) r FROM customers) s WHERE r > 950 OFFSET 3"),
    Case("function-scan", "SELECT * FROM generate_series(1, 30) AS g (i) WHERE i % 3 = 0"),
    Case("function-scan-rows-from", "SELECT * FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3)) WITH ORDINALITY AS z"),
    Case("table-function-scan", "SELECT * FROM JSON_TABLE('[{\"a\": 1}, {\"a\": 2}]', '$[*]' COLUMNS (a int PATH '$.a')) j", since=17),
    Case("table-function-scan", "SELECT * FROM XMLTABLE('/r/x' PASSING '<r><x>1</x></r>' COLUMNS a int PATH '.') j", until=15),
    Case("values-scan", "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v (n, t) WHERE n > 1"),
    Case("cte-scan", "WITH c AS MATERIALIZED (SELECT city, count(*) n FROM customers GROUP BY city) SELECT * FROM c WHERE n > (SELECT avg(n) FROM c)"),
    Case("recursive-union", "WITH RECURSIVE up AS (SELECT customer_id, referred_by FROM customers WHERE customer_id = 900 UNION ALL SELECT c.customer_id, c.referred_by FROM customers c JOIN up ON c.customer_id = up.referred_by) SELECT * FROM up"),
    Case("named-tuplestore-scan", "", setup=TRANSITION),
    Case("nested-loop", "SELECT * FROM orders o JOIN lines l USING (order_id) WHERE o.customer_id = 8", LOOP),
    Case("nested-loop-many-loops", "SELECT count(l.quantity) FROM orders o JOIN lines l USING (order_id) WHERE o.order_id <= 400 AND l.line > 1", LOOP + "enable_memoize=off enable_material=off"),
    Case("nested-loop-left", JOINED.format("LEFT", " AND o.total = 5 WHERE c.city = 3"), LOOP),
    Case("nested-loop-semi", MATCHED.format("c.city = 3 AND"), LOOP),
    Case("nested-loop-anti", MATCHED.format("c.city = 3 AND NOT"), LOOP),
    Case("never-executed", "SELECT * FROM orders o JOIN lines l USING (order_id) JOIN products p USING (product_id) WHERE o.order_id = -5", LOOP),
    Case("materialize", "SELECT count(*) FROM customers c JOIN products p ON p.price > c.city WHERE c.city < 3"),
    Case("memoize", "SELECT count(p.name) FROM lines l JOIN products p USING (product_id) WHERE l.order_id < 900", LOOP + "enable_material=off enable_seqscan=off"),
    *(Case(f"merge-{way.lower() or 'inner'}-join", JOINED.format(way, " AND o.total < 5" if way == "LEFT" else ""), MERGE) for way in ("", "LEFT", "FULL")),
    Case("merge-right-join", JOINED.format("LEFT", " WHERE c.city = 2"), MERGE),
    Case("merge-semi-join", MATCHED.format(""), MERGE),
    Case("merge-anti-join", MATCHED.format("NOT"), MERGE),
    *(Case(f"hash-{way.lower() or 'inner'}-join", JOINED.format(way, ""), HASH) for way in ("", "FULL")),
    Case("hash-left-join", "SELECT * FROM orders o LEFT JOIN customers c ON c.customer_id = o.customer_id AND c.city = 1", HASH),
    Case("hash-right-join", JOINED.format("LEFT", " WHERE c.city = 2"), HASH),
    Case("hash-semi-join", "SELECT * FROM lines l WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = l.product_id AND o.total > l.quantity AND o.order_id < 500)", HASH),
    Case("hash-anti-join", "SELECT * FROM orders o WHERE NOT EXISTS (SELECT 1 FROM customers c WHERE c.customer_id = o.customer_id AND c.city < 9)", HASH),
    Case("hash-right-semi-join", "SELECT * FROM products p WHERE EXISTS (SELECT 1 FROM lines l WHERE l.product_id = p.product_id AND l.quantity < p.price)", HASH, since=18),
    Case("hash-right-anti-join", "SELECT * FROM products p WHERE NOT EXISTS (SELECT 1 FROM lines l WHERE l.product_id = p.product_id AND l.quantity < p.price)", HASH, since=16),
    Case("hash-batches", "SELECT count(*) FROM lines a JOIN lines b ON a.order_id = b.product_id", HASH + "work_mem=64kB"),
    Case("append", "SELECT customer_id FROM customers WHERE city = 3 UNION ALL SELECT product_id FROM products WHERE price = 3"),
    Case("append-partitions", "SELECT count(*) FROM parted WHERE id < 500", "enable_seqscan=on"),
    Case("append-pruned", "SELECT * FROM parted WHERE day = (SELECT 15) AND id < 100"),
    Case("merge-append", "SELECT * FROM (SELECT customer_id AS i FROM customers UNION ALL SELECT order_id FROM orders) s ORDER BY i LIMIT 9"),
    Case("sort", "SELECT * FROM customers WHERE city < 4 ORDER BY name"),
    Case("sort-external", "SELECT * FROM orders ORDER BY status, total, order_id", "work_mem=64kB"),
    Case("sort-top-n", "SELECT * FROM lines ORDER BY quantity, product_id LIMIT 4"),
    Case("incremental-sort", "SELECT * FROM orders ORDER BY customer_id, total LIMIT 200", "enable_seqscan=off"),
    Case("group", "SELECT city FROM customers GROUP BY city", "enable_hashagg=off"),
    Case("aggregate-plain", "SELECT count(*), sum(total) FILTER (WHERE status = 'new') FROM orders"),
    Case("aggregate-sorted", "SELECT city, count(*) FROM customers GROUP BY city HAVING count(*) > 1", "enable_hashagg=off"),
    Case("aggregate-hashed", "SELECT status, count(*) FROM orders GROUP BY status"),
    Case("aggregate-hashed-spilled", "SELECT order_id, count(*) FROM lines GROUP BY order_id", "work_mem=64kB enable_sort=off enable_indexscan=off enable_indexonlyscan=off"),
    Case("aggregate-mixed", "SELECT city, referred_by, count(*) FROM customers WHERE city < 3 GROUP BY GROUPING SETS ((city), (referred_by), ())"),
    Case("aggregate-grouping-sets", "SELECT city, name, count(*) FROM customers WHERE customer_id < 9 GROUP BY ROLLUP (city, name)", "enable_hashagg=off"),
    Case("window-agg", "SELECT customer_id, sum(total) OVER w, row_number() OVER (PARTITION BY status ORDER BY placed) FROM orders WHERE customer_id < 9 WINDOW w AS (PARTITION BY customer_id ORDER BY placed)"),
    Case("window-run-condition", "SELECT * FROM (SELECT name, row_number() OVER (ORDER BY customer_id) r FROM customers) s WHERE r < 5"),
    Case("unique", "SELECT DISTINCT city FROM customers", "enable_hashagg=off"),
    Case("setop-sorted", "SELECT customer_id FROM customers EXCEPT ALL SELECT product_id FROM products", "enable_hashagg=off"),
    Case("setop-hashed", "SELECT city FROM customers INTERSECT SELECT price FROM products", "enable_sort=off"),
    Case("lock-rows", "SELECT * FROM orders WHERE order_id < 5 FOR UPDATE"),
    Case("limit", "SELECT * FROM lines LIMIT 7 OFFSET 2"),
    Case("init-plan", "SELECT * FROM orders WHERE total > (SELECT avg(price) * 3.8 FROM products) AND customer_id = 8"),
    Case("init-plan-two-readers", "SELECT (SELECT max(price) FROM products), (SELECT min(price) FROM products) FROM orders WHERE total > (SELECT max(city) * 5 FROM customers) LIMIT 1"),
    Case("sub-plan", "SELECT name, (SELECT max(total) FROM orders o WHERE o.customer_id = c.customer_id) FROM customers c WHERE city = 4"),
    Case("sub-plan-hashed", "SELECT count(*) FROM orders WHERE total = 1 OR customer_id NOT IN (SELECT customer_id FROM customers WHERE city = 3)"),
    Case("sub-plan-alternatives", "SELECT count(*) FROM customers c WHERE city = 1 OR EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id AND total = 9)"),
    Case("insert", "INSERT INTO w SELECT i, i FROM generate_series(200, 260) i", setup=WRITTEN),
    Case("insert-on-conflict", "INSERT INTO w VALUES (1, 1), (500, 2) ON CONFLICT (id) DO UPDATE SET n = w.n + 1 WHERE w.n > 40", setup=WRITTEN),
    Case("insert-returning-cte", "WITH new AS (INSERT INTO w VALUES (900, 1), (901, 2) RETURNING id) SELECT count(*) FROM new", setup=WRITTEN),
    Case("update", "UPDATE w SET n = n + 1 WHERE id < 40 RETURNING id", setup=WRITTEN),
    Case("update-partitions", "UPDATE parted SET id = -id WHERE id < 9"),
    Case("delete", "DELETE FROM w WHERE id = 7", setup=WRITTEN),
    Case("merge", "MERGE INTO w USING (VALUES (3, 30), (700, 70)) v (id, n) ON w.id = v.id WHEN MATCHED THEN UPDATE SET n = v.n WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.n)", setup=WRITTEN),
    Case("trigger", "UPDATE w SET n = 5 WHERE id < 9", setup=TRIGGER),
    Case("gather", "SELECT * FROM lines WHERE quantity * 2 = product_id", PARALLEL),
    Case("gather-merge", "SELECT * FROM orders WHERE total < 9 ORDER BY placed", PARALLEL + "enable_bitmapscan=off"),
    Case("aggregate-partial", "SELECT count(*) FROM lines", PARALLEL),
    Case("aggregate-partial-grouped", "SELECT status, sum(total) FROM orders GROUP BY status", PARALLEL),
    Case("parallel-hash-join", "SELECT count(*) FROM orders JOIN lines USING (order_id)", PARALLEL + HASH),
    Case("parallel-append", "SELECT count(*) FROM parted", PARALLEL),
    Case("parallel-index-scan", "SELECT count(total) FROM orders WHERE order_id > 100", PARALLEL + "enable_seqscan=off enable_bitmapscan=off"),
    Case("parallel-index-only-scan", "SELECT count(*) FROM orders WHERE order_id > 100", PARALLEL + "enable_seqscan=off enable_bitmapscan=off"),
    Case("parallel-bitmap", "SELECT count(status) FROM orders WHERE total < 40", PARALLEL + "enable_seqscan=off enable_indexscan=off"),
    Case("parallel-verbose", "SELECT count(*) FROM lines WHERE quantity = 2", PARALLEL, options=EVERY + ", VERBOSE"),
    Case("parallel-inner-loops", "SELECT count(l.quantity) FROM orders o JOIN lines l USING (order_id) WHERE o.total = 5", PARALLEL + LOOP + "enable_bitmapscan=off"),
    Case("temporary-table", "SELECT count(*) FROM near WHERE n % 2 = 0", setup="CREATE TEMP TABLE near AS SELECT generate_series(1, 900) n"),
    Case("odd-names", 'SELECT * FROM "odd one"."Sales ""B & C"" on <x>" "an <alias>" WHERE "the id" < 9 AND note <> \'-> (cost=1) <&"\' ORDER BY note', setup=ODD, options=EVERY + ", VERBOSE"),
    Case("disabled", "SELECT * FROM products", "enable_seqscan=off"),
    Case("cte-twice", "WITH c AS MATERIALIZED (SELECT * FROM customers WHERE city < 9) SELECT count(*) FROM c a JOIN c b ON a.referred_by = b.customer_id"),
    Case("init-plan-parallel", "SELECT count(*) FROM lines WHERE quantity > (SELECT min(price) FROM products)", PARALLEL),
    Case("cte-not-read", "WITH gone AS (DELETE FROM w WHERE id < 9) SELECT count(*) FROM products", setup=WRITTEN),
    Case("line-break", "SELECT * FROM customers WHERE name <> E'one\n  ->  Seq Scan on two\nthree' AND city = 3 ORDER BY name"),
    Case("init-plan-in-sub-plan", "SELECT city, (SELECT count(*) FROM orders o WHERE o.customer_id = c.customer_id AND o.total > (SELECT avg(price) FROM products)) FROM customers c WHERE city = 6"),
    Case("cascade", "DELETE FROM w WHERE id BETWEEN 5 AND 9", setup=WRITTEN),
    Case("limit-over-gather", "SELECT * FROM lines WHERE quantity = 1 LIMIT 4", PARALLEL),
    Case("array-sub-plan", "SELECT c.name, ARRAY(SELECT order_id FROM orders o WHERE o.customer_id = c.customer_id AND total > 5) FROM customers c WHERE customer_id < 20"),
    Case("any-sub-plan", "SELECT count(*) FROM customers c WHERE city = ANY (SELECT total FROM orders o WHERE o.customer_id = c.customer_id OFFSET 0)"),
    Case("self-join", "SELECT a.name, b.name FROM customers a JOIN customers b ON b.customer_id = a.referred_by WHERE a.city = 5 AND b.city < 9"),
    Case("no-analyze", "SELECT city, count(*) FROM customers GROUP BY city ORDER BY 2 DESC LIMIT 3", options="SETTINGS"),
    Case("no-costs", "SELECT * FROM customers c JOIN orders o USING (customer_id) ORDER BY name", options="COSTS OFF"),
    Case("no-timing", "SELECT count(*) FROM customers WHERE city = 1", options="ANALYZE, TIMING OFF, SUMMARY OFF, COSTS OFF"),
    Case("serialize-memory", "SELECT * FROM products WHERE price = 4", options=EVERY + ", SERIALIZE TEXT, MEMORY", since=17),
    Case("generic-plan", "SELECT * FROM orders WHERE customer_id = $1", options="GENERIC_PLAN", since=16),
    Case("stopped-group", "SELECT customer_id, count(*) FROM orders GROUP BY customer_id ORDER BY customer_id LIMIT 3", "enable_hashagg=off enable_sort=off enable_seqscan=off"),
    Case("stopped-exists", "SELECT count(*) FROM products WHERE EXISTS (SELECT 1 FROM orders WHERE total = 5)", SEQUENTIAL),
    Case("stopped-sub-plan", "SELECT EXISTS (SELECT 1 FROM orders o WHERE o.total < p.price + 9) FROM products p", SEQUENTIAL),
    Case("stopped-semi-join", "SELECT * FROM products p WHERE EXISTS (SELECT 1 FROM orders o WHERE o.total < p.price + 9)", LOOP),
    Case("stopped-merge-join", "SELECT * FROM products p JOIN orders o ON o.order_id = p.product_id", MERGE),
    Case("stopped-merge-join-again", "SELECT count(*) FROM customers a JOIN customers b ON a.city = b.city", MERGE + "enable_material=off"),
    Case("stopped-hash-join", "SELECT * FROM orders o JOIN products p ON p.product_id = o.total WHERE p.price = -1", HASH),
    Case("stopped-setop", "SELECT product_id FROM products EXCEPT ALL SELECT order_id FROM orders", "enable_hashagg=off enable_seqscan=off"),
    Case("stopped-cte", "WITH c AS MATERIALIZED (SELECT * FROM orders) SELECT * FROM c LIMIT 3"),
    Case("stopped-limit-computed", "SELECT * FROM orders LIMIT (SELECT 3)"),
    Case("unstopped-limit", "SELECT * FROM tickets WHERE status = 'open' AND country = 'at' ORDER BY id LIMIT 10", "enable_sort=off", setup=TICKETS.format(0)),
    Case("unstopped-build", "SELECT * FROM orders o JOIN tickets t ON t.id = o.order_id AND t.status = 'open' AND t.country = 'at' LIMIT 2", HASH, setup=TICKETS.format(20)),
    Case("foreign-scan", "SELECT * FROM far WHERE city = 4", setup=FOREIGN, contrib=True),
    Case("foreign-join", "SELECT * FROM far JOIN far_orders USING (customer_id) WHERE far.city = 3", setup=FOREIGN, contrib=True),
    Case("foreign-update", "UPDATE far SET city = 5 WHERE customer_id = 4", setup=FOREIGN, contrib=True),
    Case("foreign-file", "SELECT * FROM people WHERE uid <> '1'", setup=FILE, contrib=True),
    Case("async-foreign", "SELECT * FROM spread WHERE day > 3", setup=FOREIGN.replace("postgres_fdw OPTIONS (", "postgres_fdw OPTIONS (async_capable 'true', ") + "CREATE TABLE spread (id int, day int) PARTITION BY LIST (id); CREATE FOREIGN TABLE spread_1 PARTITION OF spread FOR VALUES IN (1) SERVER back OPTIONS (table_name 'parted_1'); CREATE FOREIGN TABLE spread_2 PARTITION OF spread FOR VALUES IN (2) SERVER back OPTIONS (table_name 'parted_2');", contrib=True),
    Case("jit", "SELECT sum(total) FROM orders WHERE status <> 'new'", "jit=on jit_above_cost=0", contrib=True),
]  # fmt: skip
