// SPDX-License-Identifier: Apache-2.0
// Cache-aside: Redis, otherwise the database. Without Redis the shop is slower, but
// still correct.
'use strict';

const log = require('../lib/log');
const metrics = require('../lib/metrics');
const redis = require('../lib/redis');
const settings = require('../lib/settings');

const lookups = metrics.counter('cache_lookups_total', 'Look-ups in Redis.', ['result']);

module.exports = async function cached(key, load) {
  const ttl = settings.get('cache.ttl_s');
  if (ttl === 0) return load();
  const found = await redis.get(key).catch((error) => void log.warn('cache not read', error));
  lookups.inc({ result: found ? 'hit' : 'miss' });
  if (found) return JSON.parse(found);
  const value = await load();
  redis.set(key, JSON.stringify(value), 'EX', ttl).catch((error) => log.warn('cache not written', error));
  return value;
};
