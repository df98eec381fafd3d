// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/lab/traffic"
)

// A state is one column of the matrix: a fault or a load of a server, and the
// findings that headroom must report.
type state struct {
	name, doc string
	pinned    bool // the server may use one core only
	limited   bool // the server is in a container, which gets a CPU limit
	// play causes the fault and returns when it is steady.
	play func(*stage) error
	// holds checks that the fault occurred. Otherwise nothing was tested.
	holds func(*stage) error
	// loop and pool are the right answers for the two kinds of runtimes.
	loop, pool answer
}

// An answer is the finding that headroom must report, at a severity or above.
type answer struct {
	id       string // "": there must be no warning
	causes   []string
	verbs    []string // of the first recommendation
	severity string
	// also lists other findings that are true as well, as id or id/cause.
	also []string
	// ofHost lists findings about the host that are true, as id or id/cause.
	ofHost []string
}

const (
	blockedLoop = "event-loop-blocked"
	runQueue    = "run-queue-latency"
	throttled   = "cpu-throttled"
)

const (
	// stall is how long each faulty request takes.
	stall = 200 * time.Millisecond
	// lightRate is the rate of light requests, which are delayed.
	lightRate = 20
	// faultyRate keeps an event loop blocked for 40% of the time.
	faultyRate = 2
	// hangFor is longer than a cell; the server is killed before the hang ends.
	hangFor = time.Minute
	// limit is the CPU limit in cores. limitedWork needs more.
	limit = 0.2
	// poolWorkers is the number of workers in a pool.
	poolWorkers = 4
)

var (
	cpuVerbs  = []string{"move-to-worker-threads", "add-processes", "reduce-work"}
	waitVerbs = []string{"make-async", "move-to-worker-threads"}
	// waiting is the right answer if clients wait for a pool of workers. Some of its
	// findings have no analyzer yet; they count as soon as they have one.
	waiting = answer{id: "requests-waiting", severity: "warning",
		also: []string{"worker-count-mismatch", "thread-pool-exhausted", "lock-contention", "accept-queue-overflow"}}
)

// harmed are findings that are right beside that of a fault: clients do wait.
var harmed = []string{"requests-waiting"}

var states = []state{
	{name: "burn", doc: "two requests a second take 200 ms of CPU time each",
		play: func(g *stage) error { return g.faulty(g.srv.burn) }, holds: (*stage).slow,
		loop: answer{id: blockedLoop, causes: []string{"on-cpu"}, verbs: cpuVerbs, severity: "warning", also: harmed}},
	{name: "block", doc: "two requests a second sleep for 200 ms each",
		play: func(g *stage) error { return g.faulty(g.srv.block) }, holds: (*stage).slow,
		loop: answer{id: blockedLoop, causes: []string{"blocking-call"}, verbs: waitVerbs, severity: "warning", also: harmed}},
	{name: "starved", doc: "four busy processes of others share the only core that the server may use", pinned: true,
		play: starve, holds: (*stage).slow,
		loop: starvedAnswer, pool: starvedAnswer},
	{name: "quota", doc: "a CPU limit of 0.2 cores throttles the container of the server", limited: true,
		play: throttle, holds: (*stage).throttledEnough,
		loop: throttledAnswer, pool: throttledAnswer},
	{name: "healthy", doc: "30% of the capacity, which was measured before",
		play: func(g *stage) error { return g.share(0.3) }, holds: (*stage).answers},
	{name: "hang-before", doc: "a request that sleeps for a minute began before headroom started",
		play: func(g *stage) error { g.hang(g.srv.block); time.Sleep(1500 * time.Millisecond); return nil }, holds: (*stage).silent,
		loop: answer{id: blockedLoop, causes: []string{"blocking-call"}, verbs: waitVerbs, severity: "critical", also: harmed}, pool: waiting},
	{name: "hang-before-cpu", doc: "a request that computes for a minute began before headroom started",
		play: func(g *stage) error { g.hang(g.srv.burn); time.Sleep(1500 * time.Millisecond); return nil }, holds: (*stage).silent,
		loop: answer{id: blockedLoop, causes: []string{"on-cpu"}, verbs: cpuVerbs, severity: "critical", also: harmed}, pool: hungPool},
	{name: "hang-during", doc: "a request that computes for a minute begins four seconds after headroom",
		play: func(g *stage) error { g.later = func() { g.hang(g.srv.burn) }; return nil }, holds: (*stage).silent,
		loop: answer{id: blockedLoop, causes: []string{"on-cpu"}, verbs: cpuVerbs, severity: "critical", also: harmed}, pool: hungPool},
}

var (
	starvedAnswer = answer{id: runQueue, causes: []string{"noisy-neighbour"}, verbs: []string{"cap-neighbour"}, severity: "warning",
		also: append([]string{blockedLoop + "/run-queue", blockedLoop + "/mixed"}, harmed...)}
	throttledAnswer = answer{id: throttled, causes: []string{"limit-too-low"}, verbs: []string{"raise-cpu-limit"}, severity: "warning",
		also: append([]string{blockedLoop + "/cpu-throttled"}, harmed...)}
	// hungPool is the right answer if more workers are busy than the host has cores.
	hungPool = answer{id: waiting.id, severity: waiting.severity,
		also: append([]string{"host-saturated/cpu", runQueue + "/host-full", runQueue + "/own-threads"}, waiting.also...)}
)

