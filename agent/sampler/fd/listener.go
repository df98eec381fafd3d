// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A socket is the name of a listening one for as long as it lives.
type socket struct {
	netns, inode uint64
}

// A listener is a listening TCP socket.
type listener struct {
	id    observe.ID
	local netip.AddrPort
	owner observe.ID // whose socket it is, in the index
	round int        // the pass that last saw it
	pid   int        // of the holder, in that pass
	start uint64

	queue, backlog, drops uint32
	// somaxconn is to what the network namespace cuts backlogs, 0 when not known.
	somaxconn uint32
	// limited and dropped say whether backlog and drops are known.
	limited, dropped bool
	// lost is how many connections it dropped, of the discarded packets that drops
	// was in the last pass.
	lost      uint64
	discarded uint32
	counted   bool
}

// listener returns the listener that pid holds, nil when there is no room. Of
// several holders it belongs to the first, who handed it on to the others as a
// rule, but not to the init process, who opens sockets for its services.
func (r *reader) listener(key socket, local netip.AddrPort, p *process) *listener {
	l := r.listeners[key]
	if l == nil {
		if len(r.listeners) >= maxListeners {
			r.unlisted++
			return nil
		}
		l = &listener{id: observe.None, owner: observe.None}
		r.listeners[key] = l
	}
	if l.round != r.round || l.pid == initPID {
		l.pid, l.start = p.pid, p.start
	}
	l.round = r.round
	if l.local != local || l.id == observe.None {
		l.local, l.owner = local, observe.None
		l.id = r.index.ID(observe.Entity{Kind: observe.Listener, ID: fmt.Sprintf("%s#%d", local, key.inode)})
	}
	return l
}

// initPID is that of systemd and its like.
const initPID = 1

// writeListeners writes those that the pass saw and ends the others.
func (r *reader) writeListeners(s *observe.Snapshot) {
	for key, l := range r.listeners {
		if l.round != r.round {
			s.End(l.id, "closed")
			delete(r.listeners, key)
			continue
		}
		if !r.own(l) {
			continue
		}
		s.Set(catalog.ListenerQueue, l.id, float64(l.queue))
		if l.limited {
			s.Set(catalog.ListenerBacklog, l.id, float64(l.backlog))
		}
		if l.somaxconn > 0 {
			s.Set(catalog.ListenerSomaxconn, l.id, float64(l.somaxconn))
		}
		if l.dropped {
			r.watchDrops(key, l)
			s.Set(catalog.ListenerDrops, l.id, float64(l.lost))
		}
	}
	r.keepAccounts()
}

// own describes a listener when its owner is another one than before; false
// if that one is gone.
func (r *reader) own(l *listener) bool {
	owner, ok := r.identity.Process(l.pid, l.start)
	if !ok || owner == observe.None {
		return false
	}
	if owner != l.owner {
		l.owner = owner
		r.index.Describe(l.id, observe.Info{Parent: r.index.Entity(owner), Attrs: map[string]string{
			catalog.AttrAddress: l.local.Addr().String(),
			catalog.AttrPort:    strconv.Itoa(int(l.local.Port())),
		}})
	}
	return true
}
