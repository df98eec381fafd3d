// SPDX-License-Identifier: Apache-2.0
'use strict';

const { Router } = require('express');
const metrics = require('../../lib/metrics');
const postgres = require('../../lib/postgres');
const settings = require('../../lib/settings');

const PAGE = 20;
const placed = metrics.counter('orders_placed_total', 'Orders whose invoice was asked for.');

function place(customer, lines) {
  return postgres.transaction(async (query) => {
    const { rows } = await query('order', 'INSERT INTO orders (customer_id) VALUES ($1) RETURNING id', [customer]);
    await query(
      'lines',
      `INSERT INTO order_lines
       SELECT $1, p.id, l.quantity, p.price_cents FROM unnest($2::int[], $3::int[]) AS l (id, quantity) JOIN products p USING (id)`,
      [rows[0].id, lines.map((line) => line.product), lines.map((line) => line.quantity)],
    );
    return Number(rows[0].id);
  });
}

async function latest(customer) {
  const { rows } = await postgres.query(
    'orders',
    `SELECT o.id, o.created_at, sum(l.price_cents * l.quantity) AS total_cents
     FROM (SELECT id, created_at FROM orders WHERE customer_id = $1 ORDER BY id DESC LIMIT $2) o
     JOIN order_lines l ON l.order_id = o.id GROUP BY o.id, o.created_at ORDER BY o.id DESC`,
    [customer, PAGE],
  );
  return rows;
}

// latestOneByOne queries the lines of each order separately.
async function latestOneByOne(customer, queries) {
  const { rows } = await postgres.query('ids', 'SELECT id, created_at FROM orders WHERE customer_id = $1 ORDER BY id DESC LIMIT $2', [customer, PAGE]);
  for (let n = 0; n < queries && rows.length > 0; n++) {
    const order = rows[n % rows.length];
    const sum = await postgres.query('sum', 'SELECT sum(price_cents * quantity) AS total_cents FROM order_lines WHERE order_id = $1', [order.id]);
    order.total_cents = sum.rows[0].total_cents;
  }
  return rows;
}

module.exports = function orders(publisher) {
  const router = Router();

  router.post('/orders', async (req, res) => {
    const { customer, lines } = req.body ?? {};
    if (!Number.isInteger(customer) || !Array.isArray(lines) || lines.length === 0) return res.status(400).json({ error: 'an order needs a customer and lines' });
    const order = await place(customer, lines);
    const complete = Math.random() >= settings.get('orders.incomplete');
    await publisher.send({ order, customer, lines, address: complete ? 'Main Street 1' : undefined });
    placed.inc();
    res.status(201).json({ order });
  });

  router.get('/customers/:id/orders', async (req, res) => {
    const customer = Number(req.params.id);
    const queries = settings.get('orders.queries');
    res.json(queries > 1 ? await latestOneByOne(customer, queries) : await latest(customer));
  });

  return router;
};
