// SPDX-License-Identifier: Apache-2.0

package functions

import (
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/bpf/tick"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	// enoughHits is the number of hits of the clock that the samples of TestBusy stand for:
	// a thread that never waits has as many in 15 seconds. Of 375 samples, 60 % are within 8
	// points (99.8 %) of their share of the time.
	enoughHits = 1500
	// busyLimit is how long the requests come at most, one after the other. Beside other
	// tests a thread is not busy in each second.
	busyLimit = 2 * time.Minute
	// tolerance is how far a share of the samples may be from that of the work. The server
	// itself takes a tenth of the time.
	tolerance = 0.15
)

// work has the functions of the servers, with their shares of the work of a request.
var work = map[string]float64{"render": 0.6, "sortRows": 0.3, "digest": 0.1}

// TestBusy checks the shares of functions of short requests that keep a thread busy: that of
// a loop of Node.js and of CPython, and one of CPython that runs no loop.
func TestBusy(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("eBPF needs root")
	}
	p, err := tick.Open(tick.Options{})
	outside.Must(t, err)
	defer p.Close()
	for _, node := range interpreters(t, "HEADROOM_NODES", "node") {
		t.Run(version(t, node), func(t *testing.T) {
			pid, address := serve(t, node, map[string]string{"requests.js": "functions.js"})
			outside.Must(t, p.WatchV8(uint32(pid), v8Layout(t, pid)))
			b := &busy{T: t, probe: p, pid: pid, file: "/functions.js"}
			b.check(address)
		})
	}
	for _, python := range interpreters(t, "HEADROOM_PYTHONS", "python3") {
		for _, kind := range []string{"loop", "thread"} {
			t.Run(version(t, python)+" "+kind, func(t *testing.T) {
				pid, address := serve(t, python, map[string]string{"requests.py": "functions.py"}, kind)
				outside.Must(t, p.WatchPython(uint32(pid), pythonLayout(t, pid)))
				b := &busy{T: t, probe: p, pid: pid, file: "/functions.py"}
				b.check(address)
			})
		}
	}
}

// A busy test counts the hits of the clock for which samples stand, by function.
type busy struct {
	*testing.T
	probe     *tick.Probe
	pid       int
	file      string
	all       float64
	functions map[string]float64
}

func (b *busy) check(address string) {
	b.Helper()
	b.functions = make(map[string]float64)
	stop, err := make(chan struct{}), make(chan error)
	go func() { err <- requests(address, stop) }()
	for start := time.Now(); b.all < enoughHits && time.Since(start) < busyLimit; time.Sleep(100 * time.Millisecond) {
		outside.Must(b.T, b.probe.ReadStacks(b.sample))
	}
	close(stop)
	outside.Must(b.T, <-err)
	b.Logf("samples that stand for %v hits: %v", b.all, b.functions)
	if b.all < enoughHits {
		b.Fatalf("samples stand for %v hits of the clock, want %d", b.all, enoughHits)
	}
	for name, want := range work {
		if got := b.functions[name] / b.all; math.Abs(got-want) > tolerance {
			b.Errorf("%s has %.2f of the samples, want %.2f", name, got, want)
		}
	}
}

// sample counts a stack by its innermost function of work, sortRows also with its callback.
func (b *busy) sample(s *tick.Stack) {
	if int(s.Tgid) != b.pid || s.StandsFor == 0 {
		return
	}
	b.all += float64(s.StandsFor)
	own := slices.DeleteFunc(slices.Clone(s.Functions), func(f tick.Function) bool { return !strings.HasSuffix(f.File, b.file) })
	for _, f := range own {
		name := strings.ReplaceAll(strings.TrimSuffix(f.Name, ".<locals>.<lambda>"), "sort_rows", "sortRows")
		if _, known := work[name]; known {
			b.functions[name] += float64(s.StandsFor)
			return
		}
		if !slices.Contains(frame, name) {
			b.Errorf("a sample names %q: %+v", name, s.Functions)
		}
	}
}

// frame has the functions of the servers around those that work, and the callback of sort.
var frame = []string{"", "serve", "work", "end", "<module>", "main", "one_after_the_other"}

// requests sends one request after the other until stop is closed.
func requests(address string, stop chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		answer, err := http.Get(address)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answer.Body) // so that the connection is used again
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return err
		}
	}
}

// interpreters are those that an environment variable lists, or that which is installed.
func interpreters(t *testing.T, variable, name string) []string {
	t.Helper()
	if list := os.Getenv(variable); list != "" {
		return strings.Split(list, ":")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	return []string{path}
}
