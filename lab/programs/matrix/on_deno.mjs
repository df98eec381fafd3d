// SPDX-License-Identifier: Apache-2.0
// An HTTP server on Deno: on_deno.mjs PORT
import { answer } from './work.mjs';

Deno.serve({ hostname: '127.0.0.1', port: Number(Deno.args[0]) }, (req) => new Response(answer(req.url)));
