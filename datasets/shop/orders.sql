-- Orders arrive in the order of their ids, one every three and a half minutes. A few customers order far more often than
-- the others. What is placed or paid is recent; older orders were shipped, or cancelled (one in twelve).
SELECT i AS order_id,
       1 + skewed(mix(i, {seed} + 8), {customers}) AS customer_id,
       CASE WHEN i > {orders} - {orders} // 250 THEN 'placed'
            WHEN i > {orders} - {orders} // 100 THEN 'paid'
            WHEN mix(i, {seed} + 9) % 12 = 0 THEN 'cancelled'
            ELSE 'shipped' END AS status,
       TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_seconds(i * 210) AS placed_at
FROM range(1, {orders} + 1) r(i)
