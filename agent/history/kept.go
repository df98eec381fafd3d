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

// A Kept metric is remembered of each entity once it reached a level: what
// is smaller is near no limit, and most processes of a host are.
type Kept struct {
	Metric *observe.Metric
	From   float64
}

// Metrics are those that somebody asks trends of.
var Metrics = []Kept{
	{catalog.ProcessAnon, 16 << 20},
	{catalog.CgroupMemoryAnon, 16 << 20},
	{catalog.CgroupMemoryShmem, 16 << 20},
	{catalog.ProcessFDs, 64}, // from where its limit is read
	{catalog.ProcessEstablished, 16},
	{catalog.ProcessCloseWait, 16},
	{catalog.UpstreamPorts, 1000},
	{catalog.ConntrackCount, 1000},
	{catalog.HostMemoryAvailable, 0},
	{catalog.HostFDs, 0},
}
