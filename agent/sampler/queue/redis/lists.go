// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"slices"
	"strings"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// maxServers is the maximum number of workers of one library that are read.
const maxServers = 500

// A layout is how a library keeps its queues in lists.
type layout interface {
	// signs are keys of which at least one exists if the library is used.
	signs() []string
	// read adds its queues to a reading.
	read(context.Context, *source, *broker.Reading) error
}

// A found is a layout, and whether the server has it.
type found struct {
	layout
	here bool
}

// look finds which layouts the server has, and whether it has streams. A key that is looked
// up counts as a hit or a miss of the server: this is done once a minute.
func (s *source) look(ctx context.Context) error {
	if time.Now().Before(s.looked) {
		return nil
	}
	exists := make([][]*client.IntCmd, len(s.lists))
	if _, err := s.db.Pipelined(ctx, func(p client.Pipeliner) error {
		for i, l := range s.lists {
			for _, key := range l.signs() {
				exists[i] = append(exists[i], p.Exists(ctx, key))
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for i := range s.lists {
		s.lists[i].here = slices.ContainsFunc(exists[i], func(c *client.IntCmd) bool { return c.Val() > 0 })
	}
	s.looked = time.Now().Add(rescanEvery)
	calls, err := s.db.Info(ctx, "commandstats").Result()
	s.streamed = err != nil || callsOf(calls)["xadd"] > 0
	return nil
}

// has reports whether the server has a layout of type L.
func has[L layout](s *source) bool {
	return slices.ContainsFunc(s.lists, func(f found) bool {
		_, same := f.layout.(L)
		return f.here && same
	})
}

// members returns the members of a set that has names; nil if it is none, or has too many.
func members(ctx context.Context, db *client.Client, key string, most int64) ([]string, error) {
	n, err := db.SCard(ctx, key).Result()
	if err != nil || n == 0 || n > most {
		return nil, notKey(err)
	}
	all, err := db.SMembers(ctx, key).Result()
	if err != nil {
		return nil, notKey(err)
	}
	all = slices.DeleteFunc(all, func(name string) bool { return !isName(name) })
	slices.Sort(all)
	return all, nil
}

// A server is a process that takes jobs from some queues.
type server struct {
	id     string
	queues []string
	// slots is how many jobs it handles at a time, and busy how many it does now.
	slots, busy float64
	done        float64 // since it started
}

// A pool is the queues that the same servers take jobs from: which of the queues a job came
// from that is done is not known.
type pool struct {
	queues  []string
	servers []server
	// alike is set if each server takes jobs from all the queues.
	alike bool
}

// sum adds up the answers about the queues.
func (p *pool) sum(of map[string]*client.IntCmd) float64 {
	n := 0.0
	for _, q := range p.queues {
		if c := of[q]; c != nil {
			n += float64(c.Val())
		}
	}
	return n
}

func (p *pool) name() string { return strings.Join(p.queues, ",") }

// pools groups the queues by the servers that take jobs from them.
func pools(queues []string, servers []server) []*pool {
	of := make(map[string]*pool)
	for _, q := range queues {
		of[q] = &pool{queues: []string{q}}
	}
	for _, s := range servers {
		joined := &pool{servers: []server{s}}
		for _, q := range s.queues {
			if p := of[q]; p == nil {
				joined.queues = append(joined.queues, q)
			} else if !slices.Contains(joined.queues, q) {
				joined.queues = append(joined.queues, p.queues...)
				joined.servers = append(joined.servers, p.servers...)
			}
		}
		for _, q := range joined.queues {
			of[q] = joined
		}
	}
	var all []*pool
	for _, p := range of {
		if !slices.Contains(all, p) {
			all = append(all, p)
			slices.Sort(p.queues)
			p.alike = !slices.ContainsFunc(p.servers, func(s server) bool { return !slices.Equal(s.queues, p.queues) })
		}
	}
	slices.SortFunc(all, func(a, b *pool) int { return strings.Compare(a.name(), b.name()) })
	return all
}

// list splits names, sorts them and drops the ones that are repeated.
func list(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isName(name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// inHand is the number of jobs for each worker that may be in neither a list nor what it
// holds: it has just taken them.
const inHand = 2

// A tally counts the jobs of a pool from its levels and from the jobs that are done.
type tally struct {
	counts broker.Counts
	begun  bool
	// high is the largest number of jobs that had been added, as far as the levels tell. A
	// job that a server has taken is in no list for some milliseconds.
	high float64
}

// tallies are those of pools, by name. Pools that are no longer there cost a few bytes.
type tallies map[string]*tally

// count counts the jobs of a pool up to now. done are those done since the last time, and
// unseen how many more may have been taken from the lists. If more than these are missing,
// they were deleted.
func (all tallies) count(q *broker.Queue, done, unseen float64) map[broker.Part]broker.Counts {
	t := all[q.Name]
	if t == nil {
		t = &tally{}
		all[q.Name] = t
	}
	t.counts.Acked += done
	level := t.counts.Acked + q.Ready + q.Unacked
	switch {
	case !t.begun || level < t.high-unseen:
		t.begun, t.high = true, level
	case level > t.high:
		t.counts.Published += level - t.high
		t.high = level
	}
	t.counts.Delivered = max(t.counts.Delivered, t.counts.Acked+q.Unacked)
	return map[broker.Part]broker.Counts{"queue": t.counts}
}

// queue returns what is known of the pool's jobs. Each slot of a server holds one at most.
func (p *pool) queue(waiting map[string]*client.IntCmd) broker.Queue {
	q := broker.Queue{Name: p.name(), Ready: p.sum(waiting)}
	for _, s := range p.servers {
		q.Consumers += s.slots
		q.Unacked += s.busy
		for i := range int(s.slots) {
			q.Hold(min(1, max(0, s.busy-float64(i))), 1)
		}
	}
	return q
}
