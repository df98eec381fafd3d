// SPDX-License-Identifier: Apache-2.0

// A server that spends a part of each tick in the garbage collector (/fill) or none (/spin),
// and answers /total with the milliseconds of both. It is started with --single-threaded-gc,
// so that all of a pause is CPU time of the loop's thread.
'use strict';
const http = require('http');
const { PerformanceObserver } = require('perf_hooks');

const MS = 150;
let collected = 0, ticks = 0, kept = [];
new PerformanceObserver((list) => { for (const e of list.getEntries()) collected += e.duration; }).observe({ entryTypes: ['gc'] });

function fill() {
  const end = performance.now() + MS;
  while (performance.now() < end) {
    for (let i = 0; i < 100; i++) kept.push({ a: [i, i + 1], b: 'x' + i });
    if (kept.length > 200000) kept = [];
  }
}
function spin() { const end = performance.now() + MS; let x = 0; while (performance.now() < end) x += Math.sqrt(x + 1); return x; }

const server = http.createServer(function serve(req, res) {
  if (req.url === '/total') {
    res.end(JSON.stringify({ collected, ticks }));
    collected = ticks = 0;
    return;
  }
  const start = performance.now();
  if (req.url === '/fill') fill(); else spin();
  ticks += performance.now() - start;
  res.end('ok\n');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
