// SPDX-License-Identifier: Apache-2.0

// Package redis samples what each Redis on this host says of itself: hits, misses, evicted
// keys, the number of its keys, its memory and the limit of that. It finds servers among
// the known processes, and asks each with one command, INFO, over one connection and
// without credentials. It reads and writes no key.
//
// A server is asked in a goroutine, so that one that hangs delays nothing. It is asked less
// often the longer it takes to answer: INFO runs in its only thread. rediskeys samples what
// its clients ask for.
package redis

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "redis"

// Sampler asks each Redis.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Asks each Redis, Valkey and KeyDB on this host for its hits, evictions, keys and memory (INFO, without credentials).",
	Provides: []*observe.Metric{catalog.RedisHits, catalog.RedisMisses, catalog.RedisEvicted, catalog.RedisExpired,
		catalog.RedisKeyCount, catalog.RedisMemory, catalog.RedisData, catalog.RedisLimit},
	Every: time.Second,
	Open:  open,
}

const (
	// findEvery is the maximum time until a new server is found, and lookEvery until it is
	// found that it listens.
	findEvery, lookEvery = 5 * time.Second, 10 * time.Second
	// askEvery is the time between two questions of a diagnosis. An answer takes the server
	// 0.1 ms.
	askEvery = 2 * time.Second
	// rest is the pause after an answer, as a multiple of the time that it took.
	rest = 200
	// failedRest is the pause after a question without an answer: some are in the log of
	// the server.
	failedRest = time.Minute
	// deadline is the maximum time for an answer.
	deadline = time.Second
	// patience is how long a reading waits for the answers of all servers, which are
	// otherwise part of the next reading.
	patience = 100 * time.Millisecond
	// maxServers is the maximum number of servers on one host, as of rediskeys.
	maxServers = 16
	// busPort is the distance of the port of a cluster's bus from that of the clients. The
	// server logs an error for a connection to it that speaks another protocol.
	busPort = 10_000
)

type reader struct {
	host    *sampler.Host
	began   time.Time
	find    time.Time // of the next search: processes become known in the first seconds
	servers map[observe.ID]*server
	more    bool
	ctx     context.Context
	cancel  context.CancelFunc
	asking  sync.WaitGroup
}

// A server is a process of Redis.
type server struct {
	pid    int
	id     observe.ID  // of its keys
	source *connection // nil while it does not listen
	look   time.Time   // of the next look at its ports
	info   sampler.Question[info]
	err    error
}

