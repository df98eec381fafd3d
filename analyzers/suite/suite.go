// SPDX-License-Identifier: Apache-2.0

// Package suite lists the analyzers, and the rejected ideas with the reasons, so
// that they are not tried again.
package suite

import (
	"github.com/headroom-project/headroom/analyzers/acceptqueueoverflow"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/cacheablereads"
	"github.com/headroom-project/headroom/analyzers/cachetoosmall"
	"github.com/headroom-project/headroom/analyzers/closewaitleak"
	"github.com/headroom-project/headroom/analyzers/conntrackexhaustion"
	"github.com/headroom-project/headroom/analyzers/cputhrottled"
	"github.com/headroom-project/headroom/analyzers/disksaturated"
	"github.com/headroom-project/headroom/analyzers/diskspaceexhaustion"
	"github.com/headroom-project/headroom/analyzers/eventloopblocked"
	"github.com/headroom-project/headroom/analyzers/eventloopsaturated"
	"github.com/headroom-project/headroom/analyzers/fdexhaustion"
	"github.com/headroom-project/headroom/analyzers/heaplimitmismatch"
	"github.com/headroom-project/headroom/analyzers/hostsaturated"
	"github.com/headroom-project/headroom/analyzers/kernellimitexhaustion"
	"github.com/headroom-project/headroom/analyzers/loadimbalance"
	"github.com/headroom-project/headroom/analyzers/lockcontention"
	"github.com/headroom-project/headroom/analyzers/memorygrowth"
	"github.com/headroom-project/headroom/analyzers/memorylimitpressure"
	"github.com/headroom-project/headroom/analyzers/nicsaturated"
	"github.com/headroom-project/headroom/analyzers/nplusone"
	"github.com/headroom-project/headroom/analyzers/oomkilled"
	"github.com/headroom-project/headroom/analyzers/pagecachethrash"
	"github.com/headroom-project/headroom/analyzers/poolexhausted"
	"github.com/headroom-project/headroom/analyzers/portexhaustion"
	"github.com/headroom-project/headroom/analyzers/queuebacklog"
	"github.com/headroom-project/headroom/analyzers/requestswaiting"
	"github.com/headroom-project/headroom/analyzers/rightsize"
	"github.com/headroom-project/headroom/analyzers/runqueuelatency"
	"github.com/headroom-project/headroom/analyzers/singlethreadbound"
	"github.com/headroom-project/headroom/analyzers/slowupstream"
	"github.com/headroom-project/headroom/analyzers/threadpoolexhausted"
	"github.com/headroom-project/headroom/analyzers/workercountmismatch"
)

// Analyzers lists all analyzers, roughly by category. If two findings explain a
// symptom equally well, the driver takes the one whose analyzer comes first: the
// nearer cause.
var Analyzers = []*analysis.Analyzer{
	eventloopblocked.Analyzer,
	eventloopsaturated.Analyzer,
	singlethreadbound.Analyzer,
	lockcontention.Analyzer,
	threadpoolexhausted.Analyzer,
	nplusone.Analyzer,
	cacheablereads.Analyzer,
	poolexhausted.Analyzer,
	slowupstream.Analyzer,
	requestswaiting.Analyzer,
	runqueuelatency.Analyzer,
	hostsaturated.Analyzer,
	disksaturated.Analyzer,
	diskspaceexhaustion.Analyzer,
	nicsaturated.Analyzer,
	kernellimitexhaustion.Analyzer,
	queuebacklog.Analyzer,
	cputhrottled.Analyzer,
	heaplimitmismatch.Analyzer,
	memorygrowth.Analyzer,
	oomkilled.Analyzer,
	memorylimitpressure.Analyzer,
	workercountmismatch.Analyzer,
	rightsize.Analyzer,
	loadimbalance.Analyzer,
	pagecachethrash.Analyzer,
	cachetoosmall.Analyzer,
	fdexhaustion.Analyzer,
	acceptqueueoverflow.Analyzer,
	closewaitleak.Analyzer,
	portexhaustion.Analyzer,
	conntrackexhaustion.Analyzer,
}
