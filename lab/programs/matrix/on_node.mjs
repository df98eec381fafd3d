// SPDX-License-Identifier: Apache-2.0
// An HTTP server on Node.js: on_node.mjs PORT
import { createServer } from 'node:http';
import { answer } from './work.mjs';

const port = Number(process.env.PORT ?? process.argv[2]);
createServer((req, res) => res.end(answer(req.url))).listen(port, '127.0.0.1');
