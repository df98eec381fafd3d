// SPDX-License-Identifier: Apache-2.0
// The shop's API: a cluster of processes that share one port.
'use strict';

const cluster = require('node:cluster');

require(cluster.isPrimary ? './primary' : './process');
