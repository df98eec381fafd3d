// SPDX-License-Identifier: Apache-2.0

package functions

import (
	"net/http"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/bpf/tick"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	// costTime is how long each server computes while captures are measured.
	costTime = 4 * time.Second
	// noCapture is longer than the program on the clock takes if it captures nothing.
	noCapture = 4 * time.Microsecond
	// onClock is the name of that program.
	onClock = "on_clock"
)

// BenchmarkCapture reports how long captures take, by the kernel's statistics of the
// program, of a stack of 40 calls of one function of Node.js and of CPython.
func BenchmarkCapture(b *testing.B) {
	counting, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	outside.Must(b, err)
	defer counting.Close() //nolint:errcheck // the kernel stops counting in any case
	p, err := tick.Open(tick.Options{})
	outside.Must(b, err)
	defer p.Close() //nolint:errcheck // the benchmark has ended
	b.Run("node", func(b *testing.B) {
		node, err := exec.LookPath("node")
		outside.Must(b, err)
		pid, address := serve(b, node, map[string]string{"functions.js": "functions.js", "slow.js": "node_modules/slow/index.js"})
		outside.Must(b, p.WatchV8(uint32(pid), v8Layout(b, pid)))
		for range b.N {
			reportCost(b, p, address)
		}
	})
	b.Run("python", func(b *testing.B) {
		python, err := exec.LookPath("python3")
		outside.Must(b, err)
		pid, address := serve(b, python, map[string]string{"functions.py": "functions.py", "slow.py": "site-packages/slow.py"})
		outside.Must(b, p.WatchPython(uint32(pid), pythonLayout(b, pid)))
		for range b.N {
			reportCost(b, p, address)
		}
	})
}

// BenchmarkBusy reports the part of a core that the program on the clock takes while a loop
// of Node.js on each of two cores is busy with short requests.
func BenchmarkBusy(b *testing.B) {
	counting, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	outside.Must(b, err)
	defer counting.Close() //nolint:errcheck // the kernel stops counting in any case
	p, err := tick.Open(tick.Options{})
	outside.Must(b, err)
	defer p.Close() //nolint:errcheck // the benchmark has ended
	node, err := exec.LookPath("node")
	outside.Must(b, err)
	const loops = 2
	stop, errs := make(chan struct{}), make(chan error)
	for range loops {
		pid, address := serve(b, node, map[string]string{"requests.js": "functions.js"})
		outside.Must(b, p.WatchV8(uint32(pid), v8Layout(b, pid)))
		go func() { errs <- requests(address, stop) }()
	}
	time.Sleep(3 * time.Second) // until they are busy
	for range b.N {
		runs, spent := usage(p)
		start := time.Now()
		time.Sleep(costTime)
		r, s := usage(p)
		b.ReportMetric(float64(s-spent)/float64(time.Since(start)), "cores")
		b.ReportMetric(float64((s-spent).Nanoseconds())/float64(r-runs), "ns/run")
	}
	close(stop)
	for range loops {
		outside.Must(b, <-errs)
	}
}

// reportCost reports the runs of the program that took long enough for a capture.
func reportCost(b *testing.B, p *tick.Probe, address string) {
	b.Helper()
	end := time.Now().Add(costTime)
	stopped := make(chan error)
	go func() {
		var err error
		for time.Now().Before(end) && err == nil {
			var answer *http.Response
			if answer, err = http.Get(address + "/recursive"); err == nil {
				err = answer.Body.Close()
			}
		}
		stopped <- err
	}()
	var took []time.Duration
	runs, spent := usage(p)
	for time.Now().Before(end) {
		time.Sleep(time.Millisecond)
		r, s := usage(p)
		if one := s - spent; r == runs+1 && one > noCapture {
			took = append(took, one)
		}
		runs, spent = r, s
	}
	outside.Must(b, <-stopped)
	slices.Sort(took)
	if len(took) == 0 {
		b.Fatal("no capture was measured")
	}
	b.ReportMetric(float64(len(took)), "captures")
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "ns/median")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "ns/p99")
}

func usage(p *tick.Probe) (runs uint64, spent time.Duration) {
	for _, u := range p.Usage() {
		if u.Name == onClock {
			return u.Runs, u.Time
		}
	}
	return 0, 0
}
