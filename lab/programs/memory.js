// SPDX-License-Identifier: Apache-2.0
// A server whose first argument selects how it uses memory:
//
//	grow MB      keeps MB more megabytes each second
//	saw MB       makes MB megabytes of garbage each second
//	warm MB      fills a cache of MB megabytes, at a decreasing rate
//	hold MB      keeps MB megabytes from the start, and also makes garbage
//	rest         uses none
//
// or how requests use memory:
//
//	sessions MB  keeps a session per request and drops all of them at MB
//	             megabytes: they reach the old generation before they are garbage
//	cache MB     makes a page per request, and caches pages up to MB megabytes
'use strict';

const http = require('node:http');

const [mode, amount] = [process.argv[2], Number(process.argv[3])];
const perSecond = 20;
const kept = [];
const cached = new Map();

// objects makes small objects on the heap, not buffers outside of it.
function objects(megabytes) {
  const made = [];
  for (let i = 0; i < megabytes * 1024; i++) made.push(new Array(126).fill(i));
  return made;
}

// due returns the megabytes that are missing by now: on a busy host timers are late.
const began = Date.now();
let grown = 0;
function due() {
  const missing = Math.min(amount, (amount * (Date.now() - began)) / 1000 - grown);
  grown += missing;
  return missing;
}

const work = {
  grow: () => kept.push(objects(due())),
  saw: () => objects(amount / perSecond).length,
  warm: () => kept.push(objects((amount - kept.length) / 100)),
  hold: () => {
    if (kept.length === 0) kept.push(objects(amount));
    return objects(1).length;
  },
  rest: () => {},
};

// A page is the result of a request, 128 kB, and leaves as much garbage.
const page = () => objects(1 / 8).map((line) => line.slice());

const answers = {
  sessions: () => {
    kept.push(page());
    if (kept.length >= amount * 8) kept.length = 0;
  },
  cache: (url) => {
    if (!cached.has(url)) cached.set(url, page());
    if (cached.size > amount * 8) cached.delete(cached.keys().next().value);
    return JSON.stringify(cached.get(url).slice(0, 8));
  },
};

if (work[mode]) setInterval(work[mode], 1000 / perSecond);
const answer = answers[mode] || (() => {});
const server = http.createServer((req, res) => res.end((answer(req.url) || 'ok') + '\n'));
server.listen(0, '127.0.0.1', () => console.log(`listening 127.0.0.1:${server.address().port}`));
