// SPDX-License-Identifier: Apache-2.0
// A parcel label: a template, and the digest of its image for the carrier.
'use strict';

const { execFileSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const { openSync, writeFileSync } = require('node:fs');
const { createReadStream } = require('node:fs');
const { pipeline } = require('node:stream/promises');
const { Router } = require('express');
const settings = require('../../lib/settings');

const router = Router();
const image = `/tmp/label-${process.pid}.png`;
const draw = (bytes) => writeFileSync(image, Buffer.alloc(bytes, 'label'));
settings.on('label.bytes', draw);
draw(settings.get('label.bytes'));

async function digest() {
  if (settings.get('label.digest') === 'command') return execFileSync('sha256sum', [image], { encoding: 'utf8' }).slice(0, 64);
  const sum = createHash('sha256');
  await pipeline(createReadStream(image), sum);
  return sum.digest('hex');
}

router.get('/orders/:id/label', async (req, res) => {
  for (let n = settings.get('label.unclosed'); n > 0; n--) openSync(image);
  res.json({ order: req.params.id, digest: await digest() });
});

module.exports = router;
