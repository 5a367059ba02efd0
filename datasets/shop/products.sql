-- Forty categories, of which the first holds a fifth of the products.
SELECT i AS product_id,
       'SKU-' || lpad(CAST(i AS VARCHAR), 6, '0') AS sku,
       ['Lamp', 'Chair', 'Mug', 'Rug', 'Shelf', 'Clock', 'Bowl', 'Desk'][1 + mix(i, {seed} + 3) % 8] || ' ' || i AS name,
       'category-' || lpad(CAST(CASE WHEN mix(i, {seed} + 4) % 5 = 0 THEN 1 ELSE 2 + mix(i, {seed} + 5) % 39 END AS VARCHAR), 2, '0') AS category,
       200 + mix(i, {seed} + 6) % 50000 AS price_cents,
       TIMESTAMPTZ '2023-01-01 00:00:00+00' + to_seconds(i * 3600) AS created_at
FROM range(1, {products} + 1) r(i)
