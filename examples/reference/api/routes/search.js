// SPDX-License-Identifier: Apache-2.0
'use strict';

const { Router } = require('express');
const postgres = require('../../lib/postgres');
const settings = require('../../lib/settings');

const router = Router();

// Both accept words and spaces. The nested quantifier tries every way to split the
// words before it fails: each additional character doubles their number.
const matchers = { linear: /^[\w\s]*$/, nested: /^(\w+\s?)*$/ };

function clean(text) {
  const max = settings.get('search.max_length');
  const query = text.length > max ? `${text.slice(0, max)}…` : text;
  return matchers[settings.get('search.matcher')].test(query) ? query : query.replace(/[^\w\s]/g, '');
}

router.get('/search', async (req, res) => {
  const text = clean(String(req.query.q ?? ''));
  const { rows } = await postgres.query('search', 'SELECT id, name, price_cents FROM products WHERE name ILIKE $1 ORDER BY id LIMIT 10', [`%${text}%`]);
  res.json({ query: text, products: rows });
});

module.exports = router;
