// SPDX-License-Identifier: Apache-2.0

// Package upstreams samples the calls that each process makes to PostgreSQL and Redis: how
// long their answers take, and how many of its connections are in use. It is a thin layer
// over bpf/requests, which measures.
package upstreams

import (
	"fmt"
	"strconv"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/requests"
)

const name = "upstreams"

// Sampler reads calls at the sockets of clients.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Counts the calls of each process to PostgreSQL and Redis over TCP, how long each answer took, and how many connections are in use, from protocol headers, and which calls repeat a statement, or ask for the same again, from hashes with a secret (eBPF, Linux 6.3).",
	Provides: []*observe.Metric{catalog.CallDuration, catalog.CallBusy, catalog.CallActive, catalog.CallOldest, catalog.CallLate,
		catalog.ClientConnections, catalog.ClientUsedTime, catalog.ClientUsed, catalog.ClientUses, catalog.ClientIdleTime, catalog.ClientRTT,
		catalog.StatementCalls, catalog.StatementTime,
		catalog.ReadCalls, catalog.ReadTime, catalog.WriteCalls, catalog.UnclearCalls, catalog.ReadFollowed, catalog.ReadFresh, catalog.ReadStale,
		catalog.ReadReuse, catalog.ReadReuseTime, catalog.ReadFirst, catalog.ReadSeen, catalog.RepeatInterval, catalog.ReadBytes},
	Open: open,
}

// A probe is the probe of bpf/requests, or of a test.
type probe interface {
	ReadUpstreams(yield func(*requests.Upstream) (keep bool)) error
	ReadReads(yield func(requests.Read)) error
	Sample(upstream uint32, below uint64) error
	Opaque() map[requests.Opaque]int
	Lost() requests.Lost
}

type reader struct {
	probe   probe
	host    *sampler.Host
	lost    requests.Lost
	clients map[key]*client
	count   int

	byNumber map[uint32]*curve // by the number of their upstream
	followed int
	full     bool
	now      func() time.Time
	read     time.Time
}

// A key is a process and the address that it calls.
type key struct {
	process observe.ID
	address string
}

// A client is what is known of one of them.
type client struct {
	id    observe.ID
	seen  int // the last reading that found it
	quiet int // readings in a row without a connection

	statements map[uint64]*statement // by the hash
	numbers    int                   // statements that were ever added

	reads, before requests.Reads // the last two readings
	curve         *curve         // nil until it sends many reads
}

func open(host *sampler.Host) (sampler.Reader, error) {
	p, err := sampler.Probe[*requests.Probe](host, "requests")
	if err != nil {
		return nil, err
	}
	return newReader(host, p, time.Now), nil
}

func newReader(host *sampler.Host, p probe, now func() time.Time) *reader {
	return &reader{probe: p, host: host, clients: make(map[key]*client), byNumber: make(map[uint32]*curve), now: now, read: now()}
}

const (
	// userTick is the unit of start times in /proc, 1/USER_HZ.
	userTick = 10 * time.Millisecond
	// forgotten is the number of readings, one each second, after which an address without
	// a connection is dropped: a pod that was replaced.
	forgotten = 600
)

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	r.count++
	err := r.probe.ReadUpstreams(func(v *requests.Upstream) bool {
		process, ok := r.host.Identity.Process(int(v.Tgid), v.Start/uint64(userTick))
		if ok && (!v.Confirmed || r.host.Index.Attr(process, catalog.AttrSelf) != "") {
			return true // headroom asks a Redis for its counters
		}
		return ok && r.set(s, process, v)
	})
	if err != nil {
		return fmt.Errorf("reading calls to upstreams: %w", err)
	}
	for k, c := range r.clients {
		if c.seen != r.count {
			r.endReads(c)
			c.end(s)
			delete(r.clients, k)
		}
	}
	if err := r.readReads(s); err != nil {
		return err
	}
	r.gaps(s)
	return nil
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

// set writes the metrics of a client. It returns false for one that has had no
// connection for a long time.
func (r *reader) set(s *observe.Snapshot, process observe.ID, v *requests.Upstream) bool {
	c := r.client(process, v)
	c.quiet++
	if v.Connections > 0 {
		c.quiet = 0
	}
	if c.quiet > forgotten {
		return false
	}
	c.seen = r.count
	h := s.Hist(catalog.CallDuration, c.id)
	for i, n := range v.Answered.Count {
		h.Count[i], h.Sum[i] = float64(n), float64(v.Answered.Sum[i])/1e9
	}
	s.Set(catalog.CallBusy, c.id, v.Busy.Seconds())
	s.Set(catalog.CallActive, c.id, float64(v.Active))
	s.Set(catalog.CallOldest, c.id, v.Oldest.Seconds())
	s.Set(catalog.CallLate, c.id, v.Late.Seconds())
	s.Set(catalog.ClientConnections, c.id, float64(v.Connections))
	if v.RTT > 0 {
		s.Set(catalog.ClientRTT, c.id, v.RTT.Seconds())
	}
	r.setStatements(s, c, v)
	r.setReads(s, c, v)
	if v.Unreadable > 0 {
		s.ProcessGap(process, name, "for how long connections to "+v.Address.String()+" are in use is not known: the bytes that it receives cannot be read", "ask the database itself, such as pg_stat_activity of PostgreSQL")
		return true
	}
	s.Set(catalog.ClientUsed, c.id, float64(v.InUse))
	s.Set(catalog.ClientUsedTime, c.id, v.Used.Seconds())
	s.Set(catalog.ClientUses, c.id, float64(v.Uses))
	s.Set(catalog.ClientIdleTime, c.id, v.Idle.Seconds())
	return true
}

// systems are the values of AttrDatabase.
var systems = map[requests.Protocol]string{requests.Postgres: "postgresql", requests.Redis: "redis"}

func (r *reader) client(process observe.ID, v *requests.Upstream) *client {
	k := key{process, v.Address.String()}
	if c := r.clients[k]; c != nil {
		return c
	}
	parent := r.host.Index.Entity(process)
	c := &client{id: r.host.Index.ID(observe.Entity{Kind: observe.Client, ID: parent.ID + "/" + k.address}), statements: make(map[uint64]*statement)}
	r.host.Index.Describe(c.id, observe.Info{Parent: parent, Attrs: map[string]string{
		catalog.AttrDatabase:    systems[v.Protocol],
		catalog.AttrDestination: v.Address.Addr().String(),
		catalog.AttrDestPort:    strconv.Itoa(int(v.Address.Port())),
	}})
	r.clients[k] = c
	return c
}

// gaps reports what is not counted.
func (r *reader) gaps(s *observe.Snapshot) {
	for o := range r.probe.Opaque() {
		if process, ok := r.host.Identity.Current(int(o.Tgid)); ok {
			s.ProcessGap(process, name, "its calls to "+o.Address.String()+" are not counted: they are encrypted, or of a protocol that is not known", "ask the server itself for the calls and their time")
		}
	}
	lost := r.probe.Lost()
	if lost.Clients > r.lost.Clients || lost.Upstreams > r.lost.Upstreams {
		s.Gap(name, "the calls of some connections to upstreams are not counted: the limit of the eBPF probe was reached", "")
	}
	r.lost = lost
}
