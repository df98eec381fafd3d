// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/headroom-project/headroom/lab/traffic"
)

// redisBurn is a script that takes time in proportion to its argument.
const redisBurn = `EVAL "local x = 0 for i = 1, ARGV[1] do x = (x * 31 + i) %% 65536 end return x" 0 %d`

// redisAsks returns requests that use CPU time with a script, and block with
// DEBUG SLEEP.
func redisAsks(s site) (*asks, error) {
	conns, err := redisConnections(s)
	if err != nil {
		return nil, err
	}
	const probe = 2_000_000 // steps, about 50 ms
	var took time.Duration
	for range 2 { // the first one runs with cold caches
		began := time.Now()
		if err := conns.say(fmt.Sprintf(redisBurn, probe))(context.Background()); err != nil {
			conns.close()
			return nil, fmt.Errorf("calibrating the script: %w", err)
		}
		took = time.Since(began)
	}
	perMillisecond := probe / max(1, int(took.Milliseconds()))
	return &asks{
		light: conns.say("PING"),
		burn:  func(ms int) traffic.Ask { return conns.say(fmt.Sprintf(redisBurn, ms*perMillisecond)) },
		block: func(ms int) traffic.Ask { return conns.say(fmt.Sprintf("DEBUG SLEEP %g", float64(ms)/1000)) },
		close: conns.close,
	}, nil
}

// connections is a pool of open connections. Each sends one command at a time.
type connections chan *traffic.Redis

func redisConnections(s site) (connections, error) {
	conns := make(connections, 16)
	for range cap(conns) {
		c, err := traffic.DialRedis(s.addr())
		if err != nil {
			conns.close()
			return nil, err
		}
		conns <- c
	}
	return conns, nil
}

// say returns an Ask that sends a command on a free connection. A connection that
// failed is closed.
func (conns connections) say(command string) traffic.Ask {
	return func(ctx context.Context) error {
		select {
		case c := <-conns:
			err := c.Do(ctx, command)
			if err != nil {
				c.Close()
				return err
			}
			conns <- c
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close closes the connections that are free.
func (conns connections) close() {
	for {
		select {
		case c := <-conns:
			c.Close()
		default:
			return
		}
	}
}
