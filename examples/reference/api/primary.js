// SPDX-License-Identifier: Apache-2.0
// The primary keeps the configured number of processes running, and adds up their
// metrics. It serves no requests itself.
'use strict';

const cluster = require('node:cluster');
const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const log = require('../lib/log');
const metrics = require('../lib/metrics');
const redis = require('../lib/redis');
const settings = require('../lib/settings');
const onShutdown = require('../lib/shutdown');

const RESTART_AFTER_MS = 500; // a process that exits immediately must not be forked in a tight loop
const LEAVE_WITHIN_MS = 8000;

const leaving = new Set();
const running = () => Object.values(cluster.workers).filter((worker) => !leaving.has(worker.id));
let stopping = false;

async function leave(worker) {
  leaving.add(worker.id);
  worker.process.kill('SIGTERM');
  const kill = setTimeout(() => worker.process.kill('SIGKILL'), LEAVE_WITHIN_MS);
  await once(worker, 'exit');
  clearTimeout(kill);
  leaving.delete(worker.id);
}

function scale() {
  if (stopping) return;
  const surplus = running().length - settings.get('api.workers');
  for (let n = surplus; n < 0; n++) cluster.fork();
  for (const worker of running().slice(0, Math.max(0, surplus))) leave(worker);
}

// replace is a rolling restart: each process ends after its successor listens.
async function replace() {
  for (const old of running()) {
    const successor = cluster.fork();
    await once(successor, 'listening');
    await leave(old);
  }
}

cluster.on('exit', (worker, code, signal) => {
  if (stopping || leaving.has(worker.id)) return;
  log.error('process died', null, { died: worker.process.pid, code, signal });
  setTimeout(scale, RESTART_AFTER_MS);
});

async function main() {
  await settings.start();
  settings.on('api.workers', scale);
  settings.on('api.generation', replace);
  scale();
  const registry = new metrics.AggregatorRegistry();
  const server = metrics.serve(Number(process.env.METRICS_PORT), () => registry.clusterMetrics(), () => running().length > 0);
  onShutdown(
    async () => {
      stopping = true;
      await Promise.race([Promise.all(running().map(leave)), sleep(4000)]);
    },
    () => server.close(),
    () => redis.disconnect(),
  );
  log.info('started', { processes: settings.get('api.workers') });
}

main();
