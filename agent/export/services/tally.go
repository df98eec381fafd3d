// SPDX-License-Identifier: Apache-2.0

package services

import (
	"cmp"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
)

// A tally adds up the series of one service.
type tally struct {
	key                              string
	namespace, pod, container, named string
	programs                         map[string]bool    // those with memory: ended programs keep their totals for a while
	used                             map[string]float64 // CPU seconds, by program
	increases                        map[*observe.Metric]float64
	levels                           map[*observe.Metric]float64
	fds                              map[string]*Use // by program
	lags                             observe.Hist
	looped                           bool
}

// Indexes of the labels that cgroups, processes and loops have in common.
const (
	labelNamespace = iota
	labelPod
	labelContainer
	labelService
	labelOwn // the program, or the path of a cgroup outside containers and services
)

// tallyOf returns the tally of a series' service; nil for a cgroup that is not a
// service.
func tallyOf(all map[string]*tally, s ledger.Series) *tally {
	home, own := s.Labels[:labelOwn], s.Labels[labelOwn]
	key := strings.Join(home, "\x00")
	if strings.Trim(key, "\x00") == "" {
		if s.Metric.About == observe.Cgroup {
			return nil
		}
		key += "\x00" + own
	}
	t := all[key]
	if t == nil {
		t = &tally{key: key, namespace: home[labelNamespace], pod: home[labelPod], container: home[labelContainer], named: home[labelService],
			programs: make(map[string]bool), used: make(map[string]float64), increases: make(map[*observe.Metric]float64), levels: make(map[*observe.Metric]float64), fds: make(map[string]*Use)}
		all[key] = t
	}
	return t
}

func (t *tally) grew(s ledger.Series, by float64) {
	t.increases[s.Metric] += by
	if s.Metric == catalog.ProcessCPU {
		t.used[s.Labels[labelOwn]] += by
	}
}

// runs reports whether the service has a process: the cgroup of a pod is the sum of
// its containers and not a service of its own.
func (t *tally) runs() bool { return len(t.programs) > 0 }

func (t *tally) level(s ledger.Series) {
	switch s.Metric {
	case catalog.CurrentTick:
		t.levels[s.Metric] = max(t.levels[s.Metric], s.Value)
	case catalog.ProcessFDs:
		t.use(s).Used = s.Value
	case catalog.ProcessFDLimit:
		t.use(s).Limit = &s.Value
	case catalog.ProcessMemory:
		t.programs[s.Labels[labelOwn]] = true
		t.levels[s.Metric] += s.Value
	default:
		t.levels[s.Metric] += s.Value
	}
}

func (t *tally) use(s ledger.Series) *Use {
	program := s.Labels[labelOwn]
	if t.fds[program] == nil {
		t.fds[program] = &Use{}
	}
	return t.fds[program]
}

// lag adds the increase of a distribution since the last reading.
func (t *tally) lag(s ledger.Series, before observe.Hist) {
	if !t.looped {
		t.lags, t.looped = observe.NewHist(s.Metric), true
	}
	for i := range s.Hist.Count {
		t.lags.Count[i] += max(0, s.Hist.Count[i]-before.Count[i])
		t.lags.Sum[i] += max(0, s.Hist.Sum[i]-before.Sum[i])
	}
}

// cpu returns the CPU time of the cgroup, or of its processes if that is not known.
func (t *tally) cpu() float64 {
	if v, ok := t.increases[catalog.CgroupCPUTime]; ok {
		return v
	}
	return t.increases[catalog.ProcessCPU]
}

// service converts a tally over some seconds to a Service.
func (t *tally) service(seconds float64) *Service {
	s := &Service{Namespace: t.namespace, Pod: t.pod, Container: t.container, Service: t.named, Programs: t.busiest()}
	own := ""
	if len(s.Programs) > 0 {
		own = s.Programs[0]
	}
	s.Name = cmp.Or(t.container, t.named, t.pod, own)
	if _, ok := t.increases[catalog.ProcessCPU]; (ok || t.cpu() > 0) && seconds > 0 {
		s.CPU = &Use{Used: t.cpu() / seconds, Limit: t.known(catalog.CgroupCPULimit)}
	}
	if m := (Memory{Resident: t.known(catalog.ProcessMemory), Used: t.known(catalog.CgroupMemoryUsage), Limit: t.known(catalog.CgroupMemoryLimit)}); m != (Memory{}) {
		s.Memory = &m
	}
	s.FDs = t.fullest()
	if t.looped {
		s.Loop = t.loop()
	}
	return s
}

// together returns what several services use: CPU time and resident memory. Limits,
// descriptors and loops say nothing about several services.
func together(all []*tally) *tally {
	t := &tally{key: ledger.Other, named: ledger.Other, programs: make(map[string]bool), used: make(map[string]float64),
		increases: make(map[*observe.Metric]float64), levels: make(map[*observe.Metric]float64)}
	for _, o := range all {
		t.increases[catalog.ProcessCPU] += o.cpu()
		t.levels[catalog.ProcessMemory] += o.levels[catalog.ProcessMemory]
		for name := range o.programs {
			t.programs[name] = true
			t.used[name] += o.used[name]
		}
	}
	return t
}

func (t *tally) known(m *observe.Metric) *float64 {
	if v, ok := t.levels[m]; ok {
		return &v
	}
	return nil
}

// busiest returns the programs, those that use most CPU first.
func (t *tally) busiest() []string {
	names := []string{}
	for name := range t.programs {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(t.used[b], t.used[a]), cmp.Compare(a, b)) })
	return names[:min(maxPrograms, len(names))]
}

// fullest returns the program that is closest to its limit of descriptors; without
// any limit, the one that has most.
func (t *tally) fullest() *Use {
	var most *Use
	share := func(u *Use) float64 {
		if u.Limit == nil || *u.Limit <= 0 {
			return 0
		}
		return u.Used / *u.Limit
	}
	for _, u := range t.fds {
		if most == nil || cmp.Or(cmp.Compare(share(u), share(most)), cmp.Compare(u.Used, most.Used)) > 0 {
			most = u
		}
	}
	return most
}

// loop returns the Loop of a service. Busy and wait together are the time of all
// its loops; time in ticks or stalls is a share of it.
func (t *tally) loop() *Loop {
	l := &Loop{LagP50: quantile(t.lags, 0.5), LagP99: quantile(t.lags, 0.99), CurrentTick: t.known(catalog.CurrentTick)}
	busy := t.increases[catalog.LoopBusy]
	all := busy + t.increases[catalog.LoopWait]
	if all <= 0 {
		return l
	}
	share := func(m *observe.Metric) float64 { return t.increases[m] / all }
	used := busy / all
	l.Utilisation = &used
	l.Stalls = &Stalls{share(catalog.LongCPU), share(catalog.LongRunQueue), share(catalog.LongThrottled), share(catalog.LongBlocked), share(catalog.LongPageFault)}
	return l
}

// quantile returns the mean of the bucket that contains q; nil if h is empty.
func quantile(h observe.Hist, q float64) *float64 {
	count, _ := h.Total()
	below := 0.0
	for i, n := range h.Count {
		below += n
		if n > 0 && below >= q*count {
			mean := h.Sum[i] / n
			return &mean
		}
	}
	return nil
}
