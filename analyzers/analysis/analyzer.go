// SPDX-License-Identifier: Apache-2.0

// Package analysis is the contract between what was observed and what is said
// about it, and the driver that runs analyzers over a window.
//
// Analyzers are pure functions of a Pass: no clock, no I/O, no logger. They
// run on any OS on a recording. Folding symptoms under causes, ranking and
// the caps on confidence belong to the driver, so that no analyzer repeats
// them.
package analysis

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
)

// An Analyzer answers one question about a host. It is a value in the list of
// analyzers/suite.
type Analyzer struct {
	// Name is the finding's id: event-loop-blocked.
	Name string
	// Title is the question in a few words, for lists.
	Title string
	// Doc is the folder's doc.md, embedded.
	Doc string
	// Category is what docs, reports and dashboards group the finding under.
	Category Category
	// Causes and Verbs are the closed lists that its findings draw from.
	Causes []string
	Verbs  []Verb
	// Needs are the metrics without which the question cannot be asked: it is
	// then skipped, and says so. Wants are those that sharpen the answer.
	Needs, Wants []*observe.Metric
	// OneOf says that any one of Needs is enough: each is for a part of the
	// question, and Run skips the other parts.
	OneOf  bool
	Params []*Param
	// SymptomOf names the analyzers whose findings can explain this one's.
	SymptomOf []string
	// MinSeconds is the window that full confidence takes.
	MinSeconds float64
	// Fact, if set, says which findings are counted facts (a kill, a refused
	// call): for those the agent does not wait until they happen again.
	Fact func(*Finding) bool
	// Slow says that a finding fires only if it held for most of five minutes:
	// what a whole host is short of for one minute is a backup or a deployment.
	Slow bool
	Run  func(*Pass) []Finding
}

// A Param is a threshold that a user can tune.
type Param struct {
	Name    string
	Unit    observe.Unit
	Default float64
	// Enters says that a finding begins above it. One that the agent has already
	// raised goes on until it is below Release of it.
	Enters bool
	// Doc defends the default.
	Doc string
}

// Release is the share of a threshold below which a finding that was raised is
// over (docs/science.md, The life of a finding): around the threshold itself it would come and go.
const Release = 0.8

// A Verb is what a recommendation asks for, from a closed list.
type Verb string

// The verbs in use. Each analyzer declares those that it draws from.
const (
	AddProcesses        Verb = "add-processes"
	AddNodes            Verb = "add-nodes"
	AddMemory           Verb = "add-memory"
	MoveToWorkerThreads Verb = "move-to-worker-threads"
	ReduceWork          Verb = "reduce-work"
	MakeAsync           Verb = "make-async"
	RaiseCPULimit       Verb = "raise-cpu-limit"
	CapNeighbour        Verb = "cap-neighbour"
	UseMoreCores        Verb = "use-more-cores"
	ReduceThreads       Verb = "reduce-threads"
	SetWorkerCount      Verb = "set-worker-count"
	AddCache            Verb = "add-cache"
	SpreadInterrupts    Verb = "spread-interrupts"
	RaiseMemoryLimit    Verb = "raise-memory-limit"
	BoundTmpfs          Verb = "bound-tmpfs"
	FixLeak             Verb = "fix-leak"
	SetHeapLimit        Verb = "set-heap-limit"
	RestartBefore       Verb = "restart-before"
	RaiseFDLimit        Verb = "raise-fd-limit"
	RaiseBacklog        Verb = "raise-backlog"
	ReuseConnections    Verb = "reuse-connections"
	AddAddresses        Verb = "add-addresses"
	RaiseConntrack      Verb = "raise-conntrack"
)

// Severity orders findings; it is what --fail-on compares.
type Severity uint8

// The severities.
const (
	Healthy Severity = iota
	Info
	Warning
	Critical
)

var severityNames = [...]string{"healthy", "info", "warning", "critical"}

func (s Severity) String() string { return severityNames[s] }

// ParseSeverity is the reverse of String.
func ParseSeverity(name string) (Severity, error) {
	if i := slices.Index(severityNames[:], name); i >= 0 {
		return Severity(i), nil
	}
	return 0, fmt.Errorf("unknown severity %q (known: info, warning, critical)", name)
}

