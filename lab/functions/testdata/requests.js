// SPDX-License-Identifier: Apache-2.0

// A server that answers many short requests: of the work of each, render has 60 %,
// sortRows 30 % and digest 10 %.
'use strict';
const crypto = require('crypto');
const http = require('http');

const MS = 8;
const rows = Array.from({ length: 200 }, (_, i) => ({ id: i, name: 'row ' + i, tags: [i % 7, i % 11] }));
const end = (share) => performance.now() + share * MS;

function render() { const until = end(0.6); let n = 0; while (performance.now() < until) n += JSON.stringify(rows).length; return n; }
function sortRows() { const until = end(0.3); let a; while (performance.now() < until) a = rows.slice().sort((l, r) => (l.id * 7919) % 10007 - (r.id * 7919) % 10007); return a; }
function digest() { const until = end(0.1); let d; while (performance.now() < until) d = crypto.createHash('sha256').update('a').digest('hex'); return d; }

// V8 does not inline what one call of three functions calls: the samples would name serve.
const steps = [render, sortRows, digest];
const server = http.createServer(function serve(req, res) {
  for (const step of steps) step();
  res.end('ok\n');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