func open(h *sampler.Host) (sampler.Reader, error) {
	r := &reader{host: h, began: time.Now(), servers: make(map[observe.ID]*server)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	now := time.Now()
	if !now.Before(r.find) {
		r.search()
		r.find = now.Add(min(findEvery, now.Sub(r.began)+time.Second))
	}
	if r.more {
		s.Gap(name, fmt.Sprintf("more than %d servers of Redis run on this host: the others are not observed", maxServers), "")
	}
	for _, v := range r.servers {
		r.locate(v, now)
		r.ask(v, now)
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	for _, id := range r.order() {
		v := r.servers[id]
		v.take(r.host.Index, s, wait.C)
		if v.err != nil {
			sampler.Gap(s, name, v.err)
		}
	}
	return nil
}

// order returns the servers in the order of their IDs, for equal output of equal input.
func (r *reader) order() []observe.ID {
	ids := make([]observe.ID, 0, len(r.servers))
	for id := range r.servers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// search finds new servers among the processes that are known, and drops those that ended.
func (r *reader) search() {
	x := r.host.Index
	r.more = false
	for id, v := range r.servers {
		if now, ok := r.host.Identity.Current(v.pid); !ok || now != id {
			v.close()
			delete(r.servers, id)
		}
	}
	for id := observe.ID(0); int(id) < x.Len(); id++ {
		if x.Entity(id).Kind == observe.Process && r.servers[id] == nil && x.Attr(id, catalog.AttrRuntime) == "redis" {
			r.found(id)
		}
	}
}

func (r *reader) found(id observe.ID) {
	pid, err := strconv.Atoi(r.host.Index.Attr(id, catalog.AttrPID))
	if err != nil {
		return
	}
	if now, ok := r.host.Identity.Current(pid); !ok || now != id || r.isFork(pid) {
		return
	}
	if len(r.servers) >= maxServers {
		r.more = true
		return
	}
	r.servers[id] = &server{pid: pid, id: catalog.KeysOf(r.host.Index, id)}
}

// isFork reports whether a process is a child that saves the data: it serves no client.
func (r *reader) isFork(pid int) bool {
	fs, err := procfs.NewFS(r.host.Proc)
	if err != nil {
		return false
	}
	p, err := fs.Proc(pid)
	if err != nil {
		return false
	}
	stat, err := p.Stat()
	if err != nil {
		return false
	}
	parent, ok := r.host.Identity.Current(stat.PPID)
	return ok && r.host.Index.Attr(parent, catalog.AttrRuntime) == "redis"
}

// locate looks for the port of a server, as long as it is not known or does not answer.
func (r *reader) locate(v *server, now time.Time) {
	if v.info.Pending() || now.Before(v.look) || v.source != nil && v.err == nil {
		return
	}
	v.look = now.Add(lookEvery)
	at, err := place.Of(r.host.Proc, v.pid)
	if err != nil {
		v.err = sampler.NotSupported("run as root, or with CAP_SYS_PTRACE", "the port of Redis (pid %d) cannot be found: its hits and evictions are not observed", v.pid)
		return
	}
	address, ok := addressOf(at)
	switch {
	case !ok:
		v.close()
		v.err = sampler.NotSupported("let it listen on a port that headroom can reach", "Redis (pid %d) listens on no TCP port that headroom can reach: its hits and evictions are not observed", v.pid)
	case v.source == nil || v.source.address != address:
		v.close()
		v.source, v.err, v.info.Next = &connection{address: address}, nil, now
	}
}

// addressOf returns the address for clients: the lowest port that is not the bus of a
// cluster.
func addressOf(p place.Place) (a netip.AddrPort, ok bool) {
	all := slices.Clone(p.Listens)
	slices.SortFunc(all, func(a, b netip.AddrPort) int {
		return cmp.Or(cmp.Compare(a.Port(), b.Port()), a.Addr().Compare(b.Addr()))
	})
	for _, a := range all {
		if _, bus := p.At(a.Port() - busPort); a.Port() <= busPort || !bus {
			return a, true
		}
	}
	return a, false
}

// ask begins a question if one is due.
func (r *reader) ask(v *server, now time.Time) {
	if v.source == nil || !v.info.Due(now) {
		return
	}
	v.info.Next = now.Add(r.host.Rest(askEvery))
	v.info.Ask(r.ctx, &r.asking, deadline, v.source.read)
}

// take writes the answer to the last question, if there is one before the end of wait.
func (v *server) take(x *observe.Index, s *observe.Snapshot, wait <-chan time.Time) {
	a, ok := v.info.Take(wait)
	if !ok {
		return
	}
	v.err = a.Err
	pause := rest * a.Took
	if a.Err != nil {
		pause = failedRest
	} else {
		v.write(x, s, a.Value)
	}
	if next := v.info.Asked.Add(min(pause, failedRest)); next.After(v.info.Next) {
		v.info.Next = next
	}
}

func (v *server) write(x *observe.Index, s *observe.Snapshot, i info) {
	if v.id != observe.None && x.Attr(v.id, catalog.AttrPolicy) != i.policy {
		x.Describe(v.id, observe.Info{Parent: x.Info(v.id).Parent, Attrs: map[string]string{catalog.AttrPolicy: i.policy}})
	}
	s.Set(catalog.RedisHits, v.id, i.hits)
	s.Set(catalog.RedisMisses, v.id, i.misses)
	s.Set(catalog.RedisEvicted, v.id, i.evicted)
	s.Set(catalog.RedisExpired, v.id, i.expired)
	s.Set(catalog.RedisKeyCount, v.id, i.keys)
	s.Set(catalog.RedisMemory, v.id, i.used)
	s.Set(catalog.RedisData, v.id, i.data)
	if i.limit > 0 {
		s.Set(catalog.RedisLimit, v.id, i.limit)
	}
}

func (v *server) close() {
	if source := v.source; source != nil {
		v.info.Drop(source.close)
	}
	v.source = nil
}

// Close implements sampler.Reader.
func (r *reader) Close() error {
	r.cancel()
	r.asking.Wait()
	for _, v := range r.servers {
		v.close()
	}
	return nil
}
