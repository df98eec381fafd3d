// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// sidekiq is the layout of Sidekiq: a list for each queue, and a hash for each process,
// which writes its state and the number of jobs that it has done every five seconds.
//
//	queues               default mailers
//	queue:default        a list of jobs
//	processes            web-1:4242:66fd25fce2eb …
//	web-1:4242:66fd…     busy 2, quiet false, info {"concurrency":10,"queues":["default"],…}
//	stat:processed       of all processes
type sidekiq struct {
	done    float64
	known   bool // whether done is
	tallies tallies
}

// sidekiqBeat is the time between two reports of a process.
const sidekiqBeat = 5 * time.Second

const sidekiqDone = "stat:processed"

// sidekiqFields are the fields of a process that are read, in the order of parseProcess.
var sidekiqFields = []string{"busy", "info"}

func (*sidekiq) signs() []string { return []string{"queues", "processes"} }

func (l *sidekiq) read(ctx context.Context, s *source, r *broker.Reading) error {
	names, err := members(ctx, s.db, "queues", maxQueues)
	if err != nil {
		return err
	}
	processes, err := members(ctx, s.db, "processes", maxServers)
	if err != nil || len(names) == 0 {
		return err
	}
	waiting := make(map[string]*client.IntCmd)
	fields := make(map[string]*client.SliceCmd)
	var done *client.StringCmd
	if _, err = s.db.TxPipelined(ctx, func(p client.Pipeliner) error {
		for _, name := range names {
			waiting[name] = p.LLen(ctx, "queue:"+name)
		}
		for _, key := range processes {
			fields[key] = p.HMGet(ctx, key, sidekiqFields...)
		}
		done = p.Get(ctx, sidekiqDone)
		return nil
	}); notKey(err) != nil {
		return err
	}
	var servers []server
	for key, c := range fields {
		if v, ok := parseProcess(c.Val()); ok {
			v.id = key
			servers = append(servers, v)
		}
	}
	r.Every = sidekiqBeat
	l.write(s, r, pools(names, servers), waiting, done)
	return nil
}

// write adds a queue for each pool. The jobs done are known of all processes together.
func (l *sidekiq) write(s *source, r *broker.Reading, all []*pool, waiting map[string]*client.IntCmd, done *client.StringCmd) {
	n, _ := strconv.ParseFloat(done.Val(), 64) //nolint:errcheck // 0 before the first job
	more, working := 0.0, 0
	if l.known {
		more = max(0, n-l.done)
	}
	l.done, l.known = n, true
	for _, p := range all {
		if len(p.servers) > 0 {
			working++
		}
	}
	for _, p := range all {
		q := p.queue(waiting)
		if len(p.servers) == 0 && q.Ready == 0 {
			continue // another program may have a set of this name
		}
		if working == 1 && len(p.servers) > 0 && !has[*celery](s) {
			q.Clients, q.Servers = s.peersOf(pops), len(p.servers)
		}
		handled := more
		if len(p.servers) == 0 {
			handled = 0
		}
		q.Counts = l.tallies.count(&q, handled, math.Inf(1)) // those since the last report
		if q.Uncounted = len(p.servers) > 0 && (!p.alike || working > 1); q.Uncounted {
			r.Partial = sampler.NotSupported("", "processes of Sidekiq in Redis at %s take jobs from different queues, and Sidekiq counts the jobs of all together: the jobs of each queue are not counted", s.at)
		}
		r.Queues = append(r.Queues, q)
	}
}

// parseProcess returns a process from its fields; ok is false if it has ended.
func parseProcess(fields []any) (v server, ok bool) {
	if len(fields) != len(sidekiqFields) {
		return v, false
	}
	busy, _ := fields[0].(string) //nolint:errcheck // "" is no number
	info, _ := fields[1].(string) //nolint:errcheck // "" is no JSON
	var is struct {
		Concurrency float64  `json:"concurrency"`
		Queues      []string `json:"queues"`
	}
	if json.Unmarshal([]byte(info), &is) != nil || is.Concurrency < 1 || is.Concurrency > maxServers {
		return v, false
	}
	v.queues, v.slots = list(is.Queues), is.Concurrency
	v.busy, _ = strconv.ParseFloat(busy, 64) //nolint:errcheck // not known
	return v, len(v.queues) > 0
}
