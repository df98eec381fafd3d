// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"maps"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/bpf/tick"
)

// worthTelling is the time in a call, in ns, from which the call is reported
// separately: most loops sleep in many calls for less.
const worthTelling = 10_000_000

// A callKey is the key by which calls of one loop are counted together, as in bpf/tick.
type callKey struct {
	nr int32
	on string
}

// calledOn is the entity of calls that are counted together.
type calledOn struct {
	id      observe.ID
	all     uint64 // ns at the last reading
	inLong  uint64
	attrs   map[string]string
	current bool // counted at this reading
}

// blocked writes how long the ticks of a loop slept in each system call and on which
// target. It includes calls of the tick in progress, whose target can still be
// inspected.
func (r *reader) blocked(s *observe.Snapshot, k *known, l *tick.Loop) {
	byCall := make(map[int32]uint64, len(l.BlockedBy))
	for _, c := range l.BlockedBy {
		if c.InLong > 0 {
			byCall[c.Nr] += c.InLong
		}
		if !l.Shared {
			r.blockedOn(k, l, c)
		}
	}
	for nr, ns := range byCall {
		s.SetPair(catalog.LongBlockedBy, k.id, r.syscall(nr), seconds(ns))
	}
	if l.InTick && l.Current.Elapsed > uint64(longTick) && !l.Shared {
		for _, c := range l.Current.BlockedBy {
			r.blockedOn(k, l, tick.LoopCall{Call: c, InLong: c.NS})
		}
		if c := l.Current; c.Off == tick.Sleeping || c.Off == tick.Uninterruptible {
			r.blockedOn(k, l, tick.LoopCall{Call: tick.Call{Nr: c.Syscall, NS: c.OffFor, Target: c.Target}, InLong: c.OffFor})
		}
	}
	for _, c := range k.calls {
		if c.current && c.all >= worthTelling {
			r.writeCall(s, k, c)
		}
		c.current = false
	}
}

// blockedOn adds a call of this reading to the calls with the same key.
func (r *reader) blockedOn(k *known, l *tick.Loop, c tick.LoopCall) {
	key := callKey{c.Nr, targetKey(c.Target)}
	on := k.calls[key]
	if on == nil {
		if k.calls == nil {
			k.calls = make(map[callKey]*calledOn)
		}
		on = &calledOn{id: observe.None}
		k.calls[key] = on
	}
	before := on.all
	if !on.current {
		on.all, on.inLong, on.current = 0, 0, true
	}
	on.all += c.NS
	on.inLong += c.InLong
	if on.all < worthTelling || on.all == before && on.attrs != nil {
		return
	}
	on.describe(r, k, key, r.targets.attrs(int(l.Tgid), c.Nr, c.Target))
}

// describe interns the calls, and describes them again if the known target changed. A
// peer that has ended is kept.
func (c *calledOn) describe(r *reader, k *known, key callKey, attrs map[string]string) {
	if attrs[catalog.AttrPeerName] == "" && c.attrs[catalog.AttrPeerName] != "" {
		attrs[catalog.AttrPeer], attrs[catalog.AttrPeerName] = c.attrs[catalog.AttrPeer], c.attrs[catalog.AttrPeerName]
	}
	if c.id != observe.None && maps.Equal(c.attrs, attrs) {
		return
	}
	loop := r.host.Index.Entity(k.id)
	c.id = r.host.Index.ID(observe.Entity{Kind: observe.Call, ID: fmt.Sprintf("%s/%s/%s", loop.ID, callName(key.nr), key.on)})
	c.attrs = attrs
	r.host.Index.Describe(c.id, observe.Info{Parent: loop, Attrs: maps.Clone(attrs)})
}

func (r *reader) writeCall(s *observe.Snapshot, k *known, c *calledOn) {
	if c.id == observe.None {
		return // the index is full
	}
	s.SetPair(catalog.LoopBlockedOn, k.id, c.id, seconds(c.all))
	if c.inLong > 0 {
		s.SetPair(catalog.LongBlockedOn, k.id, c.id, seconds(c.inLong))
	}
}

// end ends a loop and its calls.
func (k *known) end(s *observe.Snapshot, reason string) {
	s.End(k.id, reason)
	for _, c := range k.calls {
		if c.id != observe.None {
			s.End(c.id, reason)
		}
	}
}
