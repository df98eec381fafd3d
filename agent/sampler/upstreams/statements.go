// SPDX-License-Identifier: Apache-2.0

package upstreams

import (
	"strconv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/bpf/requests"
)

// A statement is one that a client repeats. It has a number: neither its text nor the
// hash is known to what reads the snapshots.
type statement struct {
	id    observe.ID
	calls float64
	time  float64 // seconds
	seen  int     // the last reading in which it was answered
}

const (
	// fewest is the number of calls between two readings, a second, from which a statement
	// is followed. Others repeat too rarely to delay requests.
	fewest = 5
	// mostStatements is the maximum number of statements of a client.
	mostStatements = 8
)

// setStatements writes the metrics of the statements that a client repeats.
func (r *reader) setStatements(s *observe.Snapshot, c *client, v *requests.Upstream) {
	for _, found := range v.Statements {
		st := c.statements[found.Hash]
		if st == nil && (found.Calls < fewest || !c.hasRoom(s, r.count)) {
			continue
		}
		if st == nil {
			st = r.addStatement(c)
			c.statements[found.Hash] = st
		}
		st.seen = r.count
		st.calls += float64(found.Calls)
		st.time += found.Time.Seconds()
	}
	for _, st := range c.statements {
		s.Set(catalog.StatementCalls, st.id, st.calls)
		s.Set(catalog.StatementTime, st.id, st.time)
	}
}

func (r *reader) addStatement(c *client) *statement {
	parent := r.host.Index.Entity(c.id)
	c.numbers++
	id := r.host.Index.ID(observe.Entity{Kind: observe.Statement, ID: parent.ID + "/" + strconv.Itoa(c.numbers)})
	r.host.Index.Describe(id, observe.Info{Parent: parent})
	return &statement{id: id}
}

// unused is the number of readings, one each second, after which a statement makes room
// for another one: windows are shorter.
const unused = 60

// hasRoom reports whether a statement can be added, and ends one that is not used.
func (c *client) hasRoom(s *observe.Snapshot, now int) bool {
	if len(c.statements) < mostStatements {
		return true
	}
	for hash, st := range c.statements {
		if now-st.seen > unused {
			s.End(st.id, "not used")
			delete(c.statements, hash)
			return true
		}
	}
	return false
}

// end ends the entities of a client.
func (c *client) end(s *observe.Snapshot) {
	for _, st := range c.statements {
		s.End(st.id, "closed")
	}
	s.End(c.id, "closed")
}
