// SPDX-License-Identifier: Apache-2.0

// Package analysis defines analyzers and findings, and the driver that runs
// analyzers over a window.
//
// Analyzers are pure functions of a Pass: no clock, no I/O, no logger. They run on
// any OS on a recording. The driver assigns symptoms to causes, ranks findings and
// limits confidence, so that no analyzer repeats this.
package analysis

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
)

// An Analyzer evaluates one kind of problem of a host. It is a value in the list of
// analyzers/suite.
type Analyzer struct {
	// Name is the ID of its findings: event-loop-blocked.
	Name string
	// Title describes the problem in a few words, for lists.
	Title string
	// Doc is the folder's doc.md, embedded.
	Doc string
	// Category is what docs, reports and dashboards group the finding under.
	Category Category
	// Causes and Verbs are the complete lists of those that its findings use.
	Causes []string
	Verbs  []Verb
	// Needs are the metrics without which the analyzer cannot run; it is then skipped,
	// with a Skip. Wants are metrics that improve the result.
	Needs, Wants []*observe.Metric
	// OneOf is set if one of Needs is enough: each is for a part of the question, and
	// Run skips the other parts.
	OneOf  bool
	Params []*Param
	// SymptomOf names the analyzers whose findings can explain those of this one.
	SymptomOf []string
	// MinSeconds is the length of a window for full confidence.
	MinSeconds float64
	// Fact, if set, reports whether a finding is a counted event (a kill, a refused
	// call): the agent does not wait until it happens again.
	Fact func(*Finding) bool
	// Slow is set if a finding fires only if it held for most of five minutes: a
	// shortage of the whole host for one minute is usually a backup or a deployment.
	Slow bool
	Run  func(*Pass) []Finding
}

// A Param is a threshold that a user can tune.
type Param struct {
	Name    string
	Unit    observe.Unit
	Default float64
	// Enters is set if a finding starts above the param. A finding that the agent
	// already reported continues until the value is below Release times the param.
	Enters bool
	// Doc gives the reason for the default.
	Doc string
}

// Release is the share of a threshold below which a reported finding ends
// (docs/science.md, The life of a finding): with the threshold itself it would
// start and end repeatedly.
const Release = 0.8

// A Verb is the kind of a recommendation, from a fixed list.
type Verb string

// Verbs in use. Each analyzer declares those that it uses.
const (
	AddProcesses        Verb = "add-processes"
	AddNodes            Verb = "add-nodes"
	AddMemory           Verb = "add-memory"
	MoveToWorkerThreads Verb = "move-to-worker-threads"
	ReduceWork          Verb = "reduce-work"
	ReduceAllocation    Verb = "reduce-allocation"
	MakeAsync           Verb = "make-async"
	RaiseCPULimit       Verb = "raise-cpu-limit"
	CapNeighbour        Verb = "cap-neighbour"
	UseMoreCores        Verb = "use-more-cores"
	ReduceThreads       Verb = "reduce-threads"
	SetWorkerCount      Verb = "set-worker-count"
	SetRequests         Verb = "set-requests"
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
	AddWorkers          Verb = "add-workers"
	ScaleDownstream     Verb = "scale-downstream"
	ChangePrefetch      Verb = "change-prefetch"
	DeadLetter          Verb = "dead-letter"
	Rebalance           Verb = "rebalance"
	RaiseMaxmemory      Verb = "raise-maxmemory"
	SetPoolSize         Verb = "set-pool-size"
	ReleaseEarlier      Verb = "release-earlier"
	FindCause           Verb = "find-cause"
	RaiseLimit          Verb = "raise-limit"
	ReapChildren        Verb = "reap-children"
	ReduceContention    Verb = "reduce-contention"
	BatchQueries        Verb = "batch-queries"
	FreeSpace           Verb = "free-space"
	RotateLogs          Verb = "rotate-logs"
	EnlargeDisk         Verb = "enlarge-disk"
)

// Severity orders findings; it is what --fail-on compares.
type Severity uint8

// Severities.
const (
	Healthy Severity = iota
	Info
	Warning
	Critical
)

var severityNames = [...]string{"healthy", "info", "warning", "critical"}

func (s Severity) String() string { return severityNames[s] }

// ParseSeverity is the inverse of String.
func ParseSeverity(name string) (Severity, error) {
	if i := slices.Index(severityNames[:], name); i >= 0 {
		return Severity(i), nil
	}
	return 0, fmt.Errorf("unknown severity %q (known: info, warning, critical)", name)
}

