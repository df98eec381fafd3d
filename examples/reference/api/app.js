// SPDX-License-Identifier: Apache-2.0
'use strict';

const express = require('express');
const log = require('../lib/log');
const metrics = require('../lib/metrics');
const postgres = require('../lib/postgres');
const redis = require('../lib/redis');
const settings = require('../lib/settings');
const { priceTable } = require('../lib/work');
const sessions = require('./sessions');

const SLOW_S = 1;

const duration = metrics.histogram('http_request_duration_seconds', 'From the request line to the last byte.', ['route', 'status']);
const inFlight = metrics.gauge('http_requests_in_flight', 'Requests that are being answered.');

// observe counts each request under the pattern of its route, not its path.
function observe(req, res, next) {
  const began = process.hrtime.bigint();
  inFlight.inc();
  res.once('close', () => {
    inFlight.dec();
    const took = Number(process.hrtime.bigint() - began) / 1e9;
    const route = `${req.method} ${req.route?.path ?? 'none'}`;
    const status = res.writableFinished ? String(res.statusCode) : 'aborted';
    duration.observe({ route, status }, took);
    if (took > SLOW_S || res.statusCode >= 500) log.info('request', { route, status, seconds: took });
  });
  next();
}

// render fills in the template of the page. With page.piece_ms it works in pieces, so
// that other requests are served in between.
async function render(req, res, next) {
  const piece = settings.get('page.piece_ms') || Infinity;
  for (let left = settings.get('page.render_ms'); left > 0; left -= piece) {
    priceTable(Math.min(left, piece));
    if (left > piece) await new Promise(setImmediate);
  }
  next();
}

async function ready(req, res) {
  await Promise.all([redis.ping(), postgres.query('ready', 'SELECT 1')]);
  res.json({ ready: true });
}

function failed(error, req, res, next) {
  const status = error.status ?? 500;
  if (status >= 500) log.error('request failed', error, { path: req.path });
  if (res.headersSent) return next(error);
  res.status(status).json({ error: status < 500 ? error.message : 'something went wrong' });
}

module.exports = function makeApp(publisher) {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(observe);
  app.get('/healthz', (req, res) => res.json({ ok: true }));
  app.get('/readyz', ready);
  app.use(express.json({ limit: '16kb' }), sessions.remember, render);
  app.use(require('./routes/products'));
  app.use(require('./routes/popular'));
  app.use(require('./routes/search'));
  app.use(require('./routes/catalog'));
  app.use(require('./routes/quotes'));
  app.use(require('./routes/login'));
  app.use(require('./routes/media'));
  app.use(require('./routes/labels'));
  app.use(require('./routes/orders')(publisher));
  app.use(failed);
  return app;
};
