// SPDX-License-Identifier: Apache-2.0

// Package queue samples the queues of the message brokers on this host, and of those
// that the config names: how many messages wait, how many arrive and are handled, and how
// many consumers there are. It finds brokers by their executable and their listening
// sockets, and asks each over its own interface (a folder of this package for each kind).
// It never consumes or publishes, and needs no broker: without one it only looks through
// the known processes.
//
// A broker is asked in a goroutine of its own, so that one that is slow or hangs delays
// nothing. It is asked less often the longer it takes to answer.
package queue

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
	"github.com/headroom-project/headroom/agent/sampler/queue/rabbitmq"
	"github.com/headroom-project/headroom/agent/sampler/queue/redis"
)

const name = "queue"

// kinds are the brokers that are read. A new one is a folder and a line here.
var kinds = []broker.Kind{rabbitmq.Kind, redis.Kind}

// Sampler reads message brokers.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Reads the queues of message brokers on this host: messages, arrivals, acknowledgements and consumers (RabbitMQ: its Prometheus plugin, or its management API with a password; Redis: streams with consumer groups, and the queues of BullMQ, Celery, RQ and Sidekiq).",
	Provides: []*observe.Metric{catalog.QueueReady, catalog.QueueUnacknowledged, catalog.QueuePublished, catalog.QueueDelivered,
		catalog.QueueAcknowledged, catalog.QueueRedelivered, catalog.QueueConsumers, catalog.QueueBusyConsumers, catalog.QueueMostHeld, catalog.QueuePrefetch,
		catalog.QueueWorkers, catalog.QueueWorkerTime, catalog.QueueUpstreamTime, catalog.QueueUpstreamWaits},
	Every: time.Second,
	Open:  open,
}

const (
	// findEvery is the maximum time until a new broker is found, and lookEvery until it is
	// found that a known process listens on other ports: it opens them seconds after its
	// start, and its plugins are switched on by hand.
	findEvery, lookEvery = 5 * time.Second, 10 * time.Second
	// betterEvery is lookEvery for a broker that is read with a password.
	betterEvery = time.Minute
	// askEvery is the time between two questions to a broker of a diagnosis. The answer of
	// RabbitMQ for a few queues takes 3 ms.
	askEvery = 2 * time.Second
	// rest is the pause after an answer, as a multiple of the time that it took, so that
	// all questions together take at most one percent of a core of the broker, and those of
	// a diagnosis, which lasts half a minute, at most five.
	rest, restShort = 100, 20
	// longestRest limits the pause, and failedRest that after a question without an
	// answer, so that a broker that has recovered is read again.
	longestRest, failedRest = 5 * time.Minute, 30 * time.Second
	// deadline is the maximum time for an answer, and hangs is when a question does not even
	// end at its deadline: a password on a file system that does not answer.
	deadline, hangs = 10 * time.Second, 15 * time.Second
	// patience is how long a reading waits for the answers of all brokers, which are
	// otherwise part of the next reading.
	patience = 100 * time.Millisecond
	// maxBrokers is the maximum number of brokers on one host.
	maxBrokers = 10
	// slow is the pause from which on a gap says that the numbers are rare: a window of
	// half a minute has too few readings for rates.
	slow = 15 * time.Second
)

type reader struct {
	host *sampler.Host
	find time.Time // of the next search
	// brokers are the processes that may be one.
	brokers map[observe.ID]*watched
	named   []*named
	more    bool
	ctx     context.Context
	cancel  context.CancelFunc
	asking  sync.WaitGroup
}

// A watched is a process that may be a broker.
type watched struct {
	kind    broker.Kind
	pid     int
	look    time.Time        // of the next look at its ports
	logins  []sampler.Broker // those of the config that are for it
	source  broker.Source
	err     error // why it is not read; nil for a process that is no broker
	queues  *queues
	clients *clients
	reads   sampler.Question[answer]
	written time.Time // the time of the last answer
	took    time.Duration
	partial error
	unknown error // why the connections to the broker cannot be read
}

// An answer is the result of a question to a broker.
type answer struct {
	reading broker.Reading
	took    time.Duration // of the broker
	// clients are the connections to the broker; nil if they were not read again.
	clients []client
	// servers are the processes that serve the clients.
	servers []server
	unknown error // why they cannot be read
}