// A Finding is one problem, or one fact, about one subject.
type Finding struct {
	// Analyzer is set by the driver.
	Analyzer *Analyzer
	Cause    string
	Severity Severity
	// Confidence is 0..1: how sure the analyzer is of the cause.
	Confidence float64
	// Impact is the share of the window, or of capacity, that the subject lost: 0..1.
	// It makes a throttled container comparable with a slow disk.
	Impact  float64
	Subject observe.ID
	// Subjects holds the subjects of a finding about several, oldest first; nil for a
	// finding about Subject only. Subject is then the container or service that
	// contains them, or the one with the worst numbers. The driver merges findings
	// about the same problem of one service.
	Subjects []observe.ID
	// Summary is one sentence with numbers; the effect comes first.
	Summary         string
	Evidence        []Evidence
	Blame           []Blame
	Culprits        []Culprit
	Exemplars       []observe.Stall
	Recommendations []Recommendation
	// Forecast predicts when a resource runs out; nil for a problem now, or if the
	// time is not known.
	Forecast *Forecast
	// Gap describes what this finding could not determine; it is added to the gaps of
	// the report.
	Gap *observe.Gap
	// Lost is the time that the subject lost, in seconds, by the analyzer that can
	// explain it, or by one of its causes (host-saturated/memory) if they take
	// different time; LostTotal is the total.
	Lost      map[string]float64
	LostTotal float64
	// Without reports whether the analyzer would still report the finding without the
	// time lost to these causes (a counterfactual). Nil means that no cause explains
	// it.
	Without func(causes []string) bool
	// Filled is set if the subject is full of the work that runs on it, so that a
	// finding about any part of the host can explain this one.
	Filled bool
	// SymptomOf is the finding that explains this one, set by the driver.
	SymptomOf *Finding
	// Names holds the names that the analyzer's texts can contain, set by the driver.
	Names map[Named]bool
}

// A Forecast predicts when a resource runs out, in seconds from the end of the
// window. Low and High are nil if the interval is not known.
type Forecast struct {
	// What is the resource: memory limit, file descriptors.
	What      string
	At        float64
	Low, High *float64
}

// Evidence is one number on which the finding is based. Bound is the threshold that
// it was compared with; nil for none, which differs from 0.
type Evidence struct {
	Metric *observe.Metric
	Label  string
	Value  float64
	Unit   observe.Unit
	Bound  *float64
	// Least and Most are the range of the value over several subjects, set by the
	// driver; Value is that of the worst one.
	Least, Most *float64
}

// Bound returns a pointer to v for Evidence.Bound and the bounds of an Estimate.
func Bound(v float64) *float64 { return &v }

// Blame is a share, 0..1, of what the subject lost.
type Blame struct {
	Subject observe.ID
	Share   float64
}

// A Culprit is code that took a share, 0..1, of the time that the finding is about. Its
// frames are functions of the program, the innermost first.
type Culprit struct {
	Share  float64
	Frames []Frame
	// Uses is what the first frame called, of a library or of the runtime; "" if it took
	// the time itself.
	Uses string
}

// A Frame is a function: its name, "" for none, its file, and the line of its definition,
// 0 if that is not known.
type Frame struct {
	Function, File string
	Line           int
}

// MaxCulprits is the maximum number of culprits in one finding.
const MaxCulprits = 3

// MaxBlame is the maximum number of subjects that one finding blames.
const MaxBlame = 5

// A Recommendation is an action with its quantity and a way to verify it.
type Recommendation struct {
	Verb     Verb
	Quantity *Estimate
	// Action starts with a verb and names the subject and the number.
	Action string
	// Verify describes how to check that it worked.
	Verify string
	// Risk describes possible drawbacks; NotIf when it does not help.
	Risk, NotIf string
	Expect      []Expectation
}

// An Estimate is a quantity with its interval; a bound that is not known is nil.
type Estimate struct {
	Value     float64
	Low, High *float64
	Unit      string
}

// An Expectation is the expected change of a metric. Low and High are the interval of To;
// nil if it is not known.
type Expectation struct {
	Metric    *observe.Metric
	Label     string
	From, To  float64
	Low, High *float64
	Unit      observe.Unit
}

// A Skip reports that an analyzer could not run.
type Skip struct {
	Analyzer *Analyzer
	Reason   string
	Missing  []string
	// NoSubject is set by the driver if every source of the missing metrics works, so
	// that this host has nothing to evaluate.
	NoSubject bool
}

// Validate checks that a list of analyzers is complete and consistent.
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
