// SPDX-License-Identifier: Apache-2.0
// Structured logs: one JSON object a line on standard output.
'use strict';

const { basename, dirname } = require('node:path');

const service = basename(dirname(require.main?.filename ?? '/shop/-'));

function write(level, message, fields) {
  const line = { time: new Date().toISOString(), level, service, pid: process.pid, message, ...fields };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const describe = (error) => (error instanceof Error ? { error: error.message, code: error.code } : {});

module.exports = {
  info: (message, fields) => write('info', message, fields),
  warn: (message, error, fields) => write('warn', message, { ...describe(error), ...fields }),
  error: (message, error, fields) => write('error', message, { ...describe(error), stack: error?.stack, ...fields }),
};
