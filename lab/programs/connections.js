// SPDX-License-Identifier: Apache-2.0
// A node server whose routes and settings use up descriptors, queues and connections
// on purpose. Started as `node connections.js`.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');

// burn takes that many milliseconds of CPU.
function burn(ms) {
  const start = process.cpuUsage();
  let total = 0;
  for (let spent = 0; spent < ms * 1000; ) {
    for (let i = 1; i < 2e4; i++) total += Math.sqrt(i) / (1 + (total % 7));
    const { user, system } = process.cpuUsage(start);
    spent = user + system;
  }
  return total;
}

const kept = [];
const routes = {
  '/ok': () => 'ok\n',
  // Each request opens a file and does not close it.
  '/leak': () => `${kept.push(fs.openSync(__filename))}\n`,
  '/burn': () => `${burn(300)}\n`,
};

function serve(req, res) {
  const route = routes[req.url];
  res.statusCode = route ? 200 : 404;
  try {
    res.end(route ? route() : 'no such route\n');
  } catch (err) {
    res.statusCode = 503; // EMFILE
    res.end(`${err.code}\n`);
  }
}

// halfOpen reads all data and never closes its own side.
function halfOpen(socket) {
  socket.on('data', () => {});
  socket.on('error', () => socket.destroy());
}

const server = process.env.HALF_OPEN
  ? net.createServer({ allowHalfOpen: true }, halfOpen)
  : http.createServer({ keepAliveTimeout: 60_000 }, serve);

const backlog = Number(process.env.BACKLOG || 511);
server.listen({ host: '127.0.0.1', port: 0, backlog }, () => {
  console.log(`listening 127.0.0.1:${server.address().port}`);
});
