// SPDX-License-Identifier: Apache-2.0

// Package rediskeys samples how many keys the clients of each Redis read and write, and
// how many keys a cache must hold for most of the hits: what a larger Redis would win, and
// a smaller one lose. bpf/rediskeys sees the keys, as hashes, and agent/missratio
// calculates reuse distances. Neither hashes nor keys leave this package.
package rediskeys

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/missratio"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/rediskeys"
)

const name = "rediskeys"

// Sampler reads the keys of Redis.
var Sampler = &sampler.Sampler{
	Name: name,
	Doc:  "Counts the keys that clients of Redis, Valkey and KeyDB read and write, and how many keys a cache must hold for most of the hits. Keys are hashed in the kernel with a secret (eBPF, Linux 6.3).",
	Provides: []*observe.Metric{catalog.RedisReads, catalog.RedisWrites, catalog.RedisReachable,
		catalog.RedisKeys80, catalog.RedisKeys90, catalog.RedisKeys95, catalog.RedisReuse, catalog.RedisFirst, catalog.RedisSeen, catalog.RedisCurve},
	Open: open,
}

const (
	// lookEvery is the interval between looks for processes of Redis.
	lookEvery = 10 * time.Second
	// maxRate is how many accesses per second one process may have in the sample. A fast
	// server with few keys would fill the ring, and take 2 % of a CPU per 100,000.
	maxRate = 20_000
	// enough is the number of reads before sizes are reported: a share of hits is then
	// known within 1 %.
	enough = 10_000
	// renewEvery is how long reads count: one to two times that.
	renewEvery = 30 * time.Minute
)

// sizes are the shares of the reachable hits for which a size is reported.
var sizes = []struct {
	metric *observe.Metric
	of     float64
}{{catalog.RedisKeys80, 0.8}, {catalog.RedisKeys90, 0.9}, {catalog.RedisKeys95, 0.95}}

// A probe is the probe of bpf/rediskeys, or of a test.
type probe interface {
	Watch(tgid int) (ok bool, err error)
	Unwatch(tgid int) error
	Sample(tgid int, below uint64) error
	Server(tgid int) (rediskeys.Server, error)
	Read(yield func(rediskeys.Access)) error
}

type reader struct {
	probe   probe
	host    *sampler.Host
	servers map[int]*server
	now     func() time.Time
	looked  time.Time
	read    time.Time
	full    bool
}

// A server is one process of Redis.
type server struct {
	process  observe.ID
	id       observe.ID       // of its keys
	curve    *missratio.Curve // nil until a key is accessed: a fork that saves has none
	seen     rediskeys.Server
	renewed  time.Time
	accesses int // in the sample since the last reading
}

func open(host *sampler.Host) (sampler.Reader, error) {
	p, err := sampler.Probe[*rediskeys.Probe](host, name)
	if err != nil {
		return nil, err
	}
	return newReader(host, p, time.Now), nil
}

func newReader(host *sampler.Host, p probe, now func() time.Time) *reader {
	return &reader{probe: p, host: host, servers: make(map[int]*server), now: now, read: now()}
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	now := r.now()
	if now.Sub(r.looked) >= lookEvery {
		r.looked = now
		if err := r.look(); err != nil {
			return err
		}
	}
	if err := r.probe.Read(r.access); err != nil {
		return fmt.Errorf("reading the keys of Redis: %w", err)
	}
	for pid, v := range r.servers {
		if err := r.report(s, pid, v, now); err != nil {
			return err
		}
	}
	if r.full {
		s.Gap(name, "the keys of some Redis processes are not counted: the limit of the eBPF probe was reached", "")
	}
	r.read = now
	return nil
}

func (r *reader) Close() error { return nil } // the probe belongs to host.Probes

