// SPDX-License-Identifier: Apache-2.0

package history

import (
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Tier keeps one reading per Step, for a time of Span.
type Tier struct{ Step, Span time.Duration }

// Tiers are the resolutions, the finest first: seconds for minutes, tens of seconds
// for hours, minutes for a week.
var Tiers = [...]Tier{
	{time.Second, 10 * time.Minute},
	{10 * time.Second, 6 * time.Hour},
	{time.Minute, 7 * 24 * time.Hour},
}

// metrics are the metrics in the history.
var metrics = remembered()

func remembered() []*observe.Metric {
	var all []*observe.Metric
	for _, m := range catalog.All() {
		if m.Keep != nil {
			all = append(all, m)
		}
	}
	return all
}
