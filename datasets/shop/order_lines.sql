-- Two lines an order; a few products are in a large share of them.
SELECT i AS order_id,
       l AS line_no,
       1 + skewed(mix(2 * i + l, {seed} + 10), {products}) AS product_id,
       1 + mix(2 * i + l, {seed} + 11) % 3 AS quantity,
       200 + mix(2 * i + l, {seed} + 12) % 50000 AS unit_price_cents
FROM range(1, {orders} + 1) r(i), range(1, 3) s(l)
ORDER BY i, l
