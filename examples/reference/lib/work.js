// SPDX-License-Identifier: Apache-2.0
'use strict';

// priceTable computes for that many milliseconds of CPU time of this process: beside
// busy neighbours the same work takes longer.
function priceTable(ms) {
  const start = process.cpuUsage();
  let total = 0;
  for (let spent = 0; spent < ms * 1000; ) {
    for (let i = 1; i < 2e3; i++) total += Math.sqrt(i) / (1 + (total % 7));
    const { user, system } = process.cpuUsage(start);
    spent = user + system;
  }
  return total;
}

module.exports = { priceTable };
