// SPDX-License-Identifier: Apache-2.0
// A parcel label: a template, the digest of its image for the carrier, and optionally
// a photograph of the parcel.
'use strict';

const { execFileSync } = require('node:child_process');
const { createHash, randomBytes } = require('node:crypto');
const { createReadStream, openSync, writeFileSync } = require('node:fs');
const { pipeline } = require('node:stream/promises');
const { promisify } = require('node:util');
const { deflate } = require('node:zlib');
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

// The photograph is compressed in parallel strips: one for each thread of the pool.
const STRIPS = 4;
const compressed = promisify(deflate);
let photo = randomBytes(settings.get('label.photo_bytes'));
settings.on('label.photo_bytes', (bytes) => (photo = randomBytes(bytes)));

function strips() {
  const size = Math.ceil(photo.length / STRIPS);
  return Array.from({ length: photo.length > 0 ? STRIPS : 0 }, (_, n) => photo.subarray(n * size, (n + 1) * size));
}

router.get('/orders/:id/label', async (req, res) => {
  for (let n = settings.get('label.unclosed'); n > 0; n--) openSync(image);
  const packed = await Promise.all(strips().map((strip) => compressed(strip)));
  res.json({ order: req.params.id, digest: await digest(), photo_bytes: packed.reduce((sum, strip) => sum + strip.length, 0) });
});

module.exports = router;
