// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"iter"
	"strings"
	"sync"
)

// An EntityKind is a kind of thing that metrics are about.
type EntityKind uint8

// The kinds of entity. Their order is not part of any format: files have the names.
const (
	Node EntityKind = iota
	CPU
	Cgroup
	Process
	Thread
	Loop
	Syscall
	Listener
	Disk
	NIC
	Upstream
	Queue  // a queue of a message broker
	Cache  // the keys of a process of Redis
	Client // a process, and an address that it calls
	Call   // a system call that blocks a loop, and the file, pipe or socket that it is about
	Code   // a function of a program, and what it was called from
	Filesystem
	OpenFiles // a process, and a file system that it has files open on
	Statement // a statement of a client, without its text
)

var kindNames = [...]string{"node", "cpu", "cgroup", "process", "thread", "loop", "syscall",
	"listener", "disk", "nic", "upstream", "queue", "cache", "client", "call", "code", "filesystem", "open-files", "statement"}

func (k EntityKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseEntityKind is the reverse of String.
func ParseEntityKind(s string) (EntityKind, error) {
	for i, name := range kindNames {
		if s == name {
			return EntityKind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown entity kind %q (known: %s)", s, strings.Join(kindNames[:], ", "))
}

// An Entity is a thing that metrics are about. Its ID is unique within its
// kind for as long as the host is up: a process is "pid:start time" so that a
// reused pid is another entity.
type Entity struct {
	Kind EntityKind
	ID   string
}

// Info is what is known about an entity in addition to its metrics.
type Info struct {
	// Parent is the entity that contains this one: a thread's process, a
	// process's cgroup, a cgroup's parent cgroup. Zero (Node, "") at the top.
	Parent Entity
	// Attrs are OpenTelemetry resource attributes (process.pid, container.id).
	Attrs map[string]string
}

// An ID is an entity's dense number in an Index: a column index. None is the
// ID of no entity; writing to it does nothing.
type ID int32

// None is the ID that an Index returns when it is full.
const None ID = -1

// An Index interns entities, so that columns are slices and not maps. It is
// shared by all samplers of a run and safe for their concurrent use.
type Index struct {
	mu       sync.RWMutex
	ids      map[Entity]ID
	entities []Entity
	infos    []Info
	revision []int
	limit    int
	refused  int
	free     []ID
	renames  int
	onFree   []func(ID, Entity)
}

// DefaultLimit is the limit of an Index: a full node (250 pods with 40 processes each)
// with its threads, and as many that ended during the observation.
const DefaultLimit = 200_000

// NewIndex returns an empty index that holds at most limit entities.
func NewIndex(limit int) *Index {
	return &Index{ids: make(map[Entity]ID), limit: limit}
}

// ID interns e. It returns None when the index is full.
func (x *Index) ID(e Entity) ID {
	x.mu.Lock()
	defer x.mu.Unlock()
	if id, ok := x.ids[e]; ok {
		return id
	}
	if n := len(x.free); n > 0 {
		id := x.free[n-1]
		x.free = x.free[:n-1]
		x.ids[e], x.entities[id] = id, e
		return id
	}
	if len(x.entities) >= x.limit {
		x.refused++
		return None
	}
	id := ID(len(x.entities))
	x.ids[e] = id
	x.entities = append(x.entities, e)
	x.infos = append(x.infos, Info{})
	x.revision = append(x.revision, 0)
	return id
}

// Find returns e's ID without interning it.
func (x *Index) Find(e Entity) (ID, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	id, ok := x.ids[e]
	return id, ok
}

// Entity returns the entity behind id.
func (x *Index) Entity(id ID) Entity {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.entities[id]
}

// Info returns what is known about id.
func (x *Index) Info(id ID) Info {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.infos[id]
}

// Attr returns one attribute of id, or "".
func (x *Index) Attr(id ID, key string) string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.infos[id].Attrs[key]
}

// Describe replaces what is known about id. The caller must not use info afterwards.
func (x *Index) Describe(id ID, info Info) {
	if id == None {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.entities[id].Kind == Cgroup && x.infos[id].Attrs != nil {
		x.renames++
	}
	x.infos[id] = info
	x.revision[id]++
}

// Renames counts the cgroups that were described again: entities in them then inherit
// other attributes, without a change of their own Revision.
func (x *Index) Renames() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.renames
}

// Revision counts the calls of Describe for id; archives write an entity
// again when it changes.
func (x *Index) Revision(id ID) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.revision[id]
}

// OnFree calls f with each entity before its ID is recycled, so that components that
// keep IDs beyond a snapshot can drop it. Call OnFree before samplers are read.
func (x *Index) OnFree(f func(ID, Entity)) { x.onFree = append(x.onFree, f) }

// Free recycles IDs. The caller must ensure that they are not read or written any more.
func (x *Index) Free(ids []ID) {
	for _, id := range ids {
		for _, f := range x.onFree {
			f(id, x.Entity(id))
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range ids {
		if x.entities[id] == (Entity{}) {
			continue // recycled already
		}
		delete(x.ids, x.entities[id])
		x.entities[id], x.infos[id] = Entity{}, Info{}
		x.revision[id]++ // the next entity with this ID is another one
		x.free = append(x.free, id)
	}
}

// Limit returns the maximum number of entities at a time.
func (x *Index) Limit() int { return x.limit }

// Count returns the current number of entities.
func (x *Index) Count() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.ids)
}

// Len returns how many IDs were ever used: every ID below it is valid. The Entity of a
// recycled ID is the zero Entity.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.entities)
}

// Refused returns the number of entities that were dropped because the index was full.
func (x *Index) Refused() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.refused
}

// Parent returns the ID of the entity that contains id.
func (x *Index) Parent(id ID) (ID, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	parent := x.infos[id].Parent
	if parent == (Entity{}) {
		return None, false
	}
	up, ok := x.ids[parent]
	return up, ok
}

// maxDepth limits walks towards the top in case two entities claim to contain
// each other: cgroup trees are rarely ten deep.
const maxDepth = 64

// Up yields id and then its parents, up to the top.
func (x *Index) Up(id ID) iter.Seq[ID] {
	return func(yield func(ID) bool) {
		for range maxDepth {
			if !yield(id) {
				return
			}
			up, ok := x.Parent(id)
			if !ok {
				return
			}
			id = up
		}
	}
}

// Ancestor returns the nearest entity of kind k at or above id.
func (x *Index) Ancestor(id ID, k EntityKind) (ID, bool) {
	for up := range x.Up(id) {
		if x.Entity(up).Kind == k {
			return up, true
		}
	}
	return None, false
}

// Inherited returns an attribute of the nearest entity at or above id that has
// it, or "".
func (x *Index) Inherited(id ID, key string) string {
	for up := range x.Up(id) {
		if v := x.Attr(up, key); v != "" {
			return v
		}
	}
	return ""
}

// Within reports whether id is, or is contained in, outer.
func (x *Index) Within(id, outer ID) bool {
	for up := range x.Up(id) {
		if up == outer {
			return true
		}
	}
	return false
}
