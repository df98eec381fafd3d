// SPDX-License-Identifier: Apache-2.0

'use strict';
exports.spin = function spin(ms) { const end = Date.now() + ms; let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; };
