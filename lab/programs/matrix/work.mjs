// SPDX-License-Identifier: Apache-2.0
// The work of the JavaScript servers: burn takes CPU time, block waits.
import process from 'node:process';

export function burn(ms) {
  const start = process.cpuUsage();
  let total = 0;
  for (let spent = 0; spent < ms * 1000; ) {
    for (let i = 1; i < 2e4; i++) total += Math.sqrt(i) / (1 + (total % 7));
    const { user, system } = process.cpuUsage(start);
    spent = user + system;
  }
  return total;
}

export function block(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

// answer does what the URL of a request asks for.
export function answer(url) {
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  const ms = Number(searchParams.get('ms') ?? 0);
  if (pathname === '/burn') burn(ms);
  if (pathname === '/block') block(ms);
  return 'ok\n';
}
