// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// maxCalls is the maximum number of calls on different files and peers that are kept
	// for one process. Others are counted together, by name.
	maxCalls = 16
	maxNames = 16
)

// counts has how many threads of a process were seen in each call.
type counts struct {
	host  *sampler.Host
	about string // what they are counted for, a part of the IDs of the calls
	calls map[call]*seen
}

// seen counts the threads in one call.
type seen struct {
	id    observe.ID
	count float64
}

func newCounts(host *sampler.Host, about string) *counts {
	return &counts{host: host, about: about, calls: make(map[call]*seen)}
}

// add counts n threads in a call, unless the process has too many calls.
func (c *counts) add(process observe.ID, in call, n float64) {
	if c.calls[in] == nil && len(c.calls) >= maxCalls {
		in = call{name: in.name, kind: in.kind}
	}
	k := c.calls[in]
	if k == nil && len(c.calls) < maxCalls+maxNames {
		k = c.intern(process, in)
	}
	if k != nil {
		k.count += n
	}
}

func (c *counts) intern(process observe.ID, in call) *seen {
	x := c.host.Index
	e := x.Entity(process)
	id := fmt.Sprintf("%s/%s/%s/%s/%s/%s", e.ID, c.about, in.name, in.kind, in.file, in.peer)
	if in.lock.kind != "" || in.thread.id != "" {
		id += fmt.Sprintf("/%s/%x/%s", in.lock.kind, in.lock.address, in.thread.id)
	}
	k := &seen{id: x.ID(observe.Entity{Kind: observe.Call, ID: id})}
	if k.id == observe.None {
		return nil // the index is full
	}
	x.Describe(k.id, observe.Info{Parent: e, Attrs: in.attrs()})
	c.calls[in] = k
	return k
}

func (c *counts) write(s *observe.Snapshot, m *observe.Metric, process observe.ID) {
	for _, k := range c.calls {
		s.SetPair(m, process, k.id, k.count)
	}
}

// end ends the calls of a process that does not serve any more.
func (c *counts) end(s *observe.Snapshot) {
	for _, k := range c.calls {
		s.End(k.id, "exited")
	}
}
