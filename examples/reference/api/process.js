// SPDX-License-Identifier: Apache-2.0
// One process of the API.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');
const log = require('../lib/log');
const metrics = require('../lib/metrics');
const postgres = require('../lib/postgres');
const queue = require('../lib/queue');
const redis = require('../lib/redis');
const settings = require('../lib/settings');
const onShutdown = require('../lib/shutdown');
const makeApp = require('./app');

// Longer than nginx keeps an idle connection: nginx must close it first, so that it
// never sends a request on a closed connection.
const KEEP_ALIVE_MS = 65_000;

async function main() {
  new metrics.AggregatorRegistry(); // answers the primary when it collects
  await settings.start();
  const publisher = await queue.publisher();
  const server = http.createServer(makeApp(publisher));
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = KEEP_ALIVE_MS + 1000;
  server.requestTimeout = 30_000;
  listen(server);
  settings.on('api.listening', () => follow(server));
  follow(server);
  onShutdown(
    () => close(server),
    () => publisher.close(),
    () => postgres.end(),
    () => redis.disconnect(),
  );
}

const listen = (server) => server.listen({ port: Number(process.env.PORT), host: process.env.LISTEN ?? '127.0.0.1', backlog: 511 });

// follow listens in the configured number of processes.
function follow(server) {
  const mine = cluster.worker.id % settings.get('api.workers') < settings.get('api.listening');
  if (mine && !server.listening) listen(server);
  if (!mine && server.listening) close(server);
}

// close accepts no new connections, and gives running requests three seconds.
function close(server) {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  return Promise.race([closed, sleep(3000)]);
}

process.on('unhandledRejection', (error) => {
  log.error('unhandled rejection', error);
  process.exit(1);
});

main();
