// SPDX-License-Identifier: Apache-2.0
// Sales reports: batch work in threads, on demand. It has no limits, as is common for
// batch jobs.
'use strict';

const { open, unlink } = require('node:fs/promises');
const { setTimeout: sleep } = require('node:timers/promises');
const { Worker, isMainThread } = require('node:worker_threads');
const log = require('../lib/log');

// aggregate sums up sales in an endless loop; the thread is terminated from outside.
function aggregate() {
  for (let total = 0; ; ) for (let n = 1; n < 1e6; n++) total += Math.sqrt(n) / (1 + (total % 7));
}

const threads = [];
function resize(count) {
  while (threads.length < count) threads.push(new Worker(__filename));
  while (threads.length > count) threads.pop().terminate();
}

const WRITERS = 8;
const piece = Buffer.alloc(16 << 20, 'report');
const SIZE = 8 * piece.length; // of a file, which is overwritten repeatedly

// exportSales is one of the writers: it writes its share of the bytes per second to its
// own file, and flushes it.
async function exportSales(writer, settings, { written, flush }) {
  const path = `/spool/sales-${writer}.csv`;
  for (let file, at = 0; ; ) {
    const writers = Math.min(WRITERS, settings.get('reports.writers'));
    const rate = writer < writers ? settings.get('reports.write_bytes_s') / writers : 0;
    if (rate === 0) {
      if (file) await file.close().then(() => unlink(path));
      file = undefined;
      await sleep(500);
      continue;
    }
    file ??= await open(path, 'w');
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
  const counts = {
    written: metrics.counter('report_written_bytes_total', 'Bytes of reports that are on disk.'),
    flush: metrics.histogram('report_flush_seconds', 'What it took to write and flush a piece.'),
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => exportSales(writer, settings, counts)));
}

if (isMainThread) main();
else aggregate();