// A Finding is one thing that is true about one subject.
type Finding struct {
	// Analyzer is set by the driver.
	Analyzer *Analyzer
	Cause    string
	Severity Severity
	// Confidence is 0..1: how sure the analyzer is of the cause.
	Confidence float64
	// Impact is the share of the window, or of capacity, that the subject
	// lost: 0..1. It ranks a throttled container against a slow disk.
	Impact  float64
	Subject observe.ID
	// Subjects are what a finding is about that is about several, oldest first; nil
	// where it is about Subject alone. Subject is then the container or service that
	// they are in, or the one with the worst numbers. The driver makes one finding
	// of those that are the same problem of one service.
	Subjects []observe.ID
	// Summary is one sentence, effect first, with numbers.
	Summary         string
	Evidence        []Evidence
	Blame           []Blame
	Exemplars       []observe.Stall
	Recommendations []Recommendation
	// Forecast says when something runs out; nil when the trouble is now, or
	// when the time is not known.
	Forecast *Forecast
	// Gap says what this finding could not know; it reaches the report's gaps.
	Gap *observe.Gap
	// Lost is the subject's lost time by the analyzer that could explain it,
	// in seconds, or by one cause of it (host-saturated/memory) where its causes
	// take different time; LostTotal is all of it.
	Lost      map[string]float64
	LostTotal float64
	// Without reports whether the analyzer would still find this if what it
	// lost to these causes had not been lost: the accounting counterfactual.
	// Nil means that the finding stands by itself.
	Without func(causes []string) bool
	// Filled says that the subject is full of what runs on it, so that a finding about
	// any part of the host can explain this one.
	Filled bool
	// SymptomOf is set by the driver: the finding that explains this one.
	SymptomOf *Finding
	// Names is set by the driver: the names that the analyzer's texts may have.
	Names map[Named]bool
}

// A Forecast is when something runs out, in seconds from the end of the
// window. Low and High are nil where the interval is not known.
type Forecast struct {
	// What runs out: memory limit, file descriptors.
	What      string
	At        float64
	Low, High *float64
}

// Evidence is one number that the finding rests on. Bound is the threshold
// that it was held against; nil for none, which is not the same as 0.
type Evidence struct {
	Metric *observe.Metric
	Label  string
	Value  float64
	Unit   observe.Unit
	Bound  *float64
	// Least and Most are the range of the value over several subjects, of which
	// Value is that of the worst. They are set by the driver.
	Least, Most *float64
}

// Bound returns a bound for Evidence.
func Bound(v float64) *float64 { return &v }

// Blame is a share, 0..1, of what the subject lost.
type Blame struct {
	Subject observe.ID
	Share   float64
}

// MaxBlame bounds the subjects that one finding blames: the rest is noise.
const MaxBlame = 5

// A Recommendation is quantified and checkable.
type Recommendation struct {
	Verb     Verb
	Quantity *Estimate
	// Action begins with a verb and names the subject and the number.
	Action string
	// Verify says how to see that it worked.
	Verify string
	// Risk says what it may cost; NotIf when it will not help.
	Risk, NotIf string
	Expect      []Expectation
}

// An Estimate is a quantity with its interval; an absent bound is not known.
type Estimate struct {
	Value     float64
	Low, High *float64
	Unit      string
}

// An Expectation is a metric that should move, and how far.
type Expectation struct {
	Metric   *observe.Metric
	Label    string
	From, To float64
	Unit     observe.Unit
}

// A Skip is a question that could not be asked.
type Skip struct {
	Analyzer *Analyzer
	Reason   string
	Missing  []string
	// NoSubject is set by the driver: every source of what is missing works, so
	// that this host has nothing of which to ask.
	NoSubject bool
}

// Validate checks a list of analyzers: what a newcomer's analyzer must carry.
func Validate(analyzers []*Analyzer) error {
	names := make(map[string]bool)
	for _, a := range analyzers {
		if names[a.Name] {
			return fmt.Errorf("analyzer %q is listed twice", a.Name)
		}
		names[a.Name] = true
	}
	var errs []error
	for _, a := range analyzers {
		errs = append(errs, a.validate(names))
	}
	return errors.Join(errs...)
}

func (a *Analyzer) validate(names map[string]bool) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("analyzer %q: %s", a.Name, fmt.Sprintf(format, args...))
	}
	if a.Name == "" || a.Title == "" || a.Doc == "" || a.Run == nil {
		return fail("Name, Title, Doc and Run are all needed")
	}
	if !a.Category.Valid() {
		return fail("category %q is not one of %v", a.Category, Categories)
	}
	if len(a.Causes) == 0 || len(a.Verbs) == 0 || len(a.Needs) == 0 {
		return fail("Causes, Verbs and Needs are all needed")
	}
	for _, cause := range a.SymptomOf {
		if !names[cause] || cause == a.Name {
			return fail("SymptomOf names %q, which is no other analyzer", cause)
		}
	}
	for _, p := range a.Params {
		if p.Name == "" || p.Doc == "" {
			return fail("a param needs a Name and a Doc that defends its default")
		}
	}
	if slices.Contains(a.Needs, nil) || slices.Contains(a.Wants, nil) {
		return fail("a nil metric in Needs or Wants")
	}
	return nil
}
