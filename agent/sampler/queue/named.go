// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"net/netip"
	"slices"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// A named is a broker of the config. While a process of this host listens at its address,
// the password belongs to that process; otherwise the broker is elsewhere, and watched.
type named struct {
	login   sampler.Broker
	since   time.Time // when no process listened there for the first time
	watched *watched
}

// leastAlone is how long no process of this host may listen at the address of a broker
// before it is asked as one that is elsewhere: processes and ports are found late.
const leastAlone = 2 * findEvery

// claim starts to watch a broker that is elsewhere, and ends that when a process of this
// host turns out to be the broker.
func (r *reader) claim(n *named, s *observe.Snapshot, now time.Time) {
	for _, w := range r.brokers {
		if slices.ContainsFunc(w.logins, func(l sampler.Broker) bool { return l.Address == n.login.Address }) {
			n.since = now
			if n.watched != nil && !n.watched.reads.Pending() {
				n.watched.end(s)
				n.watched = nil
			}
			return
		}
	}
	if n.since.IsZero() {
		n.since = now
	}
	if n.watched != nil || now.Sub(n.since) < leastAlone {
		return
	}
	for _, k := range kinds {
		if k.System == n.login.Kind {
			source := k.Dial(n.login)
			n.watched = &watched{kind: k, source: source, queues: newQueues(r.host.Index, k.System, source.Address())}
		}
	}
}

// loginsOf returns the logins of the config for the broker at a place.
func (r *reader) loginsOf(k broker.Kind, p place.Place) []sampler.Broker {
	var all []sampler.Broker
	for _, n := range r.named {
		if n.login.Kind == k.System && slices.ContainsFunc(p.Listens, func(a netip.AddrPort) bool { return isAt(n.login.Address, a) }) {
			all = append(all, n.login)
		}
	}
	return all
}

// isAt reports whether an address of the config is that of a listening socket. Names
// other than localhost are not resolved for that.
func isAt(address string, a netip.AddrPort) bool {
	of := broker.Address(address)
	if of.Port() != a.Port() {
		return false
	}
	if of.Host() == "localhost" {
		return a.Addr().IsLoopback()
	}
	ip, err := netip.ParseAddr(of.Host())
	return err == nil && ip.Unmap() == a.Addr().Unmap()
}
