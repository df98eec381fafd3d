// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/traffic"
)

// Scenarios of an event loop that stalls: each runs `node server.js`, which answers
// twenty light requests a second in addition to the route that blocks it.

const (
	// stall is how long each faulty request blocks the event loop.
	stall = 200 * time.Millisecond
	// lightRate is the rate of light requests, which are delayed.
	lightRate = 20
	// faultyRate keeps the loop blocked for 40% of the time.
	faultyRate = 2
)

const blockedLoop = "event-loop-blocked"

// stalled runs the fault and the light requests until the stalls show, and then
// observes.
func (l *lab) stalled(t *testing.T, app *process, fault *load) *report {
	t.Helper()
	light := httpLoad(t, app.url("/ok"), lightRate)
	fault.waitAnswers(t, 2)
	r := l.observe(t)
	light.mustBeSlow(t, r, stall/2)
	return r
}

func jsBurn(t *testing.T, l *lab) {
	app := l.node(t, nil)
	r := l.stalled(t, app, httpLoad(t, app.url("/burn?ms=200"), faultyRate))
	f := r.find(t, blockedLoop, "on-cpu", pid(app.pid))
	// The work takes 40% of a core: one or two threads suffice.
	f.recommends(t, "move-to-worker-threads").quantity(t, 1, 2)
	f.plausible(t)
	r.nothingElse(t, about(blockedLoop, pid(app.pid)))
}

func execSync(t *testing.T, l *lab) {
	app := l.node(t, nil)
	r := l.stalled(t, app, httpLoad(t, app.url("/exec?ms=200"), faultyRate))
	// spawnSync runs a second libuv loop, on another epoll descriptor, until
	// the child has exited.
	blockedIn(t, r, app, "epoll_wait", "epoll_pwait", "wait4", "poll")
}

func atomicsWait(t *testing.T, l *lab) {
	app := l.node(t, nil)
	r := l.stalled(t, app, httpLoad(t, app.url("/wait?ms=200"), faultyRate))
	blockedIn(t, r, app, "futex")
}

func fifo(t *testing.T, l *lab) {
	path := filepath.Join(l.dir, l.scenario+".fifo")
	outside.Must(t, syscall.Mkfifo(path, 0o644))
	app := l.node(t, []string{"FIFO=" + path})
	client := traffic.NewClient(1)
	fault := openLoop(t, faultyRate, func(ctx context.Context) error {
		written := make(chan error, 1)
		go func() { written <- writeLater(path, stall) }()
		err := traffic.Get(ctx, client, app.url("/fifo"))
		if werr := <-written; err == nil {
			err = werr
		}
		return err
	})
	blockedIn(t, l.stalled(t, app, fault), app, "open", "read")
}

// writeLater opens a fifo for writing after its reader has waited that long. It does
// not wait for a reader that has exited.
func writeLater(path string, wait time.Duration) error {
	time.Sleep(wait)
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("late\n")
	return err
}

func blockedIn(t *testing.T, r *report, app *process, syscalls ...string) {
	t.Helper()
	f := r.find(t, blockedLoop, "blocking-call", pid(app.pid))
	f.recommends(t, "make-async")
	f.mentions(t, syscalls...)
	f.plausible(t)
	r.nothingElse(t, about(blockedLoop, pid(app.pid)))
}

// plausible compares the lag of the finding with the scenario: requests of 200 ms,
// two of which can arrive together.
func (f *finding) plausible(t *testing.T) {
	t.Helper()
	for _, e := range f.Evidence {
		if e.Metric == "headroom.loop.lag" && e.Label == "p99" {
			if e.Value < stall.Seconds()/2 || e.Value > 5*stall.Seconds() {
				t.Errorf("p99 of the lag is %.3f s with stalls of %v: %s", e.Value, stall, f)
			}
			return
		}
	}
	t.Errorf("no p99 of headroom.loop.lag in the evidence %+v: %s", f.Evidence, f)
}

// hangFor is longer than the observation and the steps before it.
const hangFor = 16 * time.Second

// hang observes an event loop in a tick that starts before the observation and ends
// after it. Two other event loops are healthy and must have no finding: they are
// stopped from outside, one with a signal and one with a freezer, as with docker pause.
func hang(t *testing.T, l *lab) {
	l.frozenNode(t)
	l.stoppedNode(t)
	app := l.node(t, nil)
	warm(t, app)
	began := time.Now()
	asyncGet(t, app.url("/hang?s=16"))
	traffic.SleepUntil(t.Context(), began.Add(2*time.Second))
	r := l.observe(t)
	hangSeen(t, r, app, began)
}

// frozenNode starts a server and freezes it in the middle of a tick.
func (l *lab) frozenNode(t *testing.T) {
	t.Helper()
	g := newGroup(t, "headroom-lab-"+l.scenario, nil, cgroups.Unified)
	app := l.busyNode(t)
	outside.Must(t, g.Add(app.pid))
	outside.Must(t, g.Freeze())
}

// stoppedNode starts a server and stops it in the middle of a tick, as a debugger does.
func (l *lab) stoppedNode(t *testing.T) {
	t.Helper()
	outside.Must(t, syscall.Kill(l.busyNode(t).pid, syscall.SIGSTOP))
}

// busyNode starts a server and a long tick in it.
func (l *lab) busyNode(t *testing.T) *process {
	t.Helper()
	app := l.node(t, nil)
	warm(t, app)
	asyncGet(t, app.url("/hang?s=16"))
	time.Sleep(stall)
	return app
}

// hangBegins observes an event loop that is healthy at first and hangs from the
// fourth second until after the end.
func hangBegins(t *testing.T, l *lab) {
	app := l.node(t, nil)
	warm(t, app)
	light := httpLoad(t, app.url("/ok"), lightRate)
	light.waitAnswers(t, lightRate)
	began := time.Now().Add(4 * time.Second)
	timer := time.AfterFunc(time.Until(began), func() { asyncGet(t, app.url("/hang?s=16")) })
	defer timer.Stop()
	r := l.observe(t)
	hangSeen(t, r, app, began)
}

func hangSeen(t *testing.T, r *report, app *process, began time.Time) {
	t.Helper()
	if r.ended.After(began.Add(hangFor)) {
		t.Fatalf("the scenario does not hold: the report came %v after the hang began", r.ended.Sub(began))
	}
	r.find(t, blockedLoop, "on-cpu", pid(app.pid))
	r.nothingElse(t, about(blockedLoop, pid(app.pid)))
}

// warm waits until a server has answered.
func warm(t *testing.T, app *process) {
	t.Helper()
	client := traffic.NewClient(1)
	outside.Eventually(t, startLimit, "an answer of "+app.addr, func() bool {
		return traffic.Get(t.Context(), client, app.url("/ok")) == nil
	})
}

// asyncGet sends a request and does not wait for the answer.
func asyncGet(t *testing.T, url string) {
	go traffic.Get(t.Context(), traffic.NewClient(1), url)
}