// look finds the processes of Redis.
func (r *reader) look() error {
	entries, err := os.ReadDir(r.host.Proc)
	if err != nil {
		return err
	}
	r.full = false
	alive := make(map[int]bool)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid <= 0 {
			continue
		}
		id, ok := r.host.Identity.Current(pid)
		if !ok || r.host.Index.Attr(id, catalog.AttrRuntime) != "redis" {
			continue
		}
		if v := r.servers[pid]; v == nil || v.process != id {
			if err := r.watch(pid, id); err != nil {
				return err
			}
		}
		alive[pid] = true
	}
	for pid := range r.servers {
		if !alive[pid] {
			if err := r.unwatch(pid); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) watch(pid int, id observe.ID) error {
	if err := r.unwatch(pid); err != nil { // another process had this number
		return err
	}
	ok, err := r.probe.Watch(pid)
	if err != nil {
		return fmt.Errorf("watching a Redis: %w", err)
	}
	if !ok {
		r.full = true
		return nil
	}
	r.servers[pid] = &server{process: id, id: catalog.KeysOf(r.host.Index, id), renewed: r.now()}
	return nil
}

func (r *reader) unwatch(pid int) error {
	if r.servers[pid] == nil {
		return nil
	}
	delete(r.servers, pid)
	return r.probe.Unwatch(pid)
}

// access adds an access to a key in the sample.
func (r *reader) access(a rediskeys.Access) {
	v := r.servers[a.Tgid]
	if v == nil {
		return
	}
	if v.curve == nil {
		v.curve = missratio.New()
	}
	v.accesses++
	switch a.Kind {
	case rediskeys.Read:
		v.curve.Read(a.Hash)
	case rediskeys.Write:
		v.curve.Write(a.Hash)
	case rediskeys.Delete:
		v.curve.Delete(a.Hash)
	case rediskeys.Flush:
		v.curve.DeleteAll()
	}
}

// report writes what is known of one process.
func (r *reader) report(s *observe.Snapshot, pid int, v *server, now time.Time) error {
	seen, err := r.probe.Server(pid)
	if err != nil {
		return err
	}
	r.uncounted(s, v, seen)
	if v.curve != nil {
		v.count(seen, now.Sub(r.read))
		if err := r.probe.Sample(pid, v.curve.Threshold()); err != nil {
			return err
		}
		if now.Sub(v.renewed) >= renewEvery {
			v.renewed = now
			v.curve.Renew()
		}
		v.write(s)
	}
	v.seen = seen
	if _, ok := r.host.Identity.Current(pid); ok {
		s.Set(catalog.RedisReads, v.id, float64(seen.Reads))
		s.Set(catalog.RedisWrites, v.id, float64(seen.Writes))
	}
	return nil
}

// uncounted writes a gap if more than one in twenty commands is not counted.
func (r *reader) uncounted(s *observe.Snapshot, v *server, seen rediskeys.Server) {
	const oneIn = 20
	counted := seen.Reads + seen.Writes - v.seen.Reads - v.seen.Writes
	uncounted := seen.Uncounted - v.seen.Uncounted
	if uncounted > 0 && uncounted*oneIn > counted {
		s.ProcessGap(v.process, name, "some keys of Redis are not counted: connections are encrypted, or keys are accessed by scripts, or by commands with several kinds of keys",
			"ask Redis itself: INFO commandstats has the calls of each command")
	}
}

// count adds the reads since the last reading. If accesses were lost, the order of keys is
// not known, and all begins again with a smaller sample.
func (v *server) count(seen rediskeys.Server, passed time.Duration) {
	lost := seen.Lost - v.seen.Lost
	v.curve.Slow(float64(v.accesses)+float64(lost), passed.Seconds(), maxRate)
	v.accesses = 0
	if lost > 0 {
		v.curve.Restart()
		return
	}
	v.curve.Count(float64(seen.Reads - v.seen.Reads))
}

func (v *server) write(s *observe.Snapshot) {
	total := v.curve.Total()
	s.Set(catalog.RedisCurve, v.id, total.Reads)
	fill(s.Hist(catalog.RedisReuse, v.id), total.Again[:])
	fill(s.Hist(catalog.RedisFirst, v.id), total.First[:])
	fill(s.Hist(catalog.RedisSeen, v.id), total.Seen[:])
	if v.curve.Reads() < enough {
		return
	}
	if share, ok := v.curve.Reachable(); ok {
		s.Set(catalog.RedisReachable, v.id, share)
	}
	for _, size := range sizes {
		if keys, ok := v.curve.Size(size.of); ok {
			s.Set(size.metric, v.id, keys)
		}
	}
}

// fill copies the counts of reads into a distribution. The sum of the values of a bucket is
// not known better than its bounds.
func fill(h observe.Hist, counts []float64) {
	for i, n := range counts {
		h.Count[i] = n
		h.Sum[i] = n * catalog.RedisBounds[min(i, len(catalog.RedisBounds)-1)]
	}
}