func open(h *sampler.Host) (sampler.Reader, error) {
	r := &reader{host: h, brokers: make(map[observe.ID]*watched)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for _, b := range h.Brokers {
		r.named = append(r.named, &named{login: b})
	}
	return r, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	now := time.Now()
	if !now.Before(r.find) {
		r.find = now.Add(findEvery)
		r.search(s)
	}
	if r.more {
		s.Gap(name, fmt.Sprintf("more than %d message brokers run on this host: the others are not observed", maxBrokers), "")
	}
	for _, w := range r.brokers {
		r.locate(w, now)
		r.ask(w, now)
	}
	for _, n := range r.named {
		if r.claim(n, s, now); n.watched != nil {
			r.ask(n.watched, now)
		}
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	for _, w := range r.order() {
		w.take(s, wait.C, r.rest())
		w.gaps(s, r.rest())
	}
	return nil
}

// rest returns the pause after an answer, as a multiple of its time.
func (r *reader) rest() time.Duration {
	if r.host.Sparing {
		return rest
	}
	return restShort
}

// order returns the brokers in the order of their IDs, for equal output of equal input,
// and then those of the config.
func (r *reader) order() []*watched {
	ids := make([]observe.ID, 0, len(r.brokers))
	for id := range r.brokers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	all := make([]*watched, 0, len(ids)+len(r.named))
	for _, id := range ids {
		all = append(all, r.brokers[id])
	}
	for _, n := range r.named {
		if n.watched != nil {
			all = append(all, n.watched)
		}
	}
	return all
}

// search finds new brokers among the processes that are known, and drops those that
// ended. It costs a few nanoseconds for each process.
func (r *reader) search(s *observe.Snapshot) {
	x := r.host.Index
	r.more = false
	for id, w := range r.brokers {
		if now, ok := r.host.Identity.Current(w.pid); !ok || now != id {
			w.end(s)
			delete(r.brokers, id)
		}
	}
	for id := observe.ID(0); int(id) < x.Len(); id++ {
		if x.Entity(id).Kind != observe.Process || r.brokers[id] != nil {
			continue
		}
		for _, k := range kinds {
			if x.Attr(id, catalog.AttrExecutable) == k.Program {
				r.found(id, k)
			}
		}
	}
}

func (r *reader) found(id observe.ID, k broker.Kind) {
	pid, err := strconv.Atoi(r.host.Index.Attr(id, catalog.AttrPID))
	if err != nil {
		return
	}
	if now, ok := r.host.Identity.Current(pid); !ok || now != id {
		return // it has ended
	}
	if len(r.brokers) >= maxBrokers {
		r.more = true
		return
	}
	r.brokers[id] = &watched{kind: k, pid: pid}
}

// locate looks for the ports of a broker, as long as it is not read or does not answer,
// and of one that is read with a password: it may have a better interface by now.
func (r *reader) locate(w *watched, now time.Time) {
	reads := w.source != nil && w.err == nil
	if w.reads.Pending() || now.Before(w.look) || reads && len(w.logins) == 0 {
		return
	}
	if w.look = now.Add(lookEvery); reads {
		w.look = now.Add(betterEvery)
	}
	at, err := place.Of(r.host.Proc, w.pid)
	if err != nil && reads {
		return
	}
	if err != nil {
		w.err = sampler.NotSupported("run as root, or with CAP_SYS_PTRACE", "the ports of a message broker (pid %d) cannot be found: its queues are not observed", w.pid)
		return
	}
	w.logins = r.loginsOf(w.kind, at)
	source, ok, err := w.kind.Open(at, w.logins)
	if source == nil {
		w.close()
		w.err = err
		return
	}
	again := w.source != nil && w.source.Address() == source.Address()
	if !ok || again && reflect.TypeOf(w.source) == reflect.TypeOf(source) {
		source.Close()
		return // the error is that of the last question
	}
	w.close()
	if w.source, w.err = source, nil; again {
		return
	}
	w.queues = newQueues(r.host.Index, w.kind.System, source.Address())
	w.clients = nil
	if w.kind.Shared {
		w.clients = newClients(r.host, w.pid, source.Address().Port())
		w.clients.chosen = make(map[netip.AddrPort]bool)
	} else if !slices.ContainsFunc(w.logins, func(l sampler.Broker) bool { return l.Address == string(source.Address()) }) {
		w.clients = newClients(r.host, w.pid, source.Address().Port())
	} // else the port of its clients is not known
}

// ask begins a question if one is due.
func (r *reader) ask(w *watched, now time.Time) {
	if w.source == nil || !w.reads.Due(now) || !r.host.Turn(w.took) {
		return
	}
	source, clients := w.source, w.clients
	w.reads.Ask(r.ctx, &r.asking, deadline, func(ctx context.Context) (a answer, err error) {
		began := time.Now()
		a.reading, err = source.Read(ctx)
		if a.took = time.Since(began); err == nil && clients != nil && clients.wanted(a.reading.Queues) {
			a.clients, a.unknown = clients.look(time.Now())
			a.servers = clients.served.servers(r.host.Proc)
		}
		return a, err
	})
	w.reads.Next = now.Add(r.host.Rest(askEvery))
}

// wanted reports whether connections have to be read: a queue has a consumer, and of a
// server with other clients it says which connections are those of consumers.
func (c *clients) wanted(all []broker.Queue) bool {
	if c.chosen != nil {
		clear(c.chosen)
		for _, b := range all {
			for _, at := range b.Clients {
				c.chosen[at] = true
			}
		}
		return len(c.chosen) > 0
	}
	return slices.ContainsFunc(all, func(b broker.Queue) bool { return b.Consumers > 0 && !b.Temporary })
}

// take writes the answer to the last question, if there is one before the end of wait,
// and sets the time of the next one.
func (w *watched) take(s *observe.Snapshot, wait <-chan time.Time, rest time.Duration) {
	got, ok := w.reads.Take(wait)
	if !ok {
		return
	}
	a := got.Value
	w.took = a.took
	longest := longestRest
	if got.Err != nil {
		longest = failedRest
	}
	if next := w.reads.Asked.Add(max(a.reading.Every, min(longest, rest*a.took))); next.After(w.reads.Next) {
		w.reads.Next = next
	}
	if w.err, w.partial = got.Err, a.reading.Partial; got.Err == nil {
		w.write(s, &a)
	}
}

// write writes an answer.
func (w *watched) write(s *observe.Snapshot, a *answer) {
	since := 0.0
	if !w.written.IsZero() {
		since = w.reads.Asked.Sub(w.written).Seconds()
	}
	w.written = w.reads.Asked
	w.queues.write(s, &a.reading)
	if a.clients != nil {
		if w.kind.Shared {
			w.queues.hire(a.reading.Queues, a.clients)
		} else {
			w.queues.employ(a.reading.Queues, a.clients)
		}
	}
	for _, b := range a.reading.Queues {
		if known := w.queues.shown[b.Name]; known != nil {
			known.writeWorkers(s, b.Consumers, since)
		}
	}
	w.queues.writeServers(s, a.servers, since)
	w.unknown = a.unknown
}

// gaps reports what is not observed of a broker.
func (w *watched) gaps(s *observe.Snapshot, rest time.Duration) {
	if w.reads.Pending() && time.Since(w.reads.Asked) > hangs {
		s.Gap(name, fmt.Sprintf("a question to the broker at %s hangs: its queues are not observed", w.source.Address()),
			"see that the file system of password_file answers")
		return
	}
	if w.err != nil {
		sampler.Gap(s, name, w.err)
		return
	}
	if w.partial != nil {
		sampler.Gap(s, name, w.partial)
	}
	if w.unknown != nil {
		s.Gap(name, fmt.Sprintf("the connections to the broker at %s cannot be read: its consumers are not joined to processes", w.source.Address()),
			"run as root, or with CAP_SYS_PTRACE")
	}
	if w.source != nil && rest*w.took > slow {
		s.Gap(name, fmt.Sprintf("the broker at %s takes long to list its queues: they are read less than once in %v", w.source.Address(), slow),
			"delete queues and close channels that are not used")
	}
}

// end ends the queues of a broker that has ended.
func (w *watched) end(s *observe.Snapshot) {
	if w.queues != nil {
		w.queues.end(s)
	}
	w.close()
}

func (w *watched) close() {
	if w.source != nil {
		w.source.Close()
	}
	w.source = nil
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	r.cancel()
	r.asking.Wait()
	for _, w := range r.order() {
		w.close()
	}
	return nil
}
