// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// maxShown is the maximum number of queues of one broker that are shown, the deepest
// first. The others are added up.
const maxShown = 100

// queues are the queues of one broker that are shown.
type queues struct {
	index   *observe.Index
	system  string
	address broker.Address
	from    string // the interface that the last reading is from
	shown   map[string]*shown
	// upstream is the time for which a worker was connected to the process that serves it,
	// in seconds.
	upstream map[observe.Pair]float64
}

// A shown is one of them.
type shown struct {
	id    observe.ID
	name  string
	last  map[broker.Part]broker.Counts
	total broker.Counts
	read  bool // in the last reading
	// looked are the acknowledgements at the last look at the connections. workers are the
	// processes that consume, with the number of their connections, nil if not known, and
	// worked the time for which they have, in seconds.
	looked  float64
	workers map[observe.ID]int
	worked  map[observe.ID]float64
}

func newQueues(x *observe.Index, system string, a broker.Address) *queues {
	return &queues{index: x, system: system, address: a, shown: make(map[string]*shown), upstream: make(map[observe.Pair]float64)}
}

// write writes a reading.
func (q *queues) write(s *observe.Snapshot, r *broker.Reading) {
	few, others, rest := q.choose(r.Queues)
	for _, known := range q.shown {
		known.read = false
		if r.From != q.from {
			known.last = nil
		}
	}
	q.from = r.From
	for _, b := range few {
		q.show(b.Name).write(s, b)
	}
	if rest > 0 {
		other := q.show(catalog.OtherQueues)
		other.read = true
		s.Set(catalog.QueueReady, other.id, others.Ready)
		s.Set(catalog.QueueUnacknowledged, other.id, others.Unacked)
		s.Set(catalog.QueueConsumers, other.id, others.Consumers)
	}
	for key, known := range q.shown {
		if !known.read {
			s.End(known.id, "deleted, or not one of the deepest")
			delete(q.shown, key)
		}
	}
}

// choose returns the queues to show, and the sum of the others. Of equally deep queues
// those that are shown already remain.
func (q *queues) choose(all []broker.Queue) (few []broker.Queue, others broker.Queue, rest int) {
	for _, b := range all {
		if !b.Temporary {
			few = append(few, b)
			continue
		}
		others, rest = plus(others, b), rest+1
	}
	if len(few) <= maxShown {
		return few, others, rest
	}
	hidden := func(b broker.Queue) int {
		if q.shown[b.Name] != nil {
			return 0
		}
		return 1
	}
	slices.SortFunc(few, func(a, b broker.Queue) int {
		return cmp.Or(cmp.Compare(b.Ready+b.Unacked, a.Ready+a.Unacked), cmp.Compare(hidden(a), hidden(b)),
			cmp.Compare(b.Consumers, a.Consumers), cmp.Compare(a.Name, b.Name))
	})
	for _, b := range few[maxShown:] {
		others, rest = plus(others, b), rest+1
	}
	return few[:maxShown], others, rest
}

func plus(sum, b broker.Queue) broker.Queue {
	sum.Ready += b.Ready
	sum.Unacked += b.Unacked
	sum.Consumers += b.Consumers
	return sum
}

// show returns the queue with a name, which becomes an entity.
func (q *queues) show(queue string) *shown {
	known := q.shown[queue]
	if known != nil {
		return known
	}
	known = &shown{name: queue, worked: make(map[observe.ID]float64), id: q.index.ID(observe.Entity{Kind: observe.Queue, ID: fmt.Sprintf("%s of %s %s", queue, q.system, q.address)})}
	q.index.Describe(known.id, observe.Info{Attrs: map[string]string{
		catalog.AttrSystem:  q.system,
		catalog.AttrQueue:   queue,
		catalog.AttrAddress: q.address.Host(),
		catalog.AttrPort:    strconv.Itoa(int(q.address.Port())),
	}})
	q.shown[queue] = known
	return known
}

func (q *queues) end(s *observe.Snapshot) {
	for _, known := range q.shown {
		s.End(known.id, "the broker ended")
	}
	clear(q.shown)
}

// write writes one queue.
func (w *shown) write(s *observe.Snapshot, b broker.Queue) {
	w.count(b.Counts)
	s.Set(catalog.QueueReady, w.id, b.Ready)
	s.Set(catalog.QueueUnacknowledged, w.id, b.Unacked)
	s.Set(catalog.QueueConsumers, w.id, b.Consumers)
	if !b.Uncounted {
		s.Set(catalog.QueuePublished, w.id, w.total.Published)
		s.Set(catalog.QueueDelivered, w.id, w.total.Delivered)
		s.Set(catalog.QueueAcknowledged, w.id, w.total.Acked)
		s.Set(catalog.QueueRedelivered, w.id, w.total.Redelivered)
	}
	busy, most := 0.0, 0.0
	for _, held := range b.Held {
		most = max(most, held)
		if held > 0 {
			busy++
		}
	}
	if b.Held != nil || b.Consumers == 0 {
		s.Set(catalog.QueueBusyConsumers, w.id, busy)
		s.Set(catalog.QueueMostHeld, w.id, most)
	}
	if b.HasPrefetch {
		s.Set(catalog.QueuePrefetch, w.id, b.Prefetch)
	}
}

// count adds the increase of each part to the total, which does not fall when a channel
// ends. The counters of the first reading are of unknown age; those of a part that
// appears later began since.
func (w *shown) count(now map[broker.Part]broker.Counts) {
	if w.read = true; w.last != nil {
		for part, c := range now {
			w.total = w.total.Add(c.Sub(w.last[part]))
		}
	}
	if w.last = now; now == nil {
		w.last = map[broker.Part]broker.Counts{}
	}
}
