-- The shop of the case flash_sale. Plain types, so that PostgreSQL, SQLite and DuckDB take the same text.
-- Nothing is indexed but the keys.
CREATE TABLE customers (
    customer_id bigint PRIMARY KEY,
    email       text NOT NULL,
    country     text NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE TABLE products (
    product_id  bigint PRIMARY KEY,
    sku         text NOT NULL,
    name        text NOT NULL,
    category    text NOT NULL,
    price_cents integer NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE TABLE stock (
    product_id bigint PRIMARY KEY REFERENCES products (product_id),
    on_hand    integer NOT NULL
);
CREATE TABLE orders (
    order_id    bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (customer_id),
    status      text NOT NULL,
    placed_at   timestamptz NOT NULL
);
CREATE TABLE order_lines (
    order_id         bigint NOT NULL REFERENCES orders (order_id),
    line_no          integer NOT NULL,
    product_id       bigint NOT NULL REFERENCES products (product_id),
    quantity         integer NOT NULL,
    unit_price_cents integer NOT NULL,
    PRIMARY KEY (order_id, line_no)
);
