// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"testing"

	"github.com/headroom-project/headroom/agent/observe"
)

// TestEveryMetricDeclaresItsPolicy checks that every metric declares how series,
// history and charts treat it, and that the declaration fits its kind.
func TestEveryMetricDeclaresItsPolicy(t *testing.T) {
	ranked := make(map[observe.EntityKind]bool)
	for _, m := range All() {
		if m.Activity && (m.Kind != observe.Counter || m.Internal || ranked[m.About]) {
			t.Errorf("%s: Activity is for one exported Counter of a kind of entity", m.Key())
		}
		ranked[m.About] = ranked[m.About] || m.Activity
		gauge := m.Kind == observe.Gauge
		if gauge != (m.Fold != observe.Unfolded) {
			t.Errorf("%s: a gauge, and nothing but a gauge, declares Fold: Summed, Highest or Lowest", m.Key())
		}
		if !gauge && (m.Keep != nil || m.Transient) {
			t.Errorf("%s: Keep and Transient are for gauges", m.Key())
		}
		if m.Second != "" && m.Kind != observe.PairCounter {
			t.Errorf("%s: Second is for a PairCounter", m.Key())
		}
		if m.Exclusive && (m.Kind != observe.Counter || m.About != observe.Cgroup) {
			t.Errorf("%s: Exclusive is for a Counter of a cgroup", m.Key())
		}
		if l := m.Limit; l != nil && (l.Kind != observe.Gauge || l.About != m.About || l.Unit != m.Unit && l.Unit != observe.Cores) {
			t.Errorf("%s: its Limit %s is no gauge of the same unit and kind of entity", m.Key(), l.Key())
		}
	}
}
