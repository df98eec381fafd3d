// SPDX-License-Identifier: Apache-2.0

package oomkilled

import (
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// startUp is the age in seconds up to which a process that grows loads its code and data,
// the grace of event-loop-blocked.
const startUp = 60

// startedUp reports whether several victims were killed in turn while they started: their
// growth does not show a leak.
func (k *killing) startedUp(p *facts.Pass) bool {
	for _, victim := range k.victims {
		if age, known := p.Last(catalog.ProcessAge, victim); !known || age >= startUp {
			return false
		}
	}
	return len(k.victims) > 1
}

// needed returns the memory that the processes under the limit held, or would hold
// together if none were killed: a process that was killed leaves room, in which the next
// one grows to as much. It is a lower bound, since a killed process wanted more.
func (k *killing) needed(p *facts.Pass) float64 {
	programs := make(map[string]*program)
	start, end := math.Inf(1), math.Inf(-1)
	for process := range k.processes(p) {
		if points := p.Points(catalog.ProcessAnon, process); len(points) > 0 {
			start, end = min(start, points[0].At), max(end, points[len(points)-1].At)
		}
	}
	for process, killed := range k.processes(p) {
		command := p.Command(process)
		if programs[command] == nil {
			programs[command] = &program{running: make(map[float64]float64)}
		}
		programs[command].add(p, process, killed, start, end)
	}
	sum := 0.0
	for _, program := range programs {
		sum += program.stayed + program.together()*program.largest
	}
	return sum
}

// processes returns the processes under the limit, and which of them were killed.
func (k *killing) processes(p *facts.Pass) map[observe.ID]bool {
	all := make(map[observe.ID]bool)
	for process := range p.Entities(catalog.ProcessAnon) {
		if p.Index.Within(process, k.limiter) || p.Index.Within(process, k.subject) {
			all[process] = false
		}
	}
	for _, victim := range k.victims {
		all[victim] = true
	}
	return all
}

// A program is the processes under the limit that run one command.
type program struct {
	stayed  float64 // bytes of those that ran all the time
	largest float64 // the most that one of the others held
	// running is how many of the others ran at each reading.
	running map[float64]float64
}

// together returns how many of the others ran at the same time.
func (g *program) together() float64 {
	most := 0.0
	for _, n := range g.running {
		most = max(most, n)
	}
	if g.largest > 0 {
		most = max(1, most)
	}
	return most
}

func (g *program) add(p *facts.Pass, process observe.ID, killed bool, start, end float64) {
	points := p.Points(catalog.ProcessAnon, process)
	_, high, _ := p.Range(catalog.ProcessAnon, process)
	if !killed && len(points) > 0 && points[0].At == start {
		g.stayed += high
		return
	}
	held, _ := p.Last(catalog.ProcessOOMMemory, process)
	g.largest = max(g.largest, high, held)
	// A reading takes a while, in which a process can be killed and the next one start: the
	// last reading of a process that ended does not show that it ran beside the others.
	if n := len(points); n > 0 && (killed || points[n-1].At < end) {
		points = points[:n-1]
	}
	for _, point := range points {
		g.running[point.At]++
	}
}
