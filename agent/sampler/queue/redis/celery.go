// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// celery is the layout of Celery (kombu): a list for each queue and priority, and one hash
// of all messages that workers hold. Nothing counts the messages, but the calls of the
// commands that add and acknowledge them do, as long as they explain every change of the
// levels: other programs that use the same commands would make that differ.
//
//	_kombu.binding.celery           a set: routing key, pattern and queue
//	_kombu.binding.celery.pidbox    a set with an entry for each worker
//	celery, celery\x06\x163         lists of messages, by priority
//	unacked                         a hash of messages, unacked_index: when they were taken
type celery struct {
	bindings *finder
	// base are the counters and levels since which they agree, and last those of the last
	// reading. total are the messages since the first one.
	base, last *flows
	total      flows
	mixed      time.Time // until when the commands are not only those of Celery
	lists      []string  // of all priorities, as of the last look
	of         string    // the queue that they are of
	next       time.Time // of the next look at them
}

// flows are numbers of messages: that were added and acknowledged, and that are there.
type flows struct{ added, removed, here float64 }

const (
	kombuBinding = "_kombu.binding."
	kombuWorkers = kombuBinding + "celery.pidbox"
	kombuMark    = "\x06\x16" // separates the parts of a binding, and a priority
	// leastInHand is the smallest number of messages that may be in neither the lists nor
	// the hash.
	leastInHand = 4
	// mixedFor is how long the commands are not counted after they did not explain the levels.
	mixedFor = 30 * time.Second
)

func newCelery() *celery { return &celery{bindings: newFinder("set", kombuBinding+"*")} }

func (*celery) signs() []string { return []string{kombuBinding + "celery", kombuWorkers, "unacked"} }

func (l *celery) read(ctx context.Context, s *source, r *broker.Reading) error {
	if err := l.bindings.find(ctx, s.db); err != nil || !l.bindings.passed {
		return err
	}
	queues, err := l.queues(ctx, s)
	if err != nil {
		return err
	}
	workers, err := s.db.SCard(ctx, kombuWorkers).Result()
	if notKey(err) != nil {
		return err
	}
	if len(queues) == 1 {
		return l.readOne(ctx, s, r, queues[0], float64(min(workers, maxServers)))
	}
	for _, name := range queues {
		n, err := s.db.LLen(ctx, name).Result()
		if notKey(err) != nil {
			return err
		}
		r.Queues = append(r.Queues, broker.Queue{Name: name, Ready: float64(n), Consumers: float64(workers), Uncounted: true})
	}
	if len(queues) > 1 {
		r.Partial = sampler.NotSupported("give each queue a Redis of its own to have its arrivals and the number of workers",
			"Celery has several queues in Redis at %s: the messages of each are not counted", s.at)
	}
	return nil
}

// queues returns the names of the queues that messages are bound to.
func (l *celery) queues(ctx context.Context, s *source) ([]string, error) {
	var all []string
	for key := range l.bindings.keys {
		if exchange := strings.TrimPrefix(key, kombuBinding); exchange == "celeryev" || strings.HasSuffix(exchange, ".pidbox") {
			continue // messages between workers
		}
		bound, err := s.db.SMembers(ctx, key).Result()
		if notKey(err) != nil {
			return nil, err
		}
		if len(bound) == 0 {
			l.bindings.missed(key)
		}
		for _, b := range bound[:min(len(bound), maxQueues)] {
			if parts := strings.Split(b, kombuMark); isName(parts[len(parts)-1]) {
				all = append(all, parts[len(parts)-1])
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// priorities are the suffixes of the lists of messages with a priority.
var priorities = []string{kombuMark + "3", kombuMark + "6", kombuMark + "9"}

// look finds which lists a queue has: nearly all have one.
func (l *celery) look(ctx context.Context, s *source, queue string) error {
	if l.of == queue && time.Now().Before(l.next) {
		return nil
	}
	lists := []string{queue}
	for _, p := range priorities {
		n, err := s.db.Exists(ctx, queue+p).Result()
		if err != nil {
			return err
		}
		if n > 0 {
			lists = append(lists, queue+p)
		}
	}
	l.lists, l.of, l.next = lists, queue, time.Now().Add(rescanEvery)
	return nil
}

func (l *celery) readOne(ctx context.Context, s *source, r *broker.Reading, name string, workers float64) error {
	if err := l.look(ctx, s, name); err != nil {
		return err
	}
	var lists []*client.IntCmd
	var unacked *client.IntCmd
	var calls *client.StringCmd
	if _, err := s.db.TxPipelined(ctx, func(p client.Pipeliner) error {
		for _, key := range l.lists {
			lists = append(lists, p.LLen(ctx, key))
		}
		unacked, calls = p.HLen(ctx, "unacked"), p.Info(ctx, "commandstats")
		return nil
	}); notKey(err) != nil {
		return err
	}
	q := broker.Queue{Name: name, Unacked: float64(unacked.Val()), Consumers: workers}
	for _, c := range lists {
		q.Ready += float64(c.Val())
	}
	n := callsOf(calls.Val())
	now := flows{added: n["lpush"] + n["rpush"], removed: n["zrem"], here: q.Ready + q.Unacked}
	if !has[*sidekiq](s) && s.peers != nil {
		q.Clients = s.peersOf(pops)
		q.Consumers, q.Servers = float64(len(q.Clients)), len(q.Clients) // a worker that was killed keeps its entry
	}
	if q.Uncounted = !l.count(now, max(leastInHand, inHand*q.Consumers)); q.Uncounted {
		r.Partial = sampler.NotSupported("give Celery a Redis of its own to have its arrivals and the number of workers",
			"other programs use LPUSH, RPUSH or ZREM in Redis at %s, too: the messages of Celery are not counted", s.at)
	}
	q.Counts = map[broker.Part]broker.Counts{"queue": {Published: l.total.added, Delivered: l.total.removed + q.Unacked, Acked: l.total.removed}}
	r.Queues = append(r.Queues, q)
	return nil
}

// count counts up to now. It reports whether the commands explain the levels.
func (l *celery) count(now flows, tolerance float64) bool {
	if l.last == nil || now.added < l.last.added || now.removed < l.last.removed {
		l.base, l.last = &now, &now // the first reading, or counters that began again
	}
	l.total.added += now.added - l.last.added
	l.total.removed += now.removed - l.last.removed
	l.last = &now
	if math.Abs(now.added-l.base.added-(now.removed-l.base.removed)-(now.here-l.base.here)) > tolerance {
		l.mixed, l.base = time.Now().Add(mixedFor), &now
	}
	return time.Now().After(l.mixed)
}

// callsOf returns how often commands were called.
//
//	cmdstat_lpush:calls=30,usec=156,usec_per_call=5.20,rejected_calls=0,failed_calls=0
func callsOf(info string) map[string]float64 {
	n := make(map[string]float64)
	for line := range strings.SplitSeq(info, "\r\n") {
		command, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		calls, _, _ := strings.Cut(rest, ",")
		if v, err := strconv.ParseFloat(calls, 64); ok && err == nil {
			n[command] = v
		}
	}
	return n
}
