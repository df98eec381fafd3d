// SPDX-License-Identifier: Apache-2.0
'use strict';

const Redis = require('ioredis');
const log = require('./log');

// A cache that hangs must not hang the shop: half a second, one more try.
const redis = new Redis(process.env.REDIS_URL, { commandTimeout: 500, connectTimeout: 2000, maxRetriesPerRequest: 1 });
redis.on('error', (error) => log.warn('redis', error));

module.exports = redis;
