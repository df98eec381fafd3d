// SPDX-License-Identifier: Apache-2.0
// An express service whose routes block the event loop on purpose. Started as
// `node server.js`, without flags.
'use strict';

const { execSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { Worker } = require('node:worker_threads');
const express = require('express');

const app = express();
const number = (value, otherwise) => (value === undefined ? otherwise : Number(value));

// slowPriceTable takes that many milliseconds of CPU time: under a quota or beside
// busy neighbours the same work takes longer.
function slowPriceTable(ms) {
  const start = process.cpuUsage();
  let total = 0;
  for (let spent = 0; spent < ms * 1000; ) {
    for (let i = 1; i < 2e4; i++) total += Math.sqrt(i) / (1 + (total % 7));
    const { user, system } = process.cpuUsage(start);
    spent = user + system;
  }
  return total;
}

function waitForLock(ms) {
  return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

app.get('/ok', (req, res) => res.json({ ok: true }));

app.get('/burn', (req, res) => res.json({ total: slowPriceTable(number(req.query.ms, 200)) }));

app.get('/exec', (req, res) => res.send(execSync(`sleep ${number(req.query.ms, 200) / 1000}; echo done`)));

app.get('/wait', (req, res) => res.json({ result: waitForLock(number(req.query.ms, 200)) }));

app.get('/fifo', (req, res) => res.send(readFileSync(process.env.FIFO)));

app.get('/hang', (req, res) => {
  const until = Date.now() + number(req.query.s, 16) * 1000;
  let total = 0;
  while (Date.now() < until) total += slowPriceTable(10);
  res.json({ total });
});

// A worker thread that spins keeps one core busy; the event loop stays free.
const spinners = [];
app.get('/spin', (req, res) => {
  const spin = 'let n = 0; for (;;) n = (n + 1) % 1000003;';
  spinners.push(new Worker(spin, { eval: true }));
  res.json({ spinners: spinners.length });
});

// The same work as /burn, in a worker thread.
app.get('/burn-in-worker', (req, res) => {
  const source = `require('node:worker_threads').parentPort.postMessage((${slowPriceTable})(${number(req.query.ms, 200)}))`;
  new Worker(source, { eval: true }).once('message', (total) => res.json({ total }));
});

const server = app.listen(0, '127.0.0.1', () => {
  console.log(`listening 127.0.0.1:${server.address().port}`);
});
