#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# redis-server that keeps nothing on disk, in a container: redis.sh SERVER PORT
echo "listening 127.0.0.1:$2"
exec "$1" --port "$2" --bind 127.0.0.1 --save '' --appendonly no --dir /tmp
