// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A BlockedBy is a system call and the time, in seconds, for which it blocked
// ticks.
type BlockedBy struct {
	Syscall string
	// Kind is the type of the call's target, catalog.TargetFile …; "" if the call has
	// no descriptor, or it is not known.
	Kind string
	// On is the Call entity that took most of the time, None if no single one did.
	On      observe.ID
	Seconds float64
}

// PageFaultCall is the probe's name of a page fault among system calls.
const PageFaultCall = "page fault"

// BlockedBy returns the system calls that blocked a loop's long ticks, worst first.
func (p *Pass) BlockedBy(l *LoopView) []BlockedBy {
	by := slices.Collect(p.calls(catalog.LongBlockedOn, l.ID))
	seen := make(map[string]float64)
	for _, b := range by {
		seen[b.Syscall] += b.Seconds
	}
	for _, peer := range p.Peers(catalog.LongBlockedBy, l.ID) {
		name := p.Index.Entity(peer.ID).ID
		if rest := peer.Value - seen[name]; rest > 0 {
			by = append(by, BlockedBy{Syscall: name, On: observe.None, Seconds: rest})
		}
	}
	uncounted := len(by) == 0
	for _, s := range p.StallsOf(l.ID) {
		// If nothing was counted, the record of the tick in progress is used.
		if s.Syscall != "" && seen[s.Syscall] == 0 && (s.InProgress || uncounted) {
			by = append(by, BlockedBy{Syscall: s.Syscall, On: observe.None, Seconds: s.Parts.Blocked})
		}
	}
	by = slices.DeleteFunc(by, func(b BlockedBy) bool { return b.Syscall == PageFaultCall })
	return mergeCalls(by)
}

// AllBlockedBy is BlockedBy for all ticks of a loop, including short ones. It is
// empty for a recording without them.
func (p *Pass) AllBlockedBy(loop observe.ID) []BlockedBy {
	by := slices.Collect(p.calls(catalog.LoopBlockedOn, loop))
	by = slices.DeleteFunc(by, func(b BlockedBy) bool { return b.Syscall == PageFaultCall })
	return mergeCalls(by)
}

// FaultedOn returns the calls that are page faults on mapped files in a loop's
// long ticks, worst first.
func (p *Pass) FaultedOn(l *LoopView) []BlockedBy {
	by := slices.Collect(p.calls(catalog.LongBlockedOn, l.ID))
	by = slices.DeleteFunc(by, func(b BlockedBy) bool { return b.Syscall != PageFaultCall || b.Kind != catalog.TargetFile })
	return mergeCalls(by)
}

func (p *Pass) calls(m *observe.Metric, loop observe.ID) iter.Seq[BlockedBy] {
	return func(yield func(BlockedBy) bool) {
		for _, peer := range p.Peers(m, loop) {
			b := BlockedBy{Syscall: p.Attr(peer.ID, catalog.AttrCall), Kind: p.Attr(peer.ID, catalog.AttrTarget), On: peer.ID, Seconds: peer.Value}
			if b.Syscall != "" && !yield(b) {
				return
			}
		}
	}
}

// most is the share of the time of calls of one kind from which a single file, pipe
// or socket is named.
const most = 0.5

// mergeCalls adds up entries with the same system call and kind.
func mergeCalls(by []BlockedBy) []BlockedBy {
	slices.SortFunc(by, func(a, b BlockedBy) int { return cmp.Compare(b.Seconds, a.Seconds) })
	var merged []BlockedBy
	longest := make(map[int]float64)
	for _, b := range by {
		at := slices.IndexFunc(merged, func(o BlockedBy) bool { return o.Syscall == b.Syscall && o.Kind == b.Kind })
		if at >= 0 {
			merged[at].Seconds += b.Seconds
			continue
		}
		longest[len(merged)] = b.Seconds
		merged = append(merged, b)
	}
	for i := range merged {
		if longest[i] < most*merged[i].Seconds {
			merged[i].On = observe.None
		}
	}
	slices.SortFunc(merged, func(a, b BlockedBy) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Syscall, b.Syscall), cmp.Compare(a.Kind, b.Kind))
	})
	return merged
}

// PeerOf returns the name of the process at the other end of a call's target, "" if
// it is not known: of a pipe or Unix socket, or the server of a TCP connection with
// its address.
func (p *Pass) PeerOf(b BlockedBy) string {
	if b.On == observe.None {
		return ""
	}
	attr := func(key string) string { return p.Attr(b.On, key) }
	if id, ok := p.Index.Find(observe.Entity{Kind: observe.Process, ID: attr(catalog.AttrPeer)}); ok && attr(catalog.AttrPeer) != "" {
		return p.Name(id)
	}
	if attr(catalog.AttrPeerName) != "" || attr(catalog.AttrDestPort) == "" {
		return attr(catalog.AttrPeerName)
	}
	port := attr(catalog.AttrDestPort)
	address := "port " + port
	if attr(catalog.AttrDestination) != "" {
		address = catalog.HostPort(attr(catalog.AttrDestination), port, "")
	}
	if server, ok := p.localServer(attr(catalog.AttrDestination), port); ok {
		return fmt.Sprintf("%s at %s", p.Name(server), address)
	}
	return address
}

// localServer returns the process that listens at an address of this host; false if
// there is none, or if several owners do, in different network namespaces. Which of the
// host's namespaces has an address is only known of those that a process listens at.
func (p *Pass) localServer(address, port string) (observe.ID, bool) {
	found := observe.None
	a, err := netip.ParseAddr(address)
	if err != nil {
		return found, false
	}
	for listener := range p.Entities(catalog.ListenerQueue) {
		process, ok := p.Index.Ancestor(listener, observe.Process)
		if !ok || p.Attr(listener, catalog.AttrPort) != port || !a.IsLoopback() && p.Attr(listener, catalog.AttrAddress) != address {
			continue
		}
		if found != observe.None && p.Owner(found) != p.Owner(process) {
			return observe.None, false
		}
		found = process
	}
	return found, found != observe.None
}
