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

// A BlockedBy is a system call and the seconds that it blocked ticks for.
type BlockedBy struct {
	Syscall string
	// Kind is the kind of thing that the call is about, catalog.TargetFile …; "" if
	// it is about no descriptor, or that is not known.
	Kind string
	// On is the Call entity that took most of the time, None if none took most of it.
	On      observe.ID
	Seconds float64
}

// PageFaultCall is what the probe calls a page fault among system calls.
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
		// A record of the tick in progress is better than none.
		if s.Syscall != "" && seen[s.Syscall] == 0 && (s.InProgress || uncounted) {
			by = append(by, BlockedBy{Syscall: s.Syscall, On: observe.None, Seconds: s.Parts.Blocked})
		}
	}
	by = slices.DeleteFunc(by, func(b BlockedBy) bool { return b.Syscall == PageFaultCall })
	return mergeCalls(by)
}

// AllBlockedBy is BlockedBy for all ticks of a loop, short ones too. It is empty for
// a recording that does not have them.
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

// most is the share of the time of calls of one kind from which a single file,
// pipe or socket is named for them.
const most = 0.5

// mergeCalls adds up what is of one system call and kind.
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

// PeerOf names the process at the other end of what a call is about, "" if it is
// not known: that of a pipe or Unix socket, and the server of a TCP connection with
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

// localServer finds the process that listens at an address of this host; false if
// there is none, or several owners do, in network namespaces of their own.
func (p *Pass) localServer(address, port string) (observe.ID, bool) {
	found := observe.None
	if a, err := netip.ParseAddr(address); err != nil || !a.IsLoopback() {
		return found, false
	}
	for listener := range p.Entities(catalog.ListenerQueue) {
		process, ok := p.Index.Ancestor(listener, observe.Process)
		if !ok || p.Attr(listener, catalog.AttrPort) != port {
			continue
		}
		if found != observe.None && p.Owner(found) != p.Owner(process) {
			return observe.None, false
		}
		found = process
	}
	return found, found != observe.None
}
