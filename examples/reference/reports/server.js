// SPDX-License-Identifier: Apache-2.0
// Sales reports: batch work in threads, when operators ask for it. It has no
// limits, as batch jobs tend to be deployed.
'use strict';

const { open, unlink } = require('node:fs/promises');
const { setTimeout: sleep } = require('node:timers/promises');
const { Worker, isMainThread } = require('node:worker_threads');
const log = require('../lib/log');

// aggregate sums up sales for ever; a thread is ended from outside.
function aggregate() {
  for (let total = 0; ; ) for (let n = 1; n < 1e6; n++) total += Math.sqrt(n) / (1 + (total % 7));
}

const threads = [];
function resize(count) {
  while (threads.length < count) threads.push(new Worker(__filename));
  while (threads.length > count) threads.pop().terminate();
}

// exportAll writes a file of that many bytes a second, and flushes it.
async function exportAll(settings, metrics) {
  const written = metrics.counter('report_written_bytes_total', 'Bytes of reports that are on disk.');
  const flush = metrics.histogram('report_flush_seconds', 'What it took to write and flush a piece.');
  const piece = Buffer.alloc(32 << 20, 'report');
  const SIZE = 16 * piece.length;
  for (let file, at = 0; ; ) {
    const rate = settings.get('reports.write_bytes_s');
    if (rate === 0) {
      if (file) await file.close().then(() => unlink('/spool/sales.csv'));
      file = undefined;
      await sleep(500);
      continue;
    }
    file ??= await open('/spool/sales.csv', 'w');
    const done = flush.startTimer();
    await file.write(piece, 0, piece.length, at);
    await file.datasync();
    const took = done();
    written.inc(piece.length);
    at = (at + piece.length) % SIZE;
    await sleep(Math.max(0, (piece.length / rate - took) * 1000));
  }
}

async function main() {
  const metrics = require('../lib/metrics');
  const redis = require('../lib/redis');
  const settings = require('../lib/settings');
  await settings.start();
  resize(settings.get('reports.threads'));
  settings.on('reports.threads', resize);
  const server = metrics.serve(Number(process.env.METRICS_PORT));
  require('../lib/shutdown')(() => resize(0), () => (server.close(), redis.disconnect()));
  log.info('started');
  await exportAll(settings, metrics);
}

if (isMainThread) main();
else aggregate();
