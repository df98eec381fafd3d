// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/compile"
	"github.com/headroom-project/headroom/lab/traffic"
)

// Healthy scenarios, some of them similar to faults. There must be no finding at
// warning or above.

// repeated observes HEADROOM_HEALTHY_RUNS times.
func (l *lab) repeated(t *testing.T) {
	t.Helper()
	runs := 1
	if text := os.Getenv("HEADROOM_HEALTHY_RUNS"); text != "" {
		n, err := strconv.Atoi(text)
		outside.Must(t, err)
		runs = n
	}
	for n := range runs {
		part := ""
		if n > 0 {
			part = strconv.Itoa(n + 1)
		}
		l.observeAs(t, part).nothingElse(t)
	}
}

func idle(t *testing.T, l *lab) { l.repeated(t) }

// expressHealthy runs a server at 30% of its capacity.
func expressHealthy(t *testing.T, l *lab) {
	app := l.node(t, nil)
	closedLoop(t, app.url("/ok"), 16, 2*time.Second) // until the code is compiled
	capacity := closedLoop(t, app.url("/ok"), 16, 3*time.Second)
	load := httpLoad(t, app.url("/ok"), 0.3*capacity)
	load.waitAnswers(t, int(0.3*capacity))
	t.Logf("capacity %.0f requests/s, load %.0f", capacity, 0.3*capacity)
	l.repeated(t)
}

// spinningWorker keeps a core busy in a worker thread; the event loop is free.
func spinningWorker(t *testing.T, l *lab) {
	app := l.node(t, nil)
	outside.Must(t, traffic.Get(t.Context(), traffic.NewClient(1), app.url("/spin")))
	load := httpLoad(t, app.url("/ok"), 100)
	load.waitAnswers(t, 100)
	before := cpuSeconds(t, app.pid)
	r := l.observe(t)
	if spent := cpuSeconds(t, app.pid) - before; spent < 0.7*observeFor.Seconds() {
		t.Fatalf("the scenario does not hold: %.1f s of CPU in %v", spent, observeFor)
	}
	r.nothingElse(t)
}

// oneShotScript keeps its event loop busy all the time, and has no clients. There must
// be no finding of any severity about it.
func oneShotScript(t *testing.T, l *lab) {
	script := start(t, exec.Command(need(t, "node"), programs+"/script.js"))
	before := cpuSeconds(t, script.pid)
	r := l.observe(t)
	if spent := cpuSeconds(t, script.pid) - before; spent < 0.5*observeFor.Seconds() {
		t.Fatalf("the scenario does not hold: %.1f s of CPU in %v", spent, observeFor)
	}
	for _, f := range r.Findings {
		if f.Subject.PID == script.pid {
			t.Errorf("a finding about a script that listens to nothing: %s", &f)
		}
	}
	r.nothingElse(t)
}

// workInWorkers does the work of js-burn in worker threads, which is the fix.
func workInWorkers(t *testing.T, l *lab) {
	app := l.node(t, nil)
	fault := httpLoad(t, app.url("/burn-in-worker?ms=200"), faultyRate)
	httpLoad(t, app.url("/ok"), lightRate)
	fault.waitAnswers(t, 3)
	l.observe(t).nothingElse(t)
}

func jvmLoad(t *testing.T, l *lab) {
	app := startServer(t, exec.Command(need(t, "java"), programs+"/Busy.java"))
	l.busy(t, app.pid, 0.6, traffic.HTTP(app.url("/")))
}

func goLoad(t *testing.T, l *lab) {
	server := filepath.Join(l.dir, "goserver")
	compile.Program(t, compile.Lab, "./programs", server)
	app := startServer(t, exec.Command(server))
	l.busy(t, app.pid, 0.8, traffic.HTTP(app.url("/")))
}

// nginxBusy runs one worker that compresses and uses 80% of a core.
func nginxBusy(t *testing.T, l *lab) {
	master := l.nginx(t)
	workers := children(t, master.pid)
	if len(workers) != 1 {
		t.Fatalf("nginx has workers %v, want one", workers)
	}
	l.busy(t, workers[0], 0.8, traffic.HTTP(master.url("/prices.txt")))
}

