// SPDX-License-Identifier: Apache-2.0

package runqueuelatency

import (
	"fmt"
	"math"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// threadSettings holds the setting that limits the threads that run at the same time, by
// runtime; %[1]d is their number.
var threadSettings = map[string]string{
	"node": "start at most %[1]d worker threads (maxThreads: %[1]d in Piscina), and set UV_THREADPOOL_SIZE=%[1]d for " +
		"fs, dns, crypto and zlib and --v8-pool-size=%[1]d for V8's helpers",
	"bun":    "start at most %[1]d Workers, and set UV_THREADPOOL_SIZE=%[1]d",
	"deno":   "start at most %[1]d Workers, and set --v8-flags=--single-threaded-gc if they are V8's helpers",
	"python": "set max_workers=%[1]d of its executors, --threads %[1]d of gunicorn, and OMP_NUM_THREADS=%[1]d for numpy",
	"go":     "set GOMAXPROCS=%[1]d",
	"jvm":    "set -XX:ActiveProcessorCount=%[1]d, and the maximum of its executors to %[1]d",
	"ruby":   "set threads %[1]d, %[1]d in config/puma.rb (RAILS_MAX_THREADS=%[1]d)",
	"dotnet": "set DOTNET_PROCESSOR_COUNT=%[1]d",
	"beam":   "set +S %[1]d:%[1]d",
	"nginx":  "set worker_processes %[1]d, and thread_pool default threads=%[1]d",
	"redis":  "set io-threads %[1]d",
	"php":    "set pm.max_children = %[1]d",
}

// poolSettings holds the setting for programs with an unknown runtime, by the name of
// their threads.
var poolSettings = []struct{ thread, setting string }{
	{"tokio-", "set TOKIO_WORKER_THREADS=%[1]d"},
	{"rayon", "set RAYON_NUM_THREADS=%[1]d"},
}

// threadSetting returns how to limit the threads of the group; ok is false if that is not
// known, so that there is no advice.
func (g *group) threadSetting(p *facts.Pass) (setting string, ok bool) {
	n := g.usefulThreads(p)
	if format, known := threadSettings[p.Attr(g.processes[0], catalog.AttrRuntime)]; known {
		return fmt.Sprintf(format, n), true
	}
	for thread := range p.Entities(catalog.ThreadCPU) {
		process, _ := p.Index.Ancestor(thread, observe.Process)
		if process != g.processes[0] {
			continue
		}
		for _, pool := range poolSettings {
			if strings.HasPrefix(p.Attr(thread, catalog.AttrThreadName), pool.thread) {
				return fmt.Sprintf(pool.setting, n), true
			}
		}
	}
	return "", false
}

// usefulThreads returns the number of threads of each process that can run at the same
// time.
func (g *group) usefulThreads(p *facts.Pass) int {
	cpus := p.EffectiveCPUs(g.processes[0])
	return int(max(1, math.Floor(cpus/float64(len(g.processes)))))
}

func (g *group) reduceThreads(p *facts.Pass) analysis.Recommendation {
	n := float64(g.usefulThreads(p))
	setting, _ := g.threadSetting(p)
	each := ""
	if len(g.processes) > 1 {
		each = " in each process"
	}
	return analysis.Recommendation{
		Verb:     analysis.ReduceThreads,
		Quantity: &analysis.Estimate{Value: n, Low: analysis.Bound(n), High: analysis.Bound(n + 1), Unit: "threads"},
		Action: fmt.Sprintf("Limit %s to %s that run at once%s, because it can use %s: %s", g.name(p), analysis.Number(n, "thread", "threads"), each,
			analysis.Cores(p.EffectiveCPUs(g.processes[0])), setting),
		Risk:  "a single burst of work takes longer",
		NotIf: "it is pinned to fewer CPUs than the host has: then widen its affinity or cpuset",
	}
}
