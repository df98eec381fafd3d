// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A problem identifies findings about the same problem of one service: workers of a
// server that all behave the same. Findings with different actions, or that
// different findings explain, are different problems.
type problem struct {
	analyzer *Analyzer
	cause    string
	kind     observe.EntityKind
	owner    string
	program  string
	part     string // of the process: a thread's name, a listener's address
	verb     Verb
	root     *Finding
}

// group merges findings about the same problem. It merges root causes first, so
// that symptoms of several can become symptoms of one.
func (r *Result) group() {
	p := &Pass{Window: r.Window, Host: r.Host}
	merged := make(map[*Finding]*Finding)
	for _, symptoms := range []bool{false, true} {
		members := make(map[problem][]*Finding)
		for _, f := range r.Findings {
			if (f.SymptomOf != nil) != symptoms {
				continue
			}
			if root := merged[f.SymptomOf]; root != nil {
				f.SymptomOf = root
			}
			if key, ok := p.problemOf(f); ok {
				members[key] = append(members[key], f)
			}
		}
		for _, same := range members {
			if len(same) > 1 {
				one := p.merge(same)
				for _, f := range same {
					merged[f] = one
				}
			}
		}
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f *Finding) bool { return merged[f] != nil && merged[f] != f })
}

// problemOf is ok for findings about a process or a part of one.
func (p *Pass) problemOf(f *Finding) (key problem, ok bool) {
	if f.Subject == observe.None || int(f.Subject) >= p.Index.Len() {
		return key, false // over the limit of the index
	}
	kind := p.Index.Entity(f.Subject).Kind
	if _, inProcess := p.Index.Ancestor(f.Subject, observe.Process); !inProcess && len(f.Subjects) == 0 {
		return key, false
	}
	key = problem{analyzer: f.Analyzer, cause: f.Cause, kind: kind, owner: p.Owner(f.Subject), program: p.Command(f.Subject), root: f.SymptomOf}
	switch kind {
	case observe.Thread:
		key.part = p.Attr(f.Subject, catalog.AttrThreadName)
	case observe.Listener:
		key.part = p.Address(f.Subject)
	case observe.Cgroup:
		key.part = p.Index.Entity(f.Subject).ID // these are processes in it: see Finding.Subjects
	}
	if len(f.Recommendations) > 0 {
		key.verb = f.Recommendations[0].Verb
	}
	return key, true
}

// merge turns the worst of several findings into one about all of them.
func (p *Pass) merge(same []*Finding) *Finding {
	slices.SortStableFunc(same, func(a, b *Finding) int { return a.standing().Compare(b.standing()) })
	one := same[0]
	all := []observe.ID{}
	for _, f := range same {
		all = append(all, f.about()...)
		for i := range one.Evidence {
			one.Evidence[i].widen(f.Evidence)
		}
	}
	worst := one.about()
	one.Subjects = p.oldestFirst(all)
	one.Blame = meanBlame(same)
	one.Exemplars = longestStalls(same)
	if len(worst) > 1 {
		return one // its texts already name a group
	}
	for i := range one.Recommendations {
		one.Recommendations[i] = p.demanding(same, i, worst[0])
	}
	p.rename(one, worst[0])
	return one
}

// about returns the subjects of a finding, or its only one.
func (f *Finding) about() []observe.ID {
	if len(f.Subjects) > 0 {
		return f.Subjects
	}
	return []observe.ID{f.Subject}
}

// oldestFirst orders entities independently of the finding: by pid, and those of
// one process as given. It returns each once.
func (p *Pass) oldestFirst(ids []observe.ID) []observe.ID {
	slices.SortFunc(ids, func(a, b observe.ID) int { return cmp.Or(cmp.Compare(p.pid(a), p.pid(b)), cmp.Compare(a, b)) })
	return slices.Compact(ids)
}

// pid returns the pid of the process that id is or belongs to, 0 if it is not
// known.
func (p *Pass) pid(id observe.ID) int {
	n, _ := strconv.Atoi(p.Index.Inherited(id, catalog.AttrPID))
	return n
}

// widen extends e's range by the value of the same evidence in others.
func (e *Evidence) widen(others []Evidence) {
	for _, o := range others {
		if o.Metric != e.Metric || o.Label != e.Label || o.Unit != e.Unit {
			continue
		}
		least, most := min(e.Value, o.Value), max(e.Value, o.Value)
		if e.Least != nil {
			least, most = min(least, *e.Least), max(most, *e.Most)
		}
		if least < most {
			e.Least, e.Most = &least, &most
		}
	}
}

