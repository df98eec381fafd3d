// SPDX-License-Identifier: Apache-2.0
// Graceful shutdown: on SIGTERM the steps run in order, and the process ends.
'use strict';

const log = require('./log');

const LIMIT_MS = 5000;

module.exports = function onShutdown(...steps) {
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), LIMIT_MS).unref();
    for (const step of steps) {
      await Promise.resolve(step()).catch((error) => log.warn('shutdown', error));
    }
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
};
