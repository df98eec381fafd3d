#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs redis-server without persistence in a container: redis.sh SERVER PORT
echo "listening 127.0.0.1:$2"
exec "$1" --port "$2" --bind 127.0.0.1 --save '' --appendonly no --dir /tmp
