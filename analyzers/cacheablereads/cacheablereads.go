// SPDX-License-Identifier: Apache-2.0

// Package cacheablereads finds services that ask a database for the same again and again,
// and says how many answers a cache must hold, and what it would win.
package cacheablereads

import (
	_ "embed"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is cacheable-reads.
var Analyzer = &analysis.Analyzer{
	Name:     "cacheable-reads",
	Title:    "What would a cache in front of a database win, and how large must it be?",
	Doc:      doc,
	Category: analysis.CategoryCaching,
	Causes:   []string{repeated},
	Verbs:    []analysis.Verb{analysis.AddCache},
	Needs:    []*observe.Metric{catalog.ReadCalls, catalog.CallDuration},
	Wants: []*observe.Metric{catalog.ReadTime, catalog.WriteCalls, catalog.UnclearCalls, catalog.ReadFollowed, catalog.ReadFresh, catalog.ReadStale,
		catalog.ReadReuse, catalog.ReadReuseTime, catalog.ReadFirst, catalog.ReadSeen, catalog.RepeatInterval, catalog.ReadBytes,
		catalog.RequestDuration, catalog.RequestActive, catalog.StatementCalls, catalog.StatementTime, catalog.CallBusy, catalog.CallLate,
		catalog.CgroupMemoryLimit, catalog.CgroupMemoryUsage, catalog.MemoryTotal, catalog.HostMemoryAvailable},
	Params:     []*analysis.Param{leastCall, leastBusy, leastShare, leastTime, warningTime, leastHit, leastReads, mostUnclear, usableRoom},
	MinSeconds: 60,
	Slow:       true,
	Run:        facts.Run(run),
}

// repeated is the only cause.
const repeated = "repeated-keys"

var (
	leastCall = &analysis.Param{Name: "least-call", Unit: observe.Seconds, Default: 0.001, Enters: true,
		Doc: "Mean time of a read from which a cache is worth its work: a faster database answers from its own memory, and a cache across the network takes 0.3 ms."}
	leastBusy = &analysis.Param{Name: "least-busy", Unit: observe.Ratio, Default: 0.5, Enters: true,
		Doc: "Time of reads that a cache saves, per second, from which it is an info: a connection, and often a core of the database, is busy with it for half of the time."}
	leastShare = &analysis.Param{Name: "least-share", Unit: observe.Ratio, Default: 0.1, Enters: true,
		Doc: "Share of the time of requests that a cache saves, from which it is an info even if less is saved in all."}
	leastTime = &analysis.Param{Name: "least-time", Unit: observe.Seconds, Default: 0.01, Enters: true,
		Doc: "Time of a request that it saves, without which the share does not count: less than 10 ms nobody notices."}
	warningTime = &analysis.Param{Name: "warning-time", Unit: observe.Seconds, Default: 0.05,
		Doc: "The same, at which it is a warning, if it is half of the time of requests: with two requests one after another, a page takes 100 ms longer, which people notice."}
	leastHit = &analysis.Param{Name: "least-hit", Unit: observe.Ratio, Default: 0.3, Enters: true,
		Doc: "Hit ratio, at the lower end of its interval, that a cache must have. Below it, most reads take longer than before, and the work is rarely worth it."}
	leastReads = &analysis.Param{Name: "least-reads", Unit: observe.Count, Default: 1000,
		Doc: "Reads from which a hit ratio is known: within 3 points. Ten times as many, over half an hour, would be needed for full confidence; a diagnosis of a minute has them only if the database is fast, where no cache is needed."}
	mostUnclear = &analysis.Param{Name: "most-unclear", Unit: observe.Ratio, Default: 0.05,
		Doc: "Calls of any client of the database that can write anything, as a share of those of the service, up to which its reads are evaluated: each counts as a write to all tables."}
	usableRoom = &analysis.Param{Name: "usable-room", Unit: observe.Ratio, Default: 0.25,
		Doc: "Share of the memory left on the host, or below the limit of the container, that the cache may take."}
)

// run judges each service that reads from a PostgreSQL.
func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for id := range p.Entities(catalog.ReadCalls) {
		process, ok := p.CallsPostgres(id)
		if !ok {
			continue
		}
		p.Checked()
		if r, ok := p.RepeatOf(process); ok && r.ID == id {
			continue // n-plus-one: one query instead of many saves more, and changes which reads repeat
		}
		v := look(p, id, process)
		if !v.matters(p, v.time) {
			continue
		}
		if reason := v.unknown(p); reason != "" {
			p.Skip(reason)
			continue
		}
		if a, ok := v.advise(p); ok {
			fs = append(fs, v.finding(p, a))
		} else if v.written(p) {
			p.Skip(v.writes(p))
		}
	}
	return fs
}
