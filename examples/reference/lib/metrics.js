// SPDX-License-Identifier: Apache-2.0
// The service's own indicators, for Prometheus.
'use strict';

const http = require('node:http');
const prometheus = require('prom-client');
const log = require('./log');

// 50 ms is precise enough to show event loop lag, and cheap.
prometheus.collectDefaultMetrics({ eventLoopMonitoringPrecision: 50 });

const seconds = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];

function histogram(name, help, labelNames = []) {
  return new prometheus.Histogram({ name, help, labelNames, buckets: seconds });
}

const counter = (name, help, labelNames = []) => new prometheus.Counter({ name, help, labelNames });
const gauge = (name, help, labelNames = []) => new prometheus.Gauge({ name, help, labelNames });

// serve answers /metrics, and /healthz for liveness probes.
function serve(port, collect = () => prometheus.register.metrics(), healthy = () => true) {
  const server = http.createServer(async (req, res) => {
    try {
      if (req.url === '/healthz') return void res.writeHead(healthy() ? 200 : 503).end();
      if (req.url !== '/metrics') return void res.writeHead(404).end();
      res.setHeader('Content-Type', prometheus.register.contentType);
      res.end(await collect());
    } catch (error) {
      log.warn('metrics not collected', error);
      res.writeHead(503).end();
    }
  });
  return server.listen(port, process.env.LISTEN ?? '127.0.0.1');
}

module.exports = { histogram, counter, gauge, serve, AggregatorRegistry: prometheus.AggregatorRegistry };
