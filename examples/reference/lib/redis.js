// SPDX-License-Identifier: Apache-2.0
'use strict';

const Redis = require('ioredis');
const log = require('./log');

// A hanging cache must not hang the shop: time out after half a second, retry once.
const redis = new Redis(process.env.REDIS_URL, { commandTimeout: 500, connectTimeout: 2000, maxRetriesPerRequest: 1 });
redis.on('error', (error) => log.warn('redis', error));

module.exports = redis;
