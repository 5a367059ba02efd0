-- One customer for ten orders. mix() is made of integer arithmetic alone, so that every version makes the same rows.
SELECT i AS customer_id,
       CASE mix(i, {seed} + 1) % 3 WHEN 0 THEN 'Anna' WHEN 1 THEN 'Ben' ELSE 'Chloe' END || i || '@example.com' AS email,
       ['DE', 'DE', 'DE', 'CH', 'AT', 'FR', 'NL', 'SE'][1 + mix(i, {seed} + 2) % 8] AS country,
       TIMESTAMPTZ '2023-01-01 00:00:00+00' + to_seconds(i * 600) AS created_at
FROM range(1, {customers} + 1) r(i)
