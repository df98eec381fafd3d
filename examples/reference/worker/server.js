// SPDX-License-Identifier: Apache-2.0
// A worker: takes orders off the queue, renders their invoices in threads, and
// files them in the archive.
'use strict';

const log = require('../lib/log');
const metrics = require('../lib/metrics');
const postgres = require('../lib/postgres');
const queue = require('../lib/queue');
const redis = require('../lib/redis');
const settings = require('../lib/settings');
const onShutdown = require('../lib/shutdown');
const Pool = require('./pool');

const age = metrics.histogram('invoice_age_seconds', 'From the order to its invoice in the archive.');
const rendering = metrics.histogram('invoice_render_seconds', 'From a free message to the rendered document.');
const results = metrics.counter('invoices_total', 'Invoices by what became of them.', ['result']);
const depth = metrics.gauge('invoice_queue_messages', 'Messages that wait in the queue.');

const INDEX = Number(process.env.REPLICA ?? 0);
const pool = new Pool();

async function archive(order, document) {
  const wait = settings.get('invoice.archive_ms');
  if (wait > 0) await postgres.query('wait', 'SELECT pg_sleep($1)', [wait / 1000]);
  await postgres.query('archive', 'INSERT INTO invoices (order_id, document) VALUES ($1, $2) ON CONFLICT DO NOTHING', [order, document]);
}

async function handle(message) {
  const job = JSON.parse(message.content);
  const began = process.hrtime.bigint();
  const document = await pool.render(job, settings.get('invoice.pages'));
  rendering.observe(Number(process.hrtime.bigint() - began) / 1e9);
  await archive(job.order, document);
  age.observe((Date.now() - message.properties.timestamp) / 1000);
}

async function onMessage(channel, message) {
  if (message === null) return; // the server cancelled
  try {
    await handle(message);
    channel.ack(message);
    results.inc({ result: 'archived' });
  } catch (error) {
    const again = settings.get('invoice.retry') === 'forever';
    channel.nack(message, false, again);
    results.inc({ result: again ? 'requeued' : 'dead' });
  }
}

// follow consumes according to the settings: whether this replica consumes, and with
// how many unacknowledged messages.
async function follow(channel) {
  let tag;
  const apply = async () => {
    if (tag) await channel.cancel(tag);
    tag = undefined;
    if (INDEX >= settings.get('invoice.workers')) return;
    await channel.prefetch(settings.get('invoice.prefetch'));
    tag = (await channel.consume(queue.QUEUE, (message) => onMessage(channel, message))).consumerTag;
  };
  let last = apply();
  for (const name of ['invoice.workers', 'invoice.prefetch']) settings.on(name, () => (last = last.then(apply)));
  await last;
}

async function main() {
  await settings.start();
  pool.resize(settings.get('invoice.threads'));
  settings.on('invoice.threads', (threads) => pool.resize(threads));
  const connection = await queue.connect();
  const channel = await connection.createChannel();
  await queue.declare(channel);
  await follow(channel);
  setInterval(async () => depth.set((await channel.checkQueue(queue.QUEUE)).messageCount), 1000).unref();
  const server = metrics.serve(Number(process.env.METRICS_PORT));
  onShutdown(
    () => connection.removeAllListeners('close'),
    () => pool.drain(),
    () => connection.close(),
    () => postgres.end(),
    () => (server.close(), redis.disconnect()),
  );
  log.info('started', { threads: settings.get('invoice.threads') });
}

main();
