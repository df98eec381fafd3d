// SPDX-License-Identifier: Apache-2.0

// Package sampler is the contract between samplers, which read the kernel, and package
// run, which runs them. A sampler copies numbers into a snapshot without calculations.
package sampler

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
)

// ErrNotSupported is wrapped by Open and Read if this host or these privileges do not
// allow a source. It becomes a Gap.
var ErrNotSupported = errors.New("not supported")

// An Unsupported error has what is missing and how to fix it.
type Unsupported struct {
	Reason, Cure string
}

func (u *Unsupported) Error() string {
	if u.Cure == "" {
		return u.Reason
	}
	return u.Reason + " (" + u.Cure + ")"
}

// Is makes errors.Is(err, ErrNotSupported) true.
func (u *Unsupported) Is(target error) bool { return target == ErrNotSupported }

// NotSupported returns an Unsupported error.
func NotSupported(cure, reason string, args ...any) error {
	return &Unsupported{Reason: fmt.Sprintf(reason, args...), Cure: cure}
}

// A Sampler describes one source. It is a value in the list of sampler/all.
type Sampler struct {
	// Name is the name of the folder and the source of its gaps.
	Name string
	// Doc describes in one sentence what is read.
	Doc string
	// Provides lists the metrics that it can write; no other sampler may provide them.
	Provides []*observe.Metric
	// Every is how often to read it: kernel maps each second, limits
	// each minute. Zero means every tick.
	Every time.Duration
	// Open finds the source. An error that wraps ErrNotSupported is a Gap.
	Open func(*Host) (Reader, error)
}

// A Reader reads one source into a snapshot.
type Reader interface {
	// Read writes the current values of the source. A partial failure is a Gap in the
	// snapshot; an error means that nothing could be read.
	Read(*observe.Snapshot) error
	Close() error
}

// A Host has what samplers read from, and what they share.
type Host struct {
	// Proc, Sys and Cgroup are the mount points: /proc, /sys, /sys/fs/cgroup,
	// or the host's when headroom runs in a container, or a recorded tree.
	Proc, Sys, Cgroup string
	// Index interns the entities of this run.
	Index *observe.Index
	// Identity resolves processes to entities.
	Identity Identity
	// Patience makes the calls that can wait for another file system than /proc,
	// or for a process's memory.
	Patience *patience.Patience
	// Probes are the eBPF collections that several samplers read.
	Probes *Probes
	// Sparing is set if this run is an agent, which reads expensive sources less often
	// than a diagnosis of half a minute, see Rest.
	Sparing bool
	// Orchestrator knows the names of pods and containers; nil if there is none.
	Orchestrator Orchestrator
	// NoFrames is set if the functions of programs must not be read.
	NoFrames bool
	// Detail is how much of it is reported. Identity knows it, see Detail.Identity.
	Detail Detail

	// Brokers are the message brokers that the config names.
	Brokers []Broker
	// View is what this run cannot observe from where headroom runs.
	View View

	turns turns
}

const (
	// sparing is the factor by which the pauses of an agent are longer, up to
	// sparingRest: a window of half a minute needs some readings.
	sparing     = 4
	sparingRest = 4900 * time.Millisecond
)

// Rest returns the pause after expensive work, given the pause of a diagnosis.
func (h *Host) Rest(d time.Duration) time.Duration {
	if !h.Sparing {
		return d
	}
	return max(d, min(sparing*d, sparingRest))
}

// A Broker is a message broker that is asked with a password.
type Broker struct {
	// Kind is the value of messaging.system: rabbitmq.
	Kind string
	// Address is host:port of the interface that takes the password.
	Address, Username string
	TLS               bool
	// Password returns the current one. Its errors name the key of the config, and never
	// have the password.
	Password func() (string, error)
}

// turns hands out long pieces of work.
type turns struct {
	mu   sync.Mutex
	last time.Time
}

const (
	// longWork is how much of a tick a sampler may take without a turn.
	longWork = 10 * time.Millisecond
	// turnEvery is slightly less than a second, the interval of ticks.
	turnEvery = 800 * time.Millisecond
)

// Turn reports whether work that took that long the last time may run now. A tick has only
// one long piece of work, such as a walk through all sockets or all cgroups; a sampler
// that gets no turn tries again at its next reading.
func (h *Host) Turn(took time.Duration) bool {
	if took < longWork {
		return true
	}
	h.turns.mu.Lock()
	defer h.turns.mu.Unlock()
	if time.Since(h.turns.last) < turnEvery {
		return false
	}
	h.turns.last = time.Now()
	return true
}

// CgroupDepth is the maximum depth of a cgroup as an entity. Deeper ones are part of the
// cgroup at this depth. Nested container engines reach twelve.
const CgroupDepth = 32

