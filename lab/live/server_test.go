// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"os/exec"
	"testing"
	"time"
)

// Scenarios of servers other than node that are in trouble.

// redisKeys asks for every key of a million, once a second, beside light
// traffic.
func redisKeys(t *testing.T, l *lab) {
	r := l.redis(t)
	admin, light := dialRedis(t, r.addr), dialRedis(t, r.addr)
	must(t, admin.do(t.Context(), "DEBUG POPULATE 1000000"))
	fault := openLoop(t, 1, func(ctx context.Context) error { return admin.do(ctx, "KEYS *") })
	pings := openLoop(t, lightRate, func(ctx context.Context) error { return light.do(ctx, "PING") })
	fault.waitAnswers(t, 2)
	report := l.observe(t)
	pings.mustBeSlow(t, report, 50*time.Millisecond)
	f := report.find(t, blockedLoop, "on-cpu", pid(r.pid))
	if f.Subject.Name != "redis-server" {
		t.Errorf("name = %q, want redis-server: Debian's binary is a link to another name", f.Subject.Name)
	}
	report.nothingElse(t, about(blockedLoop, pid(r.pid)))
}

// asyncioSleep calls time.sleep in a coroutine.
func asyncioSleep(t *testing.T, l *lab) {
	app := startServer(t, exec.Command(need(t, python), programs+"/asyncio_server.py"))
	r := l.stalled(t, app, httpLoad(t, app.url("/sleep"), faultyRate))
	blockedIn(t, r, app, "nanosleep", "select")
}

// python is Debian's: what comes first in PATH may be a shell script.
const python = "/usr/bin/python3"

// hotThread keeps eight clients waiting for the one thread that works, beside
// an idle core.
func hotThread(t *testing.T, l *lab) {
	app := startServer(t, exec.Command(need(t, "java"), programs+"/HotThread.java"))
	const clients = 8
	client := newClient(clients)
	queue := openLoop(t, 200, func(ctx context.Context) error { return get(ctx, client, app.url("/")) })
	queue.waitAnswers(t, 100) // compiled by then
	before := cpuSeconds(t, app.pid)
	r := l.observe(t)
	share := (cpuSeconds(t, app.pid) - before) / r.ended.Sub(r.began).Seconds()
	if share < 0.8 || share > 1.15 {
		t.Fatalf("the scenario does not hold: the server used %.2f cores, want one thread's", share)
	}
	const bound = "single-thread-bound"
	f := r.find(t, bound, "one-hot-thread", pid(app.pid))
	f.recommends(t, "use-more-cores")
	f.mentions(t, "engine")
	r.nothingElse(t, about(bound, pid(app.pid)))
}
