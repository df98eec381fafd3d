// SPDX-License-Identifier: Apache-2.0
// A server that does with memory what its first argument says:
//
//	grow MB      keeps so many megabytes more each second
//	saw MB       makes so many megabytes of garbage each second
//	warm MB      fills a cache of so many megabytes, slower and slower
//	rest         nothing
'use strict';

const http = require('node:http');

const [mode, amount] = [process.argv[2], Number(process.argv[3])];
const perSecond = 20;
const kept = [];

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
  rest: () => {},
};

setInterval(work[mode], 1000 / perSecond);
const server = http.createServer((req, res) => res.end('ok\n'));
server.listen(0, '127.0.0.1', () => console.log(`listening 127.0.0.1:${server.address().port}`));
