// SPDX-License-Identifier: Apache-2.0

// A server in which each path blocks the event loop for MS milliseconds in one function.
'use strict';
const childProcess = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const zlib = require('zlib');
const slow = require('slow');

const MS = 120;
const rows = Array.from({ length: 20000 }, (_, i) => ({ id: i, name: 'row ' + i, tags: [i % 7, i % 11] }));
const text = JSON.stringify(rows);
const until = () => Date.now() + MS;

function ownFunction() { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; }
const arrow = () => { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; };
const expression = function named() { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; };
function* generator() { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); yield x; }
async function asynchronous() { await null; const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; }
async function afterTimer() { await new Promise((r) => setTimeout(r, 1)); const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; }
class Service {
  #secret = 1;
  method() { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + this.#secret); return x; }
  #hidden() { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; }
  throughHidden() { return this.#hidden(); }
  static classMethod() { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; }
  get property() { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; }
}
function größe() { const end = until(); let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x; }
function recursive(n, end) { let x = 0; if (n > 0) return recursive(n - 1, end); while (Date.now() < end) x += Math.sqrt(x + 1); return x; }
function viaLibrary() { return slow.spin(MS); }
function parse() { const end = until(); let n = 0; while (Date.now() < end) n += JSON.parse(text).length; return n; }
function serialize() { const end = until(); let n = 0; while (Date.now() < end) n += JSON.stringify(rows).length; return n; }
function match() { const end = until(); let n = 0; while (Date.now() < end) n += /^(a+)+$/.test('a'.repeat(20) + 'b') ? 1 : 0; return n; }
function hashPassword() { const end = until(); while (Date.now() < end) crypto.pbkdf2Sync('p', 's', 20000, 64, 'sha512'); }
function compress() { const end = until(); while (Date.now() < end) zlib.gzipSync(text); }
function readFiles() { const end = until(); let n = 0; while (Date.now() < end) n += fs.readFileSync(__filename).length; return n; }
function runChild() { return childProcess.execSync('sleep 0.12').length; }
function waitForOther() { return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, MS); }
function sortRows() { const end = until(); let a; while (Date.now() < end) a = rows.slice().sort((l, r) => (l.id * 7919) % 10007 - (r.id * 7919) % 10007); return a; }
function render() { const end = until(); let n = 0; while (Date.now() < end) n += text.slice(0, 50000).replace(/\d+/g, (d) => '<b>' + d + '</b>').length; return n; }
function buffers() { const end = until(); let n = 0; while (Date.now() < end) n += Buffer.concat([Buffer.from(text), Buffer.from(text)]).toString('base64').length; return n; }
function allocate() { const end = until(); let kept = []; while (Date.now() < end) { kept.push({ a: new Array(100).fill(0), b: 'x' + kept.length }); if (kept.length > 50000) kept = []; } return kept.length; }
function evaluated() { return new Function('ms', 'const end = Date.now() + ms; let x = 0; while (Date.now() < end) x++; return x;')(MS); }
function manyLocals() {
  const { a, b, c, d, e, f, g, h } = { a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8 };
  const all = () => a + b + c + d + e + f + g + h;
  const end = until(); let x = 0; while (Date.now() < end) x += all(); return x;
}

const service = new Service();
const paths = {
  ownFunction, arrow, expression, asynchronous, afterTimer, größe, viaLibrary, parse, serialize, match, hashPassword, compress, readFiles, runChild,
  waitForOther, sortRows, render, buffers, allocate, evaluated, manyLocals,
  generator: () => generator().next(), recursive: () => recursive(40, until()), method: () => service.method(), throughHidden: () => service.throughHidden(),
  classMethod: () => Service.classMethod(), property: () => service.property,
};

const server = http.createServer(async function serve(req, res) {
  const run = paths[decodeURI(req.url.slice(1))];
  if (run) await run();
  res.end('ok\n');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
