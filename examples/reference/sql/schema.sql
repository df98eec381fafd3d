-- SPDX-License-Identifier: Apache-2.0
CREATE TABLE products (
    id          integer PRIMARY KEY,
    name        text NOT NULL,
    category    text NOT NULL,
    description text NOT NULL,
    price_cents integer NOT NULL CHECK (price_cents > 0),
    stock       integer NOT NULL
);
CREATE INDEX products_category ON products (category);

CREATE TABLE customers (
    id       integer PRIMARY KEY,
    email    text NOT NULL UNIQUE,
    salt     text NOT NULL,
    password text -- set at the first login
);

CREATE TABLE orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_customer ON orders (customer_id, id DESC);

CREATE TABLE order_lines (
    order_id    bigint NOT NULL REFERENCES orders,
    product_id  integer NOT NULL REFERENCES products,
    quantity    integer NOT NULL,
    price_cents integer NOT NULL,
    PRIMARY KEY (order_id, product_id)
);

CREATE TABLE invoices (
    order_id    bigint PRIMARY KEY REFERENCES orders,
    document    bytea NOT NULL,
    rendered_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO products
SELECT n, 'Product ' || n, (ARRAY['books', 'garden', 'kitchen', 'music', 'toys'])[1 + n % 5],
       repeat('A thing that everybody needs. ', 1 + n % 7), 100 + (n * 7919) % 20000, 100000
FROM generate_series(1, 2000) n;

INSERT INTO customers
SELECT n, 'customer' || n || '@example.com', md5('salt' || n) FROM generate_series(1, 500) n;

INSERT INTO orders (customer_id) SELECT 1 + n % 500 FROM generate_series(1, 10000) n;

INSERT INTO order_lines
SELECT o.id, 1 + (o.id * 31 + line * 977) % 2000, line, 1999
FROM orders o, generate_series(1, 3) line;

ANALYZE;
