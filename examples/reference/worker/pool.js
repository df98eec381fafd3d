// SPDX-License-Identifier: Apache-2.0
// A pool of worker_threads: jobs wait in order for the next free thread.
'use strict';

const { join } = require('node:path');
const { Worker } = require('node:worker_threads');
const log = require('../lib/log');

const PROGRAM = join(__dirname, 'render.js');

module.exports = class Pool {
  #size = 0;
  #threads = new Set();
  #free = [];
  #waiting = [];

  resize(size) {
    this.#size = size;
    while (this.#threads.size < size) this.#add();
    while (this.#threads.size > size && this.#free.length > 0) this.#remove(this.#free.pop());
  }

  render(job, pages) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, pages, resolve, reject });
      this.#next();
    });
  }

  // drain waits for the running jobs.
  async drain() {
    this.#waiting = [];
    for (let n = 0; n < 30 && this.#free.length < this.#threads.size; n++) await new Promise((done) => setTimeout(done, 100));
    await Promise.all([...this.#threads].map((thread) => thread.terminate()));
  }

  #add() {
    const thread = new Worker(PROGRAM);
    thread.on('error', (error) => log.error('thread', error));
    thread.on('exit', () => this.#threads.delete(thread));
    this.#threads.add(thread);
    this.#free.push(thread);
    this.#next();
  }

  #remove(thread) {
    this.#threads.delete(thread);
    thread.terminate();
  }

  #next() {
    while (this.#free.length > 0 && this.#waiting.length > 0) this.#run(this.#free.pop(), this.#waiting.shift());
  }

  #run(thread, { job, pages, resolve, reject }) {
    thread.once('message', ({ document, error }) => {
      if (this.#threads.size > this.#size) this.#remove(thread);
      else this.#free.push(thread);
      if (error) reject(new Error(error));
      else resolve(Buffer.from(document));
      this.#next();
    });
    thread.postMessage({ job, pages });
  }
};
