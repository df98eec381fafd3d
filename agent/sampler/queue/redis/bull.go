// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// defaultPrefix is that of the keys of BullMQ.
const defaultPrefix = "bull:"

// A history is what is remembered of a queue of BullMQ.
type history struct {
	counts broker.Counts
	// active are the jobs that were active at the last readings.
	active []float64
}

// remembered is the number of readings of which the largest number of active jobs is how
// many the workers handle at a time: between two jobs a worker has none.
const remembered = 8

// readBull returns a queue of BullMQ, whose keys begin with its name; ok is false if it is
// none. Each job takes a number of the counter id when it is added, and is then in one of
// the lists and sets until it has ended.
func (s *source) readBull(ctx context.Context, name string) (q broker.Queue, ok bool, err error) {
	var id *client.StringCmd
	var wait, paused, active, delayed, prioritized, children *client.IntCmd
	_, err = s.db.TxPipelined(ctx, func(p client.Pipeliner) error {
		id = p.Get(ctx, name+":id")
		wait, paused, active = p.LLen(ctx, name+":wait"), p.LLen(ctx, name+":paused"), p.LLen(ctx, name+":active")
		delayed, prioritized, children = p.ZCard(ctx, name+":delayed"), p.ZCard(ctx, name+":prioritized"), p.ZCard(ctx, name+":waiting-children")
		return nil
	})
	if errors.Is(err, client.Nil) || err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE") {
		return q, false, nil
	}
	if err != nil {
		return q, false, err
	}
	added, err := strconv.ParseFloat(id.Val(), 64)
	if err != nil {
		return q, false, nil
	}
	h := s.known[name]
	if h == nil {
		h = &history{}
		s.known[name] = h
	}
	later := float64(delayed.Val() + children.Val())
	ready := float64(wait.Val() + prioritized.Val())
	now := float64(active.Val())
	// A job that is tried again goes back to a list, and counts as one that was not done.
	h.counts.Published = max(h.counts.Published, added-later)
	taken := added - later - ready - float64(paused.Val())
	h.counts.Delivered = max(h.counts.Delivered, taken)
	h.counts.Acked = max(h.counts.Acked, taken-now)
	h.active = append(h.active, now)
	h.active = h.active[max(0, len(h.active)-remembered):]
	named := "bull:" + base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(name, defaultPrefix)))
	q = broker.Queue{
		Name:  strings.TrimPrefix(name, defaultPrefix),
		Ready: ready, Unacked: now, Consumers: slices.Max(h.active),
		Clients: s.peersOf(func(p peer) bool { return p.name == named || strings.HasPrefix(p.name, named+":w:") }),
		Counts:  map[broker.Part]broker.Counts{"queue": h.counts},
	}
	for i := range int(q.Consumers) {
		held := 1.0
		if float64(i) >= now {
			held = 0
		}
		q.Hold(held, 1)
	}
	return q, true, nil
}
