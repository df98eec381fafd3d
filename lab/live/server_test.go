// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/traffic"
)

// Scenarios of faults in servers other than node.

// redisKeys runs KEYS over a million keys once a second, in addition to light requests.
func redisKeys(t *testing.T, l *lab) {
	r := l.redis(t)
	admin, light := dialRedis(t, r.addr), dialRedis(t, r.addr)
	outside.Must(t, admin.Do(t.Context(), "DEBUG POPULATE 1000000"))
	fault := openLoop(t, 1, func(ctx context.Context) error { return admin.Do(ctx, "KEYS *") })
	pings := openLoop(t, lightRate, func(ctx context.Context) error { return light.Do(ctx, "PING") })
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

// twoThreads lets requests wait, unread, for the two threads of a server, each of which
// waits for an upstream.
func twoThreads(t *testing.T, l *lab) {
	upstream := startServer(t, exec.Command(need(t, python), programs+"/threads_server.py"))
	_, port, err := net.SplitHostPort(upstream.addr)
	outside.Must(t, err)
	app := startServer(t, exec.Command(python, programs+"/threads_server.py", port))
	load := httpLoad(t, app.url("/"), 3) // it can answer 1.3 a second
	load.waitAnswers(t, 2)
	r := l.observe(t)
	load.mustBeSlow(t, r, time.Second)
	f := r.find(t, requestsWaiting, "blocked-on-descriptor", pid(app.pid))
	f.recommends(t, "make-async")
	f.mentions(t, "recvfrom", "127.0.0.1:"+port)
	r.nothingElse(t, about(requestsWaiting, pid(app.pid)))
}

const requestsWaiting = "requests-waiting"

// python is Debian's: the first python3 in PATH can be a shell script.
const python = "/usr/bin/python3"

const threadBound = "single-thread-bound"

// hotEngine queues in memory: the thread of each connection waits for the engine. A
// request that is read within 4 ms after the previous answer cannot be distinguished
// from an answered one. The queue is therefore unknown, and the severity is info.
func hotEngine(t *testing.T, l *lab) { l.hotThread(t, "engine", false, (*report).note) }

// hotAcceptor queues in the listener's backlog, which is counted.
func hotAcceptor(t *testing.T, l *lab) { l.hotThread(t, "acceptor", true, (*report).find) }

// hotThread keeps eight clients waiting for a single busy thread, while a core is
// idle.
func (l *lab) hotThread(t *testing.T, name string, reconnect bool, look func(*report, *testing.T, string, string, who) *finding) {
	t.Helper()
	app := startServer(t, exec.Command(need(t, "java"), programs+"/HotThread.java", name))
	const clients = 8
	client := traffic.NewClient(clients)
	client.Transport.(*http.Transport).DisableKeepAlives = reconnect
	queue := openLoop(t, 200, func(ctx context.Context) error { return traffic.Get(ctx, client, app.url("/")) })
	queue.waitAnswers(t, 200) // until the code is compiled
	before := cpuSeconds(t, app.pid)
	r := l.observe(t)
	share := (cpuSeconds(t, app.pid) - before) / r.ended.Sub(r.began).Seconds()
	if share < 0.8 || share > 1.15 {
		t.Fatalf("the scenario does not hold: the server used %.2f cores, want one thread's", share)
	}
	f := look(r, t, threadBound, "one-hot-thread", pid(app.pid))
	f.recommends(t, "use-more-cores")
	f.mentions(t, name)
	r.nothingElse(t, about(threadBound, pid(app.pid)))
}
