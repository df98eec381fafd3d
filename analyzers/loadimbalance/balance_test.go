// SPDX-License-Identifier: Apache-2.0

package loadimbalance

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// A worker is one process of a pool: its ticks, and the connections of clients.
type worker struct {
	ticks, seconds, connections float64
	port                        string // of a listening socket of its own
	late                        bool   // set if it is hot in the last 3 seconds only
}

func pool(t *testing.T, workers ...worker) *handmade.Host {
	h := handmade.New(t, 10, 8)
	c := h.Add(observe.Cgroup, "/api", observe.None, catalog.AttrContainerName, "api")
	for i, w := range workers {
		p := h.Process(strconv.Itoa(100+i), "node", "node server.js", c, catalog.AttrOwner, "api")
		h.Set(catalog.ProcessAccepted, p, w.connections)
		h.Set(catalog.ProcessListens, p, 1)
		if w.port != "" {
			l := h.Add(observe.Listener, "0.0.0.0:"+w.port+"#"+strconv.Itoa(i), p, catalog.AttrPort, w.port)
			h.Set(catalog.ListenerQueue, l, 0)
		}
		loop := h.Loop(p)
		if w.late {
			h.Hist(catalog.LoopLag, loop, w.seconds, w.ticks)
			h.Each(catalog.LoopBusy, loop, func(second int) float64 { return w.ticks * w.seconds / 3 * max(0, float64(second)-7) })
			continue
		}
		h.Ticks(loop, w.ticks, w.seconds, observe.Parts{CPU: w.ticks * w.seconds})
	}
	return h
}

func TestCauses(t *testing.T) {
	hot, idle := worker{ticks: 4500, seconds: 0.002, connections: 30}, worker{ticks: 500, seconds: 0.002, connections: 3}
	with := func(w worker, change func(*worker)) worker { change(&w); return w }
	few := with(hot, func(w *worker) { w.connections = 3 })
	for name, test := range map[string]struct {
		workers []worker
		cause   string
	}{
		"most of the connections":         {[]worker{hot, idle, idle}, acceptSkew},
		"no more connections":             {[]worker{few, idle, idle}, stickyConnections},
		"one request that takes long":     {[]worker{with(few, func(w *worker) { w.ticks, w.seconds = 3, 3 }), idle, idle}, ""},
		"listening sockets for each":      {[]worker{with(hot, func(w *worker) { w.port = "80" }), with(idle, func(w *worker) { w.port = "80" })}, acceptSkew},
		"instances on ports of their own": {[]worker{with(hot, func(w *worker) { w.port = "81" }), with(idle, func(w *worker) { w.port = "82" })}, ""},
		"busy for a moment":               {[]worker{with(hot, func(w *worker) { w.late = true }), idle, idle}, ""},
		"all are full":                    {[]worker{hot, hot, hot}, ""},
		"low load on one":                 {[]worker{with(hot, func(w *worker) { w.ticks = 2000 }), with(idle, func(w *worker) { w.ticks = 10 })}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if f := pool(t, test.workers...).One(Analyzer); f != nil {
				got = f.Cause
			}
			if got != test.cause {
				t.Errorf("cause = %q, want %q", got, test.cause)
			}
		})
	}
}

// TestFairPools deals Poisson arrivals with exponential service times out to workers at
// random, which is what fair accepts do. The mean load is just below the bound, where
// chance reaches it most often.
func TestFairPools(t *testing.T) {
	const (
		windows, seconds = 1000, 10
		load, service    = 0.6, 0.2
	)
	random := rand.New(rand.NewPCG(1, 2))
	for _, workers := range []int{2, 4, 8} {
		fired := 0
		for range windows {
			if fairPool(t, random, workers, seconds, load, service).One(Analyzer) != nil {
				fired++
			}
		}
		if share := float64(fired) / windows; share > 0.01 {
			t.Errorf("%d fair workers: %.2f %% of windows fire, want 1 %% at most", workers, 100*share)
		}
	}
}

func fairPool(t *testing.T, random *rand.Rand, workers, seconds int, load, service float64) *handmade.Host {
	h := handmade.New(t, seconds, 8)
	c := h.Add(observe.Cgroup, "/api", observe.None)
	for i := range workers {
		p := h.Process(strconv.Itoa(100+i), "node", "node server.js", c, catalog.AttrOwner, "api")
		h.Set(catalog.ProcessListens, p, 1)
		loop := h.Loop(p)
		h.Set(catalog.LoopTicks, loop, 1)
		busy := serve(random, seconds, load, service, func(length float64) { h.Hist(catalog.LoopLag, loop, length, 1) })
		h.Each(catalog.LoopBusy, loop, func(second int) float64 { return busy[second] })
	}
	return h
}

// serve runs an M/M/1 server, and returns for how long it was busy until each second.
func serve(random *rand.Rand, seconds int, load, service float64, tick func(length float64)) []float64 {
	busy := make([]float64, seconds+1)
	for at, free := 0.0, 0.0; ; {
		at += random.ExpFloat64() * service / load
		if at >= float64(seconds) {
			break
		}
		start := math.Max(at, free)
		free = start + random.ExpFloat64()*service
		tick(free - start)
		for s := start; s < math.Min(free, float64(seconds)); s = math.Floor(s) + 1 {
			busy[int(s)+1] += math.Min(free, math.Floor(s)+1) - s
		}
	}
	for i := range seconds {
		busy[i+1] += busy[i]
	}
	return busy
}