// A stage is one run of a state with one server.
type stage struct {
	ctx    context.Context
	pool   bool // of workers
	srv    *server
	others *server // neighbours, or nil
	// suspects is true if every finding about the neighbours is false.
	suspects bool
	light    *traffic.Load
	loads    []*traffic.Load
	later    func()    // is called during the observation
	hung     time.Time // when the hang began

	began, ended    time.Time // of the observation
	throttledBefore time.Duration
}

func (g *stage) load(rate float64, ask traffic.Ask) *traffic.Load {
	l := traffic.Open(g.ctx, rate, ask)
	g.loads = append(g.loads, l)
	return l
}

// faulty sends faulty requests in addition to the light ones.
func (g *stage) faulty(ask func(int) traffic.Ask) error {
	return g.warm(g.load(faultyRate, ask(int(stall.Milliseconds()))), 2)
}

// warm waits until a load has this many answers.
func (g *stage) warm(l *traffic.Load, answers int) error {
	for end := time.Now().Add(startLimit); l.Answered() < answers; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) || g.ctx.Err() != nil {
			return fmt.Errorf("%d answers in %v (%d requests failed)", l.Answered(), startLimit, l.Failed.Load())
		}
	}
	return nil
}

// hang sends requests that do not end while headroom observes: one to an event loop,
// one to each worker of a pool.
func (g *stage) hang(ask func(int) traffic.Ask) {
	n := 1
	if g.pool {
		n = poolWorkers
	}
	g.hung = time.Now()
	for range n {
		go ask(int(hangFor.Milliseconds()))(g.ctx)
	}
}

// core returns the number of the last core. The load runs on the others as well.
func core() string { return strconv.Itoa(cores() - 1) }

func onCore() []string { return []string{"taskset", "-c", core()} }

func starve(g *stage) error {
	if err := g.warm(g.load(5, g.srv.burn(20)), 5); err != nil {
		return err
	}
	var err error
	g.others, err = neighbours(4, onCore())
	time.Sleep(time.Second) // until the load is steady while the busy processes run
	return err
}

// throttle sends requests that need more CPU time than the limit: 8 a second of
// 30 ms each.
func throttle(g *stage) error {
	work := g.load(8, g.srv.burn(30))
	if err := g.warm(work, 8); err != nil {
		return err
	}
	if err := g.srv.group.Update(cgroups.CPULimit(limit)); err != nil {
		return err
	}
	time.Sleep(time.Second) // until requests queue
	var err error
	g.throttledBefore, err = g.srv.group.Throttled()
	return err
}

// share measures the capacity of the server, and sends light requests at a share of it.
func (g *stage) share(share float64) error {
	g.light.Stop()
	const clients = 16
	traffic.Closed(g.ctx, g.srv.light, clients, time.Second) // until the code is compiled
	capacity := traffic.Closed(g.ctx, g.srv.light, clients, 2*time.Second)
	if capacity == 0 {
		return fmt.Errorf("no answer to %d clients in 2 s", clients)
	}
	g.light = g.load(share*capacity, g.srv.light)
	return g.warm(g.light, int(share*capacity))
}

// slow checks that light requests wait for a blocked loop. A pool has free workers.
func (g *stage) slow() error {
	if g.pool && g.others == nil {
		return nil
	}
	took := g.light.Between(g.began, g.ended)
	least := stall / 2
	if g.others != nil {
		least = 20 * time.Millisecond
	}
	if len(took) == 0 || took[len(took)*95/100] < least {
		return fmt.Errorf("95%% of %d light requests were answered within %v, expected more than %v", len(took), at95(took), least)
	}
	return nil
}

// silent checks that almost no light request is answered during the hang.
func (g *stage) silent() error {
	after := g.hung.Add(time.Second)
	if took := g.light.Between(after, g.ended); len(took) > lightRate/2 {
		return fmt.Errorf("%d light requests were answered during the hang", len(took))
	}
	return nil
}

func (g *stage) throttledEnough() error {
	now, err := g.srv.group.Throttled()
	if err != nil {
		return err
	}
	if held, least := now-g.throttledBefore, g.ended.Sub(g.began)/10; held < least {
		return fmt.Errorf("the container was throttled for %v of %v", held, g.ended.Sub(g.began))
	}
	return nil
}

// answers checks that a healthy server answers: at most one request in a hundred
// fails or is not sent in time.
func (g *stage) answers() error {
	sent, failed, dropped := g.light.Sent.Load(), g.light.Failed.Load(), g.light.Dropped.Load()
	if failed*100 > sent || dropped*100 > sent {
		return fmt.Errorf("of %d requests %d failed and %d found no connection", sent, failed, dropped)
	}
	return nil
}

func at95(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*95/100]
}

// findStates returns the states with these names, or all states if names is empty.
func findStates(names []string) ([]state, error) {
	if len(names) == 0 {
		return states, nil
	}
	var found []state
	for _, name := range names {
		i := slices.IndexFunc(states, func(s state) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no state is named %q; for example, -states burn,hang-before", name)
		}
		found = append(found, states[i])
	}
	return found, nil
}
