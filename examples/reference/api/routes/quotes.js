// SPDX-License-Identifier: Apache-2.0
// A price in another currency, from the rates service.
'use strict';

const http = require('node:http');
const net = require('node:net');
const { Router } = require('express');
const settings = require('../../lib/settings');

const router = Router();
const TIMEOUT_MS = 10_000;
const kept = new http.Agent({ keepAlive: true, maxSockets: 8 });
const closing = new http.Agent({ keepAlive: false });

function get(path, agent) {
  return new Promise((resolve, reject) => {
    const req = http.get(process.env.RATES_URL + path, { agent, timeout: TIMEOUT_MS }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      res.on('error', reject).on('end', () => (res.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(`rates: ${res.statusCode}`))));
    });
    req.on('timeout', () => req.destroy(new Error('rates: timeout'))).on('error', reject);
  });
}

// getBySocket predates the client library: it reads until the server closes the
// connection, and never closes its own side.
function getBySocket(path) {
  const { hostname, port } = new URL(process.env.RATES_URL);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => (text += chunk));
    socket.on('error', reject).on('end', () => resolve(JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4))));
    socket.write(`GET ${path} HTTP/1.0\r\nHost: ${hostname}\r\n\r\n`);
  });
}

const clients = {
  agent: (path) => get(path, kept),
  closing: (path) => get(path, closing),
  socket: getBySocket,
};

router.get('/quotes/:currency', async (req, res) => {
  const client = clients[settings.get('quote.client')];
  const path = `/rates/${encodeURIComponent(req.params.currency)}`;
  const answers = await Promise.all(Array.from({ length: settings.get('quote.connections') }, () => client(path)));
  res.json(answers[0]);
});

module.exports = router;
