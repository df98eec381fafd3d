// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Scenarios of descriptors that run out, accept queues that overflow and connections
// that are never closed, and similar conditions without a fault.

const (
	fdExhaustion  = "fd-exhaustion"
	acceptQueue   = "accept-queue-overflow"
	closeWaitLeak = "close-wait-leak"
)

// connectionsServer starts `node connections.js` with that many descriptors:
// node raises its soft limit to the hard one when it starts.
func (l *lab) connectionsServer(t *testing.T, limit int, env ...string) *process {
	t.Helper()
	node, prlimit := need(t, "node"), need(t, "prlimit")
	app := filepath.Join(l.dir, l.scenario, "app")
	outside.Must(t, os.MkdirAll(app, 0o755))
	copyFile(t, programs+"/connections.js", app)
	cmd := exec.Command(prlimit, fmt.Sprintf("--nofile=%d:%d", limit, limit), node, "connections.js")
	cmd.Dir = app
	cmd.Env = append(os.Environ(), env...)
	return startServer(t, cmd)
}

// asyncioServer starts a Python server, which keeps its soft limit.
func asyncioServer(t *testing.T, soft, hard int) *process {
	t.Helper()
	return startServer(t, exec.Command(need(t, "prlimit"), fmt.Sprintf("--nofile=%d:%d", soft, hard),
		need(t, python), programs+"/asyncio_server.py"))
}

// fdLeak leaks four files a second and is observed long before the limit.
func fdLeak(t *testing.T, l *lab) {
	const limit, perSecond = 1024, 4
	app := l.connectionsServer(t, limit)
	fault := httpLoad(t, app.url("/leak"), 20*perSecond)
	outside.Eventually(t, startLimit, "70 descriptors", func() bool { return descriptors(t, app.pid) >= 70 })
	fault.Stop()
	httpLoad(t, app.url("/leak"), perSecond)
	httpLoad(t, app.url("/ok"), lightRate)
	time.Sleep(2 * time.Second) // until the connections of both are open
	l.meet()
	before := descriptors(t, app.pid)
	r := l.observe(t)
	now := descriptors(t, app.pid)
	if gained := now - before; gained < 30 || gained > 60 {
		t.Fatalf("the scenario does not hold: %d descriptors gained", gained)
	}
	f := r.find(t, fdExhaustion, "leak", pid(app.pid))
	f.recommends(t, "fix-leak").quantity(t, 0.7*perSecond*3600, 1.4*perSecond*3600)
	f.mentions(t, "files")
	end := float64(limit-now) / perSecond
	if f.Forecast == nil || f.Forecast.At < 0.7*end || f.Forecast.At > 1.4*end {
		t.Errorf("forecast = %+v, the end is %.0f s away: %s", f.Forecast, end, f)
	}
	r.nothingElse(t, about(fdExhaustion, pid(app.pid)))
}

// fdLeakAtLimit observes a server at its limit: libuv accepts each connection with a
// descriptor that it reserves for that, and closes it immediately.
func fdLeakAtLimit(t *testing.T, l *lab) {
	const limit = 128
	app := l.connectionsServer(t, limit)
	leak := httpLoad(t, app.url("/leak"), 100)
	outside.Eventually(t, startLimit, "a refusal", func() bool { return leak.Failed.Load() > 0 })
	leak.Stop()
	holders := newCrowd(t, app.addr) // take the descriptors that closed connections released
	holders.ask = false
	holders.join(16)
	refused := openLoop(t, lightRate, once(app.url("/ok")))
	r := l.observe(t)
	if sent, failed := refused.Sent.Load(), refused.Failed.Load(); failed < sent/2 {
		t.Fatalf("the scenario does not hold: %d of %d requests failed", failed, sent)
	}
	f := r.find(t, fdExhaustion, "leak", pid(app.pid))
	if f.Severity != "critical" {
		t.Errorf("severity = %s, want critical: clients are refused: %s", f.Severity, f)
	}
	f.recommends(t, "fix-leak")
	f.mentions(t, "files")
	r.nothingElse(t, about(fdExhaustion, pid(app.pid)))
}

// connectionsRamp is a load that opens more and more connections, and would take
// hours to reach the limit: not a leak.
func connectionsRamp(t *testing.T, l *lab) {
	app := l.connectionsServer(t, 8192)
	clients := newCrowd(t, app.addr)
	clients.join(60)
	clients.ramp(t, 20)
	l.meet()
	before := descriptors(t, app.pid)
	r := l.observe(t)
	if gained := descriptors(t, app.pid) - before; gained < 150 {
		t.Fatalf("the scenario does not hold: %d descriptors gained", gained)
	}
	r.nothingElse(t)
}

// connectionsNearLimit is the same with limits that are close: a default limit, and
// one that was set explicitly. Neither is a leak.
func connectionsNearLimit(t *testing.T, l *lab) {
	low, chosen := asyncioServer(t, 256, 4096), asyncioServer(t, 256, 256)
	var crowds []*crowd
	for _, app := range []*process{low, chosen} {
		clients := newCrowd(t, app.addr)
		clients.join(180)
		crowds = append(crowds, clients)
	}
	l.meet()
	for _, clients := range crowds {
		clients.ramp(t, 3)
	}
	r := l.observe(t)
	for _, app := range []*process{low, chosen} {
		if n := descriptors(t, app.pid); n < 206 || n > 250 {
			t.Fatalf("the scenario does not hold: %d descriptors of 256", n)
		}
	}
	r.find(t, fdExhaustion, "limit-too-low", pid(low.pid)).recommends(t, "raise-fd-limit").quantity(t, 512, 512)
	r.find(t, fdExhaustion, "load", pid(chosen.pid)).recommends(t, "raise-fd-limit").quantity(t, 512, 512)
	r.nothingElse(t, about(fdExhaustion, pid(low.pid, chosen.pid)))
}

