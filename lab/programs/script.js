// SPDX-License-Identifier: Apache-2.0
// A build step or a batch job: it reads a file asynchronously, computes until it is
// stopped, and listens to nothing.
'use strict';

const { readFile } = require('node:fs/promises');

readFile(__filename).then((text) => {
  let sum = text.length;
  for (;;) sum = (sum * 31 + 1) | 0;
});
