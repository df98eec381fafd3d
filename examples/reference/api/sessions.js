// SPDX-License-Identifier: Apache-2.0
// Sessions of visitors, in each process: the latest few hundred, with the products
// that they viewed.
'use strict';

const { randomUUID } = require('node:crypto');
const settings = require('../lib/settings');

const sessions = new Map(); // in order of arrival

function remember(req, res, next) {
  const id = req.get('x-session') ?? randomUUID();
  sessions.delete(id);
  sessions.set(id, { seen: req.path, page: Buffer.alloc(settings.get('sessions.bytes'), req.path) });
  const max = settings.get('sessions.max');
  if (max > 0) {
    for (const oldest of sessions.keys()) {
      if (sessions.size <= max) break;
      sessions.delete(oldest);
    }
  }
  next();
}

module.exports = { remember };
