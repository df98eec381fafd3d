// SPDX-License-Identifier: Apache-2.0
'use strict';

const { Router } = require('express');
const postgres = require('../../lib/postgres');
const cached = require('../cache');

const router = Router();

router.get('/popular', async (req, res) => {
  const products = await cached('popular', async () => {
    const { rows } = await postgres.query(
      'popular',
      `SELECT p.id, p.name, sum(l.quantity) AS sold FROM order_lines l JOIN products p ON p.id = l.product_id
       GROUP BY p.id ORDER BY sold DESC, p.id LIMIT 10`,
    );
    return rows;
  });
  res.json({ products });
});

module.exports = router;
