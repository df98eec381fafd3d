// SPDX-License-Identifier: Apache-2.0

package functions

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/headroom-project/headroom/bpf/tick"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// fills is how many ticks of 150 ms TestCollector samples: 600 samples, of which a half is
// within 4 points of its share.
const fills = 40

// pauseTolerance is how far the share of samples may be below that of the pauses; twice that
// above.
const pauseTolerance = 0.10

// TestCollector compares the share of samples in which V8 collects garbage with the time of
// the pauses that Node.js measures.
func TestCollector(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("eBPF needs root")
	}
	p, err := tick.Open(tick.Options{})
	outside.Must(t, err)
	defer p.Close()
	for _, node := range interpreters(t, "HEADROOM_NODES", "node") {
		t.Run(version(t, node), func(t *testing.T) {
			pid, address := serve(t, node+" --single-threaded-gc", map[string]string{"collect.js": "functions.js"})
			outside.Must(t, p.WatchV8(uint32(pid), v8Layout(t, pid)))
			for _, path := range []string{"/spin", "/fill"} {
				c := collector{probe: p, pid: uint32(pid), address: address}
				got, want := c.shares(t, path)
				t.Logf("%s: the collector runs in %.2f of the samples, and %.2f of the time", path, got, want)
				// Node.js measures from the prologue of a collection to its epilogue. V8 completes
				// the sweeping of the last one before that.
				if got < want-pauseTolerance || got > want+2*pauseTolerance || path == "/fill" && want < 3*pauseTolerance {
					t.Errorf("%s: the collector runs in %.2f of the samples, want %.2f or a little more", path, got, want)
				}
			}
		})
	}
}

type collector struct {
	probe   *tick.Probe
	pid     uint32
	address string
}

// shares calls a path and returns the share of the samples in which the collector runs, and
// that of the time.
func (c *collector) shares(t *testing.T, path string) (sampled, measured float64) {
	t.Helper()
	c.get(t, "/total", nil) // what was before
	all, runs := 0.0, 0.0
	for range fills {
		c.get(t, path, nil)
		outside.Must(t, c.probe.ReadStacks(func(s *tick.Stack) {
			if s.Tgid != c.pid || s.Kind != tick.StackOnCPU {
				return
			}
			all++
			switch s.Collector {
			case tick.CollectorUnknown:
				t.Errorf("%s: whether the collector runs is not known: %+v", path, s)
			case tick.CollectorRuns:
				runs++
			}
		}))
	}
	if all < fills {
		t.Fatalf("%s: %v samples of %d ticks", path, all, fills)
	}
	time.Sleep(100 * time.Millisecond) // Node.js reports pauses later
	var total struct{ Collected, Ticks float64 }
	c.get(t, "/total", &total)
	return runs / all, total.Collected / total.Ticks
}

func (c *collector) get(t *testing.T, path string, into any) {
	t.Helper()
	answer, err := http.Get(c.address + path)
	outside.Must(t, err)
	defer answer.Body.Close()
	if into != nil {
		outside.Must(t, json.NewDecoder(answer.Body).Decode(into))
	}
}
