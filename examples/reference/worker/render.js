// SPDX-License-Identifier: Apache-2.0
// A thread that renders invoices: lays out the lines and compresses the pages.
'use strict';

const { parentPort } = require('node:worker_threads');
const { deflateSync } = require('node:zlib');

const PAGE_BYTES = 60_000;

function renderPage(job, page) {
  let text = `Invoice ${job.order}, page ${page + 1}, to ${job.address}\n`;
  for (let line = 0; text.length < PAGE_BYTES; line++) {
    const { product, quantity } = job.lines[line % job.lines.length];
    text += `${line} ${product} × ${quantity} ${Math.sqrt(line * job.order).toFixed(6)}\n`;
  }
  return deflateSync(text, { level: 9 });
}

function render({ job, pages }) {
  if (!job.address) throw new Error(`invoice ${job.order} has no address`);
  return Buffer.concat(Array.from({ length: pages }, (_, page) => renderPage(job, page)));
}

parentPort.on('message', (request) => {
  try {
    parentPort.postMessage({ document: render(request) });
  } catch (error) {
    parentPort.postMessage({ error: error.message });
  }
});