// redisBusy sorts a list and uses 80% of a core.
func redisBusy(t *testing.T, l *lab) {
	r := l.redis(t)
	const conns = 8
	clients := make(chan *traffic.Redis, conns)
	for range conns {
		clients <- dialRedis(t, r.addr)
	}
	fill := <-clients
	for range 10 { // a command line holds 64 kB
		outside.Must(t, fill.Do(t.Context(), "RPUSH prices "+strings.Join(numbers(1000), " ")))
	}
	clients <- fill
	l.busy(t, r.pid, 0.8, func(ctx context.Context) error {
		c := <-clients
		defer func() { clients <- c }()
		return c.Do(ctx, "SORT prices LIMIT 0 1")
	})
}

// numbers returns n numbers that are not sorted.
func numbers(n int) []string {
	var out []string
	for i := range n {
		out = append(out, strconv.Itoa(i*7919%n))
	}
	return out
}

// nginx starts a master with one worker and a compressible text.
func (l *lab) nginx(t *testing.T) *process {
	t.Helper()
	dir := filepath.Join(l.dir, l.scenario)
	outside.Must(t, os.MkdirAll(dir+"/www", 0o755))
	text := strings.Join(numbers(5000), ",")
	outside.Must(t, os.WriteFile(dir+"/www/prices.txt", []byte(text), 0o644))
	conf, err := os.ReadFile(programs + "/nginx.conf")
	outside.Must(t, err)
	port := strconv.Itoa(outside.FreePort(t))
	filled := strings.NewReplacer("@PORT@", port, "@DIR@", dir).Replace(string(conf))
	outside.Must(t, os.WriteFile(dir+"/nginx.conf", []byte(filled), 0o644))
	p := start(t, exec.Command(need(t, "nginx"), "-p", dir, "-c", dir+"/nginx.conf"))
	waitPort(t, p, "127.0.0.1:"+port)
	return p
}

// busy finds the request rate at which a process uses a share of a core, keeps that
// rate, and observes: there must be no finding about it.
func (l *lab) busy(t *testing.T, server int, share float64, ask func(context.Context) error) {
	t.Helper()
	// If the CPU time that the hypervisor gives this host changed, the server is not
	// as busy as it should be: settle it again.
	const tries, near = 3, 0.07
	for _, part := range [tries]string{"", "again", "once-more"} {
		r, used := l.busyOnce(t, part, server, share, ask)
		if math.Abs(used-share) <= near {
			r.nothingElse(t)
			return
		}
	}
	t.Fatalf("the scenario does not hold: %d times not %.2f cores", tries, share)
}

// busyOnce observes a server after settle, and returns how many cores it used.
func (l *lab) busyOnce(t *testing.T, part string, server int, share float64, ask func(context.Context) error) (*report, float64) {
	t.Helper()
	rate := settle(t, server, share, ask)
	load := openLoop(t, rate, ask)
	defer load.Stop()
	load.waitAnswers(t, int(rate))
	before, since := cpuSeconds(t, server), time.Now()
	r := l.observeAs(t, part)
	used := (cpuSeconds(t, server) - before) / time.Since(since).Seconds()
	t.Logf("%.0f requests/s, %.2f cores", rate, used)
	failed, dropped, sent := load.Failed.Load(), load.Dropped.Load(), load.Sent.Load()
	if failed > 0 {
		t.Fatalf("the scenario does not hold: %d of %d requests failed", failed, sent)
	}
	if dropped > sent/10 {
		t.Logf("%d of %d requests found no connection: the server is slower than when its rate was settled", dropped, sent)
		used = 1
	}
	return r, used
}

// settle approaches the rate from below, so that no queue builds up, until it holds
// for two rounds: then the server is warm and its code compiled.
func settle(t *testing.T, server int, share float64, ask func(context.Context) error) float64 {
	t.Helper()
	const (
		firstRate = 50
		growth    = 4 // at most, from one round to the next
		round     = 2 * time.Second
		rounds    = 12
		near      = 0.05
	)
	rate := float64(firstRate)
	for row, n := 0, 0; n < rounds && row < 2; n++ {
		load := openLoop(t, rate, ask)
		before, since := cpuSeconds(t, server), time.Now()
		traffic.SleepUntil(t.Context(), since.Add(round))
		used := (cpuSeconds(t, server) - before) / time.Since(since).Seconds()
		load.Stop()
		row++
		if math.Abs(used-share) > near {
			row = 0
			rate *= min(share/max(used, share/growth), growth)
		}
	}
	return rate
}
