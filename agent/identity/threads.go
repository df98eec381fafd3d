// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"maps"
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/cmdline"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/printable"
)

// Thread implements sampler.Identity.
func (r *Resolver) Thread(of observe.ID, tid int) observe.ID {
	r.mu.RLock()
	p := r.byID[of]
	if p == nil {
		r.mu.RUnlock()
		return observe.None
	}
	id, ok := p.threads[tid]
	r.mu.RUnlock()
	if ok {
		return id
	}
	return r.learnThread(p, tid)
}

func (r *Resolver) learnThread(p *process, tid int) observe.ID {
	parent := r.index.Entity(p.id)
	id := r.index.ID(observe.Entity{Kind: observe.Thread, ID: parent.ID + "/" + strconv.Itoa(tid)})
	if id != observe.None && r.index.Info(id).Attrs == nil {
		attrs := map[string]string{catalog.AttrTID: strconv.Itoa(tid)}
		set(attrs, catalog.AttrThreadName, r.threadName(p, r.source.comm(p.pid, tid)))
		r.index.Describe(id, observe.Info{Parent: parent, Attrs: attrs})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.threads == nil {
		p.threads = make(map[int]observe.ID)
	}
	p.threads[tid] = id
	return id
}

// threadName returns the name of a thread as far as it may be published.
func (r *Resolver) threadName(p *process, comm string) string {
	main := r.source.comm(p.pid, p.pid)
	return printable.Name(observe.ThreadName(comm, main, r.index.Attr(p.id, catalog.AttrExecutable)), cmdline.MaxName)
}

// comm returns the name of a thread, "" for one that is gone.
func (s source) comm(pid, tid int) string {
	var name string
	_ = s.read(pid, "task/"+strconv.Itoa(tid)+"/comm", func(b []byte) { name = trimNewline(b) }) //nolint:errcheck // a thread may have no name
	return name
}

func trimNewline(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return string(b)
}

// Renamed implements sampler.Identity.
func (r *Resolver) Renamed(of observe.ID, tid int, comm string) {
	r.mu.RLock()
	p := r.byID[of]
	var id observe.ID
	if p != nil {
		id = p.threads[tid]
	}
	r.mu.RUnlock()
	info := r.index.Info(id)
	if id == observe.None || info.Attrs == nil || info.Attrs[catalog.AttrThreadName] == comm {
		return
	}
	attrs := maps.Clone(info.Attrs)
	delete(attrs, catalog.AttrThreadName)
	set(attrs, catalog.AttrThreadName, r.threadName(p, comm))
	r.publish(id, observe.Info{Parent: info.Parent, Attrs: attrs})
}
