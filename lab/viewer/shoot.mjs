// SPDX-License-Identifier: Apache-2.0

// node shoot.mjs FOLDER DASHBOARD.json...: draws each dashboard with the data of
// the Prometheus at $PROMETHEUS and writes FOLDER/NAME.png. It fails when a query
// fails, a panel is empty, or a link leads nowhere.
//
// $FROM and $TO are the time range (now-1h, now), $SCRAPE the scrape interval in
// seconds (15), $THEME dark or light; $SELECT has values of variables by the uid
// of a dashboard: {"headroom-service": {"container": ["api"]}}.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';

const { PROMETHEUS = 'http://127.0.0.1:9090', FROM = 'now-1h', TO = 'now', SCRAPE = '15', THEME = 'dark', SELECT = '{}', CHROMIUM = '/usr/bin/chromium' } = process.env;
const [folder, ...files] = process.argv.slice(2);
const here = import.meta.dirname;
const types = { '.html': 'text/html', '.svg': 'image/svg+xml', '.css': 'text/css', '.js': 'text/javascript', '.json': 'application/json' };

// fileOf returns the file for a path of the page, or nothing.
function fileOf(url, dashboard) {
  switch (url) {
    case '/': return path.join(here, 'src/index.html');
    case '/boot.js': return path.join(here, 'src/boot.js');
    case '/dashboard.json': return dashboard;
  }
  const root = url.startsWith('/public/build/') ? 'node_modules/@grafana/ui/dist/public' : 'dist';
  return path.join(here, root, path.normalize(url.replace('/public/build/', '/')));
}

function serve(dashboardNow) {
  const server = http.createServer((request, response) => {
    const { pathname, search } = new URL(request.url, 'http://viewer');
    if (pathname.startsWith('/prometheus/')) {
      const asked = http.get(PROMETHEUS + pathname.slice('/prometheus'.length) + search, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      asked.on('error', (err) => response.writeHead(502).end(JSON.stringify({ status: 'error', error: String(err) })));
      return;
    }
    const file = fileOf(pathname, dashboardNow());
    if (!fs.existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'application/octet-stream' });
    fs.createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server)); });
}

const rowHeight = 38, header = 150, width = 1400; // pixels, as Grafana lays panels out

async function shoot(page, port, file, addresses) {
  const dashboard = JSON.parse(fs.readFileSync(file));
  const rows = Math.max(...dashboard.panels.map((p) => p.gridPos.y + p.gridPos.h));
  await page.setViewportSize({ width, height: rows * rowHeight + header });
  await page.goto(`http://127.0.0.1:${port}/?${new URLSearchParams({ from: FROM, to: TO, scrape: SCRAPE, theme: THEME, select: JSON.stringify(JSON.parse(SELECT)[dashboard.uid] ?? {}) })}`);
  await page.waitForFunction(() => window.viewer?.settled(), null, { timeout: 60_000 });
  await page.waitForTimeout(1500); // the last canvas is drawn after the last answer
  const png = path.join(folder, `${path.basename(file, '.json')}.png`);
  fs.writeFileSync(png, await page.screenshot());
  execFileSync('pngquant', ['--force', '--skip-if-larger', '--strip', '--speed', '1', '--output', png, '128', png]);
  const problems = await page.evaluate(() => window.viewer.problems());
  for (const link of await page.$$eval('a[href*="/d/"]', (all) => all.map((a) => a.getAttribute('href')))) {
    const at = link.replace(/^.*\/d\//, '').replace(/&.*$/, '');
    if (!addresses.has(at)) {
      problems.push(`a link leads to no panel: ${link}`);
    }
  }
  return problems.map((p) => `${dashboard.title}: ${p}`);
}

const addresses = new Set(files.flatMap((file) => {
  const { uid, panels } = JSON.parse(fs.readFileSync(file));
  return panels.map((p) => `${uid}?viewPanel=${p.id}`);
}));
fs.mkdirSync(folder, { recursive: true });
let now;
const server = await serve(() => now);
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ colorScheme: THEME });
const all = [];
page.on('pageerror', (err) => all.push(`${path.basename(now)}: ${err.message}`));
for (now of files) {
  all.push(...await shoot(page, server.address().port, now, addresses));
}
await browser.close();
server.close();
for (const problem of all) {
  console.error(problem);
}
process.exitCode = all.length ? 1 : 0;
