// SPDX-License-Identifier: Apache-2.0
// A small service on a web framework of npm: framework.js FRAMEWORK PORT
'use strict';

const [name, port] = [process.argv[2], Number(process.argv[3])];
const host = '127.0.0.1';
const prices = { apple: 3, pear: 4 };

const start = {
  fastify: () => require('fastify')().get('/', async () => prices).listen({ port, host }),
  koa: () => new (require('koa'))().use((ctx) => { ctx.body = prices; }).listen(port, host),
  hapi: () => {
    const server = require('@hapi/hapi').server({ port, host });
    server.route({ method: 'GET', path: '/', handler: () => prices });
    return server.start();
  },
  hono: () => {
    const app = new (require('hono').Hono)();
    app.get('/', (c) => c.json(prices));
    return require('@hono/node-server').serve({ fetch: app.fetch, port, hostname: host });
  },
  polka: () => require('polka')().get('/', (req, res) => res.end(JSON.stringify(prices))).listen(port, host),
  restify: () => {
    const server = require('restify').createServer();
    server.get('/', (req, res, next) => { res.send(prices); next(); });
    return server.listen(port, host);
  },
};

start[name]();