// meanBlame returns the average over the findings, because each lost its own time.
func meanBlame(same []*Finding) []Blame {
	shares := make(map[observe.ID]float64)
	var blame []Blame
	for _, f := range same {
		for _, b := range f.Blame {
			if _, known := shares[b.Subject]; !known {
				blame = append(blame, Blame{Subject: b.Subject})
			}
			shares[b.Subject] += b.Share / float64(len(same))
		}
	}
	for i := range blame {
		blame[i].Share = shares[blame[i].Subject]
	}
	slices.SortStableFunc(blame, func(a, b Blame) int { return cmp.Compare(b.Share, a.Share) })
	return blame[:min(MaxBlame, len(blame))]
}

// longestStalls returns as many stalls as one of the findings has, the longest
// ones.
func longestStalls(same []*Finding) []observe.Stall {
	var stalls []observe.Stall
	most := 0
	for _, f := range same {
		stalls = append(stalls, f.Exemplars...)
		most = max(most, len(f.Exemplars))
	}
	slices.SortStableFunc(stalls, func(a, b observe.Stall) int { return cmp.Compare(b.Duration, a.Duration) })
	return stalls[:most]
}

// less are the verbs for which the smaller number is the stronger recommendation.
var less = []Verb{CapNeighbour, ReduceThreads, SetWorkerCount}

// demanding returns the recommendation that is enough for all findings: the one of
// the worst finding, unless another has a stronger one of the same kind. Its texts
// name the worst subject. Recommendations to cap a neighbour can be about different
// neighbours.
func (p *Pass) demanding(same []*Finding, i int, worst observe.ID) Recommendation {
	best := same[0].Recommendations[i]
	if best.Quantity == nil || best.Verb == CapNeighbour {
		return best
	}
	for _, f := range same[1:] {
		if i >= len(f.Recommendations) {
			continue
		}
		r := f.Recommendations[i]
		if r.Verb != best.Verb || r.Quantity == nil || r.Quantity.Unit != best.Quantity.Unit {
			continue
		}
		if more := r.Quantity.Value > best.Quantity.Value; more != slices.Contains(less, r.Verb) && r.Quantity.Value != best.Quantity.Value {
			best = r.renamed(p.renaming(f.about()[0], p.Name(worst), p.Name(p.processOf(worst))))
		}
	}
	return best
}

// rename replaces the name of the worst subject in texts by the name of all
// subjects.
func (p *Pass) rename(f *Finding, worst observe.ID) {
	name := p.GroupName(f.Subjects)
	said := p.renaming(worst, name, name).Replace(f.Summary)
	if said == f.Summary {
		said = name + ": " + said
	}
	f.Summary = said + "; the worst is " + p.Name(worst)
	for i, r := range f.Recommendations {
		each := "each of " + name
		if slices.Contains(ofService, r.Verb) {
			each = name
		}
		f.Recommendations[i] = r.renamed(p.renaming(worst, each, each))
	}
}

// ofService are the verbs for actions that apply once to all processes of a
// service.
var ofService = []Verb{AddNodes, AddProcesses, AddMemory, CapNeighbour, SetWorkerCount}

// renaming replaces the name of id, and that of its process.
func (p *Pass) renaming(id observe.ID, name, process string) *strings.Replacer {
	return strings.NewReplacer(p.Name(id), name, p.Name(p.processOf(id)), process)
}

func (p *Pass) processOf(id observe.ID) observe.ID {
	if process, ok := p.Index.Ancestor(id, observe.Process); ok {
		return process
	}
	return id
}

func (r Recommendation) renamed(names *strings.Replacer) Recommendation {
	r.Action, r.Verify, r.Risk, r.NotIf = names.Replace(r.Action), names.Replace(r.Verify), names.Replace(r.Risk), names.Replace(r.NotIf)
	return r
}

// GroupName returns the display name of several subjects of one program: 16 × node
// worker.js (pids 101, 102, 103 and 13 more), 8 event loops of java (pid 42).
func (p *Pass) GroupName(ids []observe.ID) string {
	var pids []int
	for _, id := range ids {
		pids = append(pids, p.pid(id))
	}
	slices.Sort(pids)
	pids = slices.Compact(pids)
	first := ids[0]
	if len(pids) == 1 {
		return fmt.Sprintf("%d %s of %s", len(ids), partNames[p.Index.Entity(first).Kind], p.processName(p.processOf(first)))
	}
	name := GroupOf(p.Command(first), pids)
	if p.Index.Entity(first).Kind == observe.Listener {
		return "listener " + p.Address(first) + " of " + name
	}
	return name
}

var partNames = map[observe.EntityKind]string{observe.Loop: "event loops", observe.Thread: "threads", observe.Listener: "listeners", observe.Process: "parts"}

// maxPIDs is the maximum number of pids in a text.
const maxPIDs = 3

// GroupOf returns the display name of several processes of a program.
func GroupOf(program string, pids []int) string {
	var names []string
	for _, pid := range pids[:min(maxPIDs, len(pids))] {
		names = append(names, strconv.Itoa(pid))
	}
	list := strings.Join(names, ", ")
	if more := len(pids) - maxPIDs; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%d × %s (pids %s)", len(pids), program, list)
}
