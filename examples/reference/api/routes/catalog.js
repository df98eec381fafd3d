// SPDX-License-Identifier: Apache-2.0
// The price list that resellers import, and the terms and conditions.
'use strict';

const { readFileSync, writeFileSync } = require('node:fs');
const { Router } = require('express');
const settings = require('../../lib/settings');

const router = Router();

function priceList(bytes) {
  const line = { sku: 'SKU-000000', name: 'A thing that everybody needs', price_cents: 1999, stock: 7 };
  const count = Math.max(1, Math.round(bytes / JSON.stringify(line).length));
  return JSON.stringify(Array.from({ length: count }, (_, n) => ({ ...line, sku: `SKU-${n}` })));
}

let snapshot = '[]';
const refresh = (bytes) => (snapshot = priceList(bytes));
settings.on('catalog.bytes', refresh);
refresh(settings.get('catalog.bytes'));

router.get('/catalog', (req, res) => {
  const lines = JSON.parse(snapshot);
  const from = Number(req.query.from ?? 0) % lines.length;
  res.json({ total: lines.length, lines: lines.slice(from, from + 50) });
});

// The terms are a file of this process, as a deploy would leave it.
const file = `/tmp/terms-${process.pid}.txt`;
const PREVIEW = 20_000;
let terms;
function publish(bytes) {
  const text = Buffer.alloc(bytes, 'You get what you ordered. ');
  writeFileSync(file, text);
  terms = Buffer.from(text.subarray(0, PREVIEW));
}
settings.on('terms.bytes', publish);
publish(settings.get('terms.bytes'));

router.get('/terms', (req, res) => {
  const text = settings.get('terms.read') === 'each' ? readFileSync(file) : terms;
  res.type('text/plain').send(text.subarray(0, PREVIEW));
});

module.exports = router;
