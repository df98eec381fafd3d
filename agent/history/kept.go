// SPDX-License-Identifier: Apache-2.0

package history

import (
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Tier keeps one reading of each Step, for as long as Span.
type Tier struct{ Step, Span time.Duration }

// Tiers are the resolutions, the finest first (design: seconds of minutes, tens
// of seconds of hours, minutes of a week).
var Tiers = [...]Tier{
	{time.Second, 10 * time.Minute},
	{10 * time.Second, 6 * time.Hour},
	{time.Minute, 7 * 24 * time.Hour},
}

// metrics are those that the history remembers.
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
