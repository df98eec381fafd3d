// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"time"

	"github.com/headroom-project/headroom/agent/cgroupwalk"
)

// A crowd is the directory whose cgroups exceeded the limit of the last walk.
// A walk that reaches the limit takes so long that the next one is minutes
// away; a crowd that has dispersed ends the wait, and with it the gap.
type crowd struct {
	dir      string // "" if the walk was complete
	children int
}

func newCrowd(dir string) crowd {
	if dir == "" {
		return crowd{}
	}
	return crowd{dir, cgroupwalk.Children(dir)}
}

// dispersed reports whether at least half of the cgroups were removed.
func (c crowd) dispersed() bool {
	return c.dir != "" && cgroupwalk.Children(c.dir) <= c.children/2
}

// schedule sets the time of the next walk. Walks for a crowd that dispersed have a
// share of their own: cgroups that are created and removed constantly at most
// double the cost of walks.
func (r *reader) schedule(began, ended time.Time) {
	if began.Before(r.nextWalk) {
		r.nextEarly = began.Add(walkShare * r.walkTook)
	}
	r.walkTook = ended.Sub(began)
	r.soonest = began.Add(r.either(walkEvery, walkSparing))
	r.nextWalk = began.Add(max(r.either(walkEvery, walkSparing), walkShare*r.walkTook))
}

// walkDue reports whether to walk now.
func (r *reader) walkDue(now time.Time) bool {
	early := !now.Before(r.soonest) && !now.Before(r.nextEarly) && r.crowd.dispersed()
	return early || !now.Before(r.nextWalk)
}
