// SPDX-License-Identifier: Apache-2.0

// Package broker is the contract between package queue, which finds message brokers and
// reports their queues, and a folder for each kind of broker, which reads them.
package broker

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
)

// A Kind is a kind of message broker.
type Kind struct {
	// System is the value of messaging.system: rabbitmq.
	System string
	// Program is the name of the executable of the server: beam.smp.
	Program string
	// Open returns how to read the broker at a place; ok is false if another program
	// than this broker runs there. An error is a Gap, for as long as the place is the
	// same: the source that the broker would have to offer is off. The logins are those of
	// the config whose address is one of the place.
	Open func(p place.Place, logins []sampler.Broker) (s Source, ok bool, err error)
	// Dial returns how to read a broker that only the config names; nil if the config
	// cannot name one of this kind.
	Dial func(sampler.Broker) Source
	// Shared is set if clients use the server for other work, too, so that a connection to
	// it does not make a process a consumer.
	Shared bool
}

// An Address is host:port. The host is an IP address, or a name in the config.
type Address string

// Host returns the part before the port, without brackets.
func (a Address) Host() string {
	host, _, _ := net.SplitHostPort(string(a)) //nolint:errcheck // it has a port
	return host
}

// Port returns the port.
func (a Address) Port() uint16 {
	_, port, _ := net.SplitHostPort(string(a)) //nolint:errcheck // it has a port
	n, _ := strconv.ParseUint(port, 10, 16)    //nolint:errcheck // it is a number
	return uint16(n)
}

// A Source reads the queues of one broker.
type Source interface {
	// Address is where clients connect to.
	Address() Address
	// Read returns what the broker has now. It returns when ctx ends. An error is a Gap,
	// until a later Read succeeds.
	Read(ctx context.Context) (Reading, error)
	// Close releases connections.
	Close()
}

// A Reading is what a broker reports at one time.
type Reading struct {
	Queues []Queue
	// From is the interface that was read. Counters of two interfaces are not compared.
	From string
	// Every is how often the numbers change, 0 if always: to ask more often repeats them.
	Every time.Duration
	// Partial is why the reading is not complete, nil if it is.
	Partial error
}

// A Queue is what a broker reports about one queue.
type Queue struct {
	// Name includes the virtual host, if it is not the default one.
	Name string
	// Temporary is set if the broker chose the name: such a queue belongs to one
	// connection, and its name is never used again.
	Temporary bool
	// Ready is the number of messages that wait, and Unacked of those that consumers
	// hold.
	Ready, Unacked float64
	Consumers      float64
	// Counts has the counters of the parts whose sum is the queue's: those of one channel
	// end with it.
	Counts map[Part]Counts
	// Uncounted is set if the counters are not known.
	Uncounted bool
	// Clients are the addresses that its consumers connect from, one or more for each; nil
	// if they are not known.
	Clients []netip.AddrPort
	// Servers is the number of processes that Clients are of, 0 if it is not known.
	Servers int
	// Held has the number of messages that each consumer holds, nil if that is not known.
	Held []float64
	// Prefetch is the largest number that a consumer may hold, 0 for no limit; HasPrefetch
	// is set if it is known.
	Prefetch    float64
	HasPrefetch bool
}

// Hold adds a consumer with the messages that it holds, and its limit. The limit of the
// queue is the largest; 0 is none.
func (q *Queue) Hold(held, prefetch float64) {
	q.Held = append(q.Held, held)
	if !q.HasPrefetch || q.Prefetch > 0 && (prefetch == 0 || prefetch > q.Prefetch) {
		q.Prefetch, q.HasPrefetch = prefetch, true
	}
}

// A Part is a connection or channel that has counters of its own, or the whole queue.
type Part string

// Counts are cumulative counters.
type Counts struct{ Published, Delivered, Acked, Redelivered float64 }

// Sub returns the increase since o; counters that went backwards began again.
func (c Counts) Sub(o Counts) Counts {
	return Counts{since(c.Published, o.Published), since(c.Delivered, o.Delivered), since(c.Acked, o.Acked), since(c.Redelivered, o.Redelivered)}
}

// Add returns the sum.
func (c Counts) Add(o Counts) Counts {
	return Counts{c.Published + o.Published, c.Delivered + o.Delivered, c.Acked + o.Acked, c.Redelivered + o.Redelivered}
}

func since(now, before float64) float64 {
	if now < before {
		return now
	}
	return now - before
}
