// SPDX-License-Identifier: Apache-2.0
// Photographs, read from the volume that all pods share.
'use strict';

const { createReadStream } = require('node:fs');
const { pipeline } = require('node:stream/promises');
const { Router } = require('express');

const router = Router();

router.get('/media/:id', async (req, res) => {
  const id = Math.trunc(Number(req.params.id));
  if (!(id >= 0)) return res.status(404).end();
  res.type('image/jpeg');
  await pipeline(createReadStream(`/media/${id}.jpg`), res);
});

module.exports = router;