// connectionsPool opens 200 connections at once, uses them, and closes all of them
// near the end, as a deployment of the client does.
func connectionsPool(t *testing.T, l *lab) {
	app := l.connectionsServer(t, 4096)
	warm(t, app)
	pool := newCrowd(t, app.addr)
	l.meet()
	began := time.AfterFunc(4*time.Second, func() { pool.join(200) })
	ended := time.AfterFunc(9*time.Second, pool.leave)
	defer began.Stop()
	defer ended.Stop()
	httpLoad(t, app.url("/ok"), lightRate)
	r := l.observe(t)
	if pool.err != nil {
		t.Fatalf("the scenario does not hold: %v", pool.err)
	}
	r.nothingElse(t)
}

// burstsInto connects fifty clients at once, twice a second, to an accept queue of
// two, which the server empties quickly.
func (l *lab) burstsInto(t *testing.T) *process {
	t.Helper()
	app := l.connectionsServer(t, 4096, "BACKLOG=2")
	warm(t, app)
	every(t, 500*time.Millisecond, func() {
		burst := &crowd{addr: app.addr}
		burst.join(50)
		burst.leave()
	})
	return app
}

func backlogBursts(t *testing.T, l *lab) {
	app := l.burstsInto(t)
	f := l.overflows(t, "backlog-too-small", app)
	f.recommends(t, "raise-backlog").quantity(t, 6, 400)
	if f.SymptomOf != nil {
		t.Errorf("a short queue is not a symptom of another finding: %s", f)
	}
}

// slowAccept sends three times as many requests as the server can answer. The server
// handles one connection at a time.
func slowAccept(t *testing.T, l *lab) {
	app := startServer(t, exec.Command(need(t, python), programs+"/one_at_a_time.py"))
	openLoop(t, 30, once(app.url("/")))
	time.Sleep(2 * time.Second) // until its queue is full
	f := l.overflows(t, "slow-accept", app)
	f.recommends(t, "add-processes")
	if f.SymptomOf != nil {
		t.Errorf("the finding must not be a symptom of another one: %s", f)
	}
}

// overflows observes, and compares the reported drops with the kernel's count for
// the whole host.
func (l *lab) overflows(t *testing.T, cause string, app *process, also ...func(*finding) bool) *finding {
	t.Helper()
	l.meet()
	before := listenDrops(t)
	r := l.observe(t)
	dropped := listenDrops(t) - before
	if dropped < 10 {
		t.Fatalf("the scenario does not hold: the host dropped %d connections", dropped)
	}
	f := r.find(t, acceptQueue, cause, pid(app.pid))
	if f.Subject.Kind != "listener" || f.Subject.Address != app.addr {
		t.Errorf("subject = %s at %q, want the listener %s", f.Subject, f.Subject.Address, app.addr)
	}
	counted := f.value(t, "headroom.listener.dropped", "dropped")
	// The socket counts a dropped final packet of a handshake twice, the host once.
	if counted < 0.5*float64(dropped) || counted > 2*float64(dropped) {
		t.Errorf("%.0f connections were dropped by the socket, the host counted %d: %s", counted, dropped, f)
	}
	r.nothingElse(t, append(also, about(acceptQueue, pid(app.pid)))...)
	return f
}

// value returns a number of the evidence.
func (f *finding) value(t *testing.T, metric, label string) float64 {
	t.Helper()
	for _, e := range f.Evidence {
		if e.Metric == metric && e.Label == label {
			return e.Value
		}
	}
	t.Errorf("no %s %s in the evidence: %s", metric, label, f)
	return 0
}

// blockedAccept blocks the event loop for 300 ms twice a second while sixty clients
// a second connect to a queue of eight.
func blockedAccept(t *testing.T, l *lab) {
	app := l.connectionsServer(t, 4096, "BACKLOG=8")
	fault := httpLoad(t, app.url("/burn"), faultyRate)
	openLoop(t, 60, once(app.url("/ok")))
	fault.waitAnswers(t, 2)
	f := l.overflows(t, "slow-accept", app, about(blockedLoop, pid(app.pid)))
	f.explainedBy(t, blockedLoop)
}

// closeWait runs clients that close connections which the server never closes.
func closeWait(t *testing.T, l *lab) {
	const limit, perSecond = 512, 5
	app := l.connectionsServer(t, limit, "HALF_OPEN=1")
	leaver := func() {
		c := &crowd{addr: app.addr}
		c.one()
		c.leave()
	}
	for range 70 {
		leaver()
	}
	every(t, time.Second/perSecond, leaver)
	time.Sleep(time.Second)
	r := l.observe(t)
	if n := tcpStates(t, app.addr)[tcpCloseWait]; n < 100 {
		t.Fatalf("the scenario does not hold: %d connections in CLOSE_WAIT", n)
	}
	f := r.find(t, closeWaitLeak, "not-closed", pid(app.pid))
	f.recommends(t, "fix-leak").quantity(t, 0.6*perSecond*3600, 1.2*perSecond*3600)
	r.find(t, fdExhaustion, "leak", pid(app.pid)).explainedBy(t, closeWaitLeak)
	r.nothingElse(t, about(closeWaitLeak, pid(app.pid)), about(fdExhaustion, pid(app.pid)))
}
