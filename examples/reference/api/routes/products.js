// SPDX-License-Identifier: Apache-2.0
'use strict';

const { EventEmitter } = require('node:events');
const { Router } = require('express');
const postgres = require('../../lib/postgres');
const settings = require('../../lib/settings');
const cached = require('../cache');
const similarTo = require('../similar');

const PAGE = 20;
const router = Router();

router.get('/products', async (req, res) => {
  const page = Math.max(0, Math.trunc(Number(req.query.page ?? 0)) || 0);
  const products = await cached(`page:${page}`, async () => {
    const { rows } = await postgres.query('page', 'SELECT id, name, category, price_cents FROM products ORDER BY id LIMIT $1 OFFSET $2', [PAGE, page * PAGE]);
    return rows;
  });
  res.json({ page, products, offers: copies(products, settings.get('page.copies_bytes')) });
});

// copies clones the page for each offer, so that offers do not share objects.
function copies(products, bytes) {
  const size = 100 * Math.max(1, products.length); // about, of one clone on the heap
  const offers = [];
  for (let done = 0; done < bytes; done += size) offers.push(products.map((product) => ({ ...product })));
  return offers.length;
}

// Prices can change during a request: a response follows the stock until it is sent.
const stock = new EventEmitter().setMaxListeners(0);
setInterval(() => stock.emit('changed'), 1000).unref();

function followStock(res) {
  const seen = Buffer.alloc(settings.get('stock.bytes'), 1);
  const listener = () => seen.length > 0 && (seen[0] = 0);
  stock.on('changed', listener);
  if (settings.get('stock.follow') === 'response') res.once('close', () => stock.off('changed', listener));
}

router.get('/products/:id', async (req, res) => {
  followStock(res);
  const product = await cached(`product:${req.params.id}`, async () => {
    const { rows } = await postgres.query('product', 'SELECT * FROM products WHERE id = $1', [Number(req.params.id)]);
    return rows[0] ?? null;
  });
  if (!product) return res.status(404).json({ error: 'no such product' });
  res.json({ ...product, similar: similarTo(product.id) });
});

module.exports = router;
