// SPDX-License-Identifier: Apache-2.0
// A server that does with memory what its first argument says:
//
//	grow MB      keeps so many megabytes more each second
//	saw MB       makes so many megabytes of garbage each second
//	warm MB      fills a cache of so many megabytes, slower and slower
//	hold MB      keeps so many megabytes from the start, and makes garbage beside
//	rest         nothing
//
// or with what is asked of it:
//
//	sessions MB  keeps a session per request and forgets all at so many
//	             megabytes: they grow old before they are garbage
//	cache MB     makes what is asked for, and keeps it up to so many megabytes
'use strict';

const http = require('node:http');

const [mode, amount] = [process.argv[2], Number(process.argv[3])];
const perSecond = 20;
const kept = [];
const cached = new Map();

// objects are small ones that live on the heap, not buffers beside it.
function objects(megabytes) {
  const made = [];
  for (let i = 0; i < megabytes * 1024; i++) made.push(new Array(126).fill(i));
  return made;
}

const work = {
  grow: () => kept.push(objects(amount / perSecond)),
  saw: () => objects(amount / perSecond).length,
  warm: () => kept.push(objects((amount - kept.length) / 100)),
  hold: () => {
    if (kept.length === 0) kept.push(objects(amount));
    return objects(1).length;
  },
  rest: () => {},
};

// A page is 128 kB of what a request makes, and the garbage of making it.
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
