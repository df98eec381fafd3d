// SPDX-License-Identifier: Apache-2.0
'use strict';

const { Pool } = require('pg');
const log = require('./log');

const pool = new Pool({
  max: Number(process.env.PG_POOL ?? 4),
  connectionTimeoutMillis: 2000,
  idleTimeoutMillis: 30_000,
  statement_timeout: 5000,
});
pool.on('error', (error) => log.warn('postgres', error)); // of an idle connection; the pool replaces it

// query runs a prepared statement, which the server identifies by its name.
function query(name, text, values) {
  return pool.query({ name, text, values });
}

async function transaction(work) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work((name, text, values) => client.query({ name, text, values }));
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  } finally {
    client.release();
  }
}

module.exports = { query, transaction, end: () => pool.end() };
