// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"net/netip"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

const (
	// ackBytes is the size of a basic.ack, basic.nack or basic.reject of AMQP 0-9-1: a
	// worker that only consumes sends one for each message, and little else.
	ackBytes = 21
	// leastAcks is the number of acknowledgements between two looks from which the bytes of
	// a worker identify its queue, and less and more the share of them within which its
	// bytes may be: the two numbers are read one after the other, and heartbeats and
	// questions about the queue are bytes, too.
	leastAcks  = 20
	less, more = 0.9, 1.3
)

// A crew is the processes of one program that consume from a broker, with the number of
// their connections.
type crew struct {
	processes map[observe.ID]int
	sent      float64 // bytes between the last two looks
}

// publishes reports whether a client does not consume: one that does receives more than
// it sends.
func (c *client) publishes() bool {
	return !c.consumes && c.now.counted && c.now.received <= c.now.sent
}

// crews groups the clients of a broker that consume, by what they run and for whom.
// ok is false if some of them run elsewhere, or if it is not known which clients consume.
//
// Where bytes are not known, in other
// network namespaces, all clients have to be of one crew.
func (q *queues) crews(clients []client) (all map[string]*crew, ok bool) {
	all = make(map[string]*crew)
	uncounted := false
	for _, c := range clients {
		if c.publishes() {
			continue
		}
		if c.process.id == observe.None {
			return nil, false
		}
		uncounted = uncounted || !c.now.counted
		key := catalog.Command(q.index, c.process.id)
		for _, attr := range []string{catalog.AttrWorkload, catalog.AttrService} {
			key += "\x00" + q.index.Inherited(c.process.id, attr)
		}
		if all[key] == nil {
			all[key] = &crew{processes: make(map[observe.ID]int)}
		}
		all[key].processes[c.process.id]++
		all[key].sent += float64(c.sent)
	}
	return all, !uncounted || len(all) == 1
}

// employ sets which processes consume from each queue, if that is known.
func (q *queues) employ(read []broker.Queue, clients []client) {
	served, total := make(map[string]*shown), make(map[string]float64)
	for _, b := range read {
		if w := q.shown[b.Name]; b.Consumers > 0 && w != nil {
			served[b.Name] = w
			total[b.Name], w.looked = w.total.Acked-w.looked, w.total.Acked
		}
	}
	all, ok := q.crews(clients)
	for _, w := range q.shown {
		if !ok || served[w.name] == nil {
			w.workers = nil
		}
	}
	if !ok {
		return
	}
	if len(served) == 1 && len(all) == 1 {
		for _, w := range served {
			for _, c := range all {
				w.workers = c.processes
			}
		}
		return
	}
	q.match(served, total, all)
}

// hire sets which processes consume from each queue by the addresses of their connections.
// Those of a queue are not known if one of them is not.
func (q *queues) hire(read []broker.Queue, clients []client) {
	at := make(map[netip.AddrPort]observe.ID)
	for _, c := range clients {
		at[c.now.local] = c.process.id
	}
	for _, w := range q.shown {
		w.workers = nil
	}
	for _, b := range read {
		w, processes := q.shown[b.Name], make(map[observe.ID]int)
		for _, a := range b.Clients {
			id, known := at[a]
			if !known {
				id = observe.None
			}
			processes[id]++
		}
		if w != nil && processes[observe.None] == 0 && (b.Servers == 0 || b.Servers == len(processes)) {
			w.workers = processes
		}
	}
}

// match finds the crew of each queue by the bytes of its acknowledgements. A queue with
// too few of them keeps the crew that it had.
func (q *queues) match(served map[string]*shown, acked map[string]float64, all map[string]*crew) {
	fits := func(queue string, c *crew) bool {
		n := c.sent / ackBytes
		return acked[queue] >= leastAcks && n >= less*acked[queue] && n <= more*acked[queue]
	}
	for name, w := range served {
		var found *crew
		n := 0
		for _, c := range all {
			if fits(name, c) {
				found, n = c, n+1
			}
		}
		for other := range served {
			if other != name && found != nil && fits(other, found) {
				n++
			}
		}
		switch {
		case n == 1:
			w.workers = found.processes
		case acked[name] >= leastAcks:
			w.workers = nil
		}
	}
}

// writeWorkers writes which processes consume from the queue, and for how long they did.
// There are at least as many consumers as processes, unless the broker's number is old.
func (w *shown) writeWorkers(s *observe.Snapshot, consumers, seconds float64) {
	for id := range w.worked {
		if w.workers[id] == 0 {
			delete(w.worked, id)
		}
	}
	if len(w.workers) == 0 || float64(len(w.workers)) > consumers {
		return
	}
	s.Set(catalog.QueueWorkers, w.id, float64(len(w.workers)))
	for id := range w.workers {
		w.worked[id] += seconds
		s.SetPair(catalog.QueueWorkerTime, w.id, id, w.worked[id])
	}
}
