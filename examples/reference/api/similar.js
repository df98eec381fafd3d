// SPDX-License-Identifier: Apache-2.0
// Similar products, in an in-memory table of the configured size. It is built in the
// background, a piece at a time, and refreshed by requests for product pages.
'use strict';

const settings = require('../lib/settings');

const PIECE = 2000;
const BYTES = 150; // about, of one entry on the heap

let table = [];

const entry = (id) => ({ id, to: [id + 1, id + 2, id + 3], score: id / PIECE + 0.5 });

async function build(bytes) {
  table = [];
  while (table.length * BYTES < bytes) {
    for (let n = 0; n < PIECE; n++) table.push(entry(table.length));
    await new Promise(setImmediate);
  }
}

settings.on('similar.bytes', build);
build(settings.get('similar.bytes'));

let next = 0;
function refresh(count) {
  for (let n = Math.min(count, table.length); n > 0; n--) {
    next = (next + 1) % table.length;
    table[next] = entry(next);
  }
}

module.exports = function similarTo(id) {
  refresh(settings.get('similar.refresh'));
  return table[id % Math.max(1, table.length)]?.to ?? [];
};
