SELECT i AS product_id, mix(i, {seed} + 7) % 500 AS on_hand FROM range(1, {products} + 1) r(i)