// An Identity resolves processes and cgroups to entities. agent/identity implements it; it
// is safe for concurrent use and caches: a repeated call costs a map lookup.
type Identity interface {
	// Process returns the interned process, described and with its cgroup,
	// container and pod as parents. start is the kernel's start time in clock
	// ticks since boot (field 22 of /proc/PID/stat). ok is false for a process
	// that has ended or was replaced.
	Process(pid int, start uint64) (id observe.ID, ok bool)
	// Current is Process if only the pid is known, as in a probe.
	Current(pid int) (id observe.ID, ok bool)
	// Thread returns the interned thread of a process.
	Thread(process observe.ID, tid int) observe.ID
	// Renamed sets the current name of a thread, its comm.
	Renamed(process observe.ID, tid int, comm string)
	// Cgroup returns the interned cgroup at a path below the hierarchy's root, or
	// the one above it at CgroupDepth.
	Cgroup(path string) observe.ID
	// Ended drops a process that has ended.
	Ended(process observe.ID)
	// Containers yields the cgroups that are containers, with the engines' IDs.
	Containers() iter.Seq2[observe.ID, string]
	// Ask makes o resolve the names of pods and containers. Call it before the first call
	// of Cgroup.
	Ask(o Orchestrator)
	// Rename updates known entities with the current names of the orchestrator.
	Rename()
}

// An Orchestrator resolves what the kernel knows of a pod to the pod.
// agent/kube implements it; it is safe for concurrent use, and answers at once
// from what it knows already.
type Orchestrator interface {
	// Version changes whenever the result of another method may have changed.
	Version() uint64
	// Pod returns the attributes of a pod, nil if it is not known. The caller must not
	// change them.
	Pod(uid string) map[string]string
	// Container is Pod for a container, without the attributes of its pod.
	Container(id string) map[string]string
	// Requests returns the requests of a container, in cores and bytes; 0 means no
	// request. ok is false if the container is not known.
	Requests(id string) (cpu, memory float64, ok bool)
	// Missing returns why names are not known, or not up to date, and the fix;
	// "" when they are.
	Missing() (reason, cure string)
}

// Probes opens each shared eBPF collection once, when the first sampler asks,
// and closes it with the run.
type Probes struct {
	// Openers are the collections by folder name: "tick". The program that
	// wires everything fills it.
	Openers map[string]func() (io.Closer, error)

	mu     sync.Mutex
	opened map[string]*opened
}

// opened is a collection that is open, or not open yet.
type opened struct {
	done  chan struct{} // closed when the others are known
	probe io.Closer
	err   error
}

// Open returns the collection called name. It also stores a failure, so that all its
// samplers report the same.
func (p *Probes) Open(name string) (io.Closer, error) {
	open, ok := p.Openers[name]
	if !ok {
		return nil, NotSupported("", "no probe %q in this program", name)
	}
	o, first := p.entry(name)
	if first {
		o.probe, o.err = open()
		close(o.done)
	}
	<-o.done
	return o.probe, o.err
}

// entry returns the collection called name, and whether the caller is the first
// to ask, who opens it.
func (p *Probes) entry(name string) (o *opened, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o, ok := p.opened[name]; ok {
		return o, false
	}
	if p.opened == nil {
		p.opened = make(map[string]*opened)
	}
	o = &opened{done: make(chan struct{})}
	p.opened[name] = o
	return o, true
}

// Probe opens the shared collection called name, which is a P.
func Probe[P io.Closer](h *Host, name string) (P, error) {
	var none P
	if h.Probes == nil {
		return none, NotSupported("", "no eBPF")
	}
	shared, err := h.Probes.Open(name)
	if err != nil {
		return none, err
	}
	probe, ok := shared.(P)
	if !ok {
		return none, fmt.Errorf("the probe called %s is a %T", name, shared)
	}
	return probe, nil
}

// Opened returns the collections that were opened so far, by name.
func (p *Probes) Opened() map[string]io.Closer {
	all := make(map[string]io.Closer)
	if p == nil {
		return all
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, o := range p.opened {
		select {
		case <-o.done:
			if o.err == nil {
				all[name] = o.probe
			}
		default: // it is being opened
		}
	}
	return all
}

// Close closes all collections. Call it after all samplers were opened.
func (p *Probes) Close() error {
	var errs []error
	for _, probe := range p.Opened() {
		errs = append(errs, probe.Close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = nil
	return errors.Join(errs...)
}

// Validate checks a list of samplers: names, documentation, and that every
// metric has one provider.
func Validate(samplers []*Sampler) error {
	provider := make(map[*observe.Metric]string)
	names := make(map[string]bool)
	for _, s := range samplers {
		if s.Name == "" || s.Doc == "" || s.Open == nil || len(s.Provides) == 0 {
			return fmt.Errorf("sampler %q: Name, Doc, Provides and Open are all needed", s.Name)
		}
		if names[s.Name] {
			return fmt.Errorf("sampler %q is listed twice", s.Name)
		}
		names[s.Name] = true
		for _, m := range s.Provides {
			if m == nil {
				return fmt.Errorf("sampler %q provides a nil metric", s.Name)
			}
			if other, taken := provider[m]; taken {
				return fmt.Errorf("samplers %q and %q both provide %s", other, s.Name, m.Key())
			}
			provider[m] = s.Name
		}
	}
	return nil
}
