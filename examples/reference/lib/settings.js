// SPDX-License-Identifier: Apache-2.0
// The settings that operators can change while the shop runs: a hash in Redis that
// every process reads once a second. A missing field has its default.
'use strict';

const { EventEmitter } = require('node:events');
const log = require('./log');
const redis = require('./redis');

const KEY = 'shop:settings';
const READ_EVERY_MS = 1000;

const defaults = {
  'api.listening': 64, // of them, at most, take requests
  'api.workers': 2, // processes of the cluster
  'api.generation': 0, // another number replaces them one by one
  'cache.ttl_s': 30, // of products in Redis; 0 asks the database each time
  'catalog.bytes': 100_000, // size of the price list
  'label.bytes': 50_000, // size of a parcel label's image
  'label.digest': 'stream', // or 'command': sha256sum
  'label.photo_bytes': 0, // of a photograph on it, compressed in the thread pool
  'label.unclosed': 0, // template files a label leaves open
  'login.hash': 'pool', // or 'inline', on the event loop
  'login.hash_ms': 20, // how expensive a password hash is
  'orders.incomplete': 0, // share of the invoices asked for without an address
  'orders.queries': 1, // for a page of orders
  'page.copies_bytes': 0, // copied for each product page
  'page.piece_ms': 0, // of it at a time; 0 is all at once
  'page.render_ms': 0, // of CPU, to fill in a page's template
  'quote.client': 'agent', // or 'closing', 'socket'
  'quote.connections': 1, // to the rates service, for each quote
  'search.matcher': 'linear', // or 'nested'
  'search.max_length': 40, // characters of a query
  'sessions.bytes': 2_000, // kept for each session
  'sessions.max': 500, // kept in each process; 0 is all of them
  'similar.bytes': 0, // table of similar products in each process
  'similar.refresh': 0, // entries of it that a product page renews
  'stock.bytes': 0, // captured by each request that follows the stock
  'stock.follow': 'response', // until the response ends, or 'process'
  'terms.bytes': 20_000, // size of the terms and conditions
  'terms.read': 'once', // or 'each': readFileSync per request
  'invoice.archive_ms': 0, // what the archive's database takes
  'invoice.pages': 2,
  'invoice.prefetch': 4, // unacknowledged messages a worker holds
  'invoice.retry': 'never', // or 'forever'
  'invoice.threads': 1, // of each worker
  'invoice.workers': 2, // that consume
  'reports.threads': 0, // that compute
  'reports.write_bytes_s': 0, // written and flushed to disk
  'reports.writers': 1, // that write at once
};

class Settings extends EventEmitter {
  #values = { ...defaults };

  get(name) {
    if (!(name in defaults)) throw new Error(`no setting ${name}`);
    return this.#values[name];
  }

  // start reads once before the service accepts work, then every second.
  async start() {
    await this.#read();
    setInterval(() => this.#read().catch((error) => log.warn('settings not read', error)), READ_EVERY_MS).unref();
  }

  async #read() {
    const stored = await redis.hgetall(KEY);
    const values = { ...defaults };
    for (const [name, text] of Object.entries(stored)) {
      if (name in defaults) values[name] = typeof defaults[name] === 'number' ? Number(text) : text;
    }
    const changed = Object.keys(defaults).filter((name) => values[name] !== this.#values[name]);
    this.#values = values;
    for (const name of changed) this.emit(name, values[name]);
  }
}

module.exports = new Settings();
