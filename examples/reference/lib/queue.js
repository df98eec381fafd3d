// SPDX-License-Identifier: Apache-2.0
// The invoices queue: durable, with a second queue for orders that cannot be rendered.
'use strict';

const { once } = require('node:events');
const amqp = require('amqplib');
const log = require('./log');

const QUEUE = 'invoices';
const DEAD = 'invoices.dead';

async function connect() {
  const connection = await amqp.connect(process.env.AMQP_URL, { heartbeat: 10, timeout: 5000 });
  connection.on('error', (error) => log.error('rabbitmq', error));
  connection.on('close', () => process.emit('SIGTERM')); // a new process is simpler than a half-open channel
  return connection;
}

async function declare(channel) {
  await channel.assertQueue(DEAD, { durable: true });
  await channel.assertQueue(QUEUE, { durable: true, deadLetterExchange: '', deadLetterRoutingKey: DEAD });
}

// publisher confirms each message, so that a lost invoice is noticed.
async function publisher() {
  const connection = await connect();
  const channel = await connection.createConfirmChannel();
  await declare(channel);
  return {
    async send(job) {
      const full = !channel.sendToQueue(QUEUE, Buffer.from(JSON.stringify(job)), { persistent: true, timestamp: Date.now() });
      if (full) await once(channel, 'drain');
      await channel.waitForConfirms();
    },
    close() {
      connection.removeAllListeners('close');
      return connection.close();
    },
  };
}

module.exports = { QUEUE, connect, declare, publisher };
