// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// rq is the layout of RQ: a list for each queue, and a hash for each worker, which counts
// its jobs since version 1.0.
//
//	rq:queues            default high
//	rq:queue:default     a list of jobs
//	rq:wip:default       a sorted set of the jobs that workers handle
//	rq:workers           rq:worker:26d5 …
//	rq:worker:26d5       queues high,default, state busy, successful_job_count 12, ip_address 10.0.0.7:50626 …
type rq struct {
	done    map[string]float64 // by worker, as of the last reading
	tallies tallies
}

const (
	rqQueue  = "rq:queue:"
	rqHeld   = "rq:wip:"
	rqWorker = "rq:worker:"
)

func (*rq) signs() []string { return []string{"rq:queues"} }

// rqFields are the fields of a worker that are read, in the order of parseWorker.
var rqFields = []string{"queues", "state", "successful_job_count", "failed_job_count", "ip_address"}

func (l *rq) read(ctx context.Context, s *source, r *broker.Reading) error {
	keys, err := members(ctx, s.db, "rq:queues", maxQueues)
	if err != nil {
		return err
	}
	workers, err := members(ctx, s.db, "rq:workers", maxServers)
	if err != nil || len(keys) == 0 {
		return err
	}
	waiting, held := make(map[string]*client.IntCmd), make(map[string]*client.IntCmd)
	fields := make(map[string]*client.SliceCmd)
	if _, err = s.db.TxPipelined(ctx, func(p client.Pipeliner) error {
		for _, key := range keys {
			if name, ok := strings.CutPrefix(key, rqQueue); ok {
				waiting[name], held[name] = p.LLen(ctx, key), p.ZCard(ctx, rqHeld+name)
			}
		}
		for _, key := range workers {
			if strings.HasPrefix(key, rqWorker) {
				fields[key] = p.HMGet(ctx, key, rqFields...)
			}
		}
		return nil
	}); notKey(err) != nil {
		return err
	}
	l.write(s, r, waiting, held, fields)
	return nil
}

// write adds a queue for each pool.
func (l *rq) write(s *source, r *broker.Reading, waiting, held map[string]*client.IntCmd, fields map[string]*client.SliceCmd) {
	var names []string
	for name := range waiting {
		names = append(names, name)
	}
	addresses := make(map[string]netip.AddrPort)
	var servers []server
	for key, c := range fields {
		if v, at, ok := parseWorker(c.Val()); ok {
			v.id, addresses[key] = key, at
			servers = append(servers, v)
		}
	}
	done := make(map[string]float64)
	for _, p := range pools(names, servers) {
		q, more := p.queue(waiting), 0.0
		q.Unacked = p.sum(held) // changes together with the number of jobs done
		for _, v := range p.servers {
			done[v.id] = v.done
			if l.done != nil {
				more += max(0, v.done-l.done[v.id]) // a new worker began at 0
			}
			q.Clients = append(q.Clients, addresses[v.id])
		}
		q.Servers = len(p.servers)
		q.Counts = l.tallies.count(&q, more, inHand*max(1, q.Consumers))
		if q.Uncounted = !p.alike; q.Uncounted {
			r.Partial = sampler.NotSupported("start workers of the same queues, or workers that share no queue",
				"workers of RQ in Redis at %s take jobs from some of the same queues: the jobs of each are not counted", s.at)
		}
		r.Queues = append(r.Queues, q)
	}
	l.done = done
}

// parseWorker returns a worker from its fields; ok is false if it has ended.
func parseWorker(fields []any) (v server, at netip.AddrPort, ok bool) {
	text := make([]string, len(rqFields))
	for i := range min(len(fields), len(text)) {
		text[i], _ = fields[i].(string)
	}
	if v.queues = list(strings.Split(text[0], ",")); len(v.queues) == 0 {
		return v, at, false
	}
	v.slots = 1
	if text[1] == "busy" {
		v.busy = 1
	}
	for _, count := range text[2:4] {
		n, _ := strconv.ParseFloat(count, 64) //nolint:errcheck // 0 before the first job
		v.done += n
	}
	at, _ = netip.ParseAddrPort(text[4]) //nolint:errcheck // not known
	return v, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), true
}
