// SPDX-License-Identifier: Apache-2.0
// An HTTP server on Bun: on_bun.mjs PORT
import { answer } from './work.mjs';

Bun.serve({ hostname: '127.0.0.1', port: Number(process.argv[2]), idleTimeout: 120, fetch: (req) => new Response(answer(req.url)) });
