// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

func TestAnalyzersAreValid(t *testing.T) {
	if err := analysis.Validate(Analyzers); err != nil {
		t.Error(err)
	}
}

// TestEveryFolderIsListed: a folder with a doc.md is an analyzer, its name is
// the id without hyphens.
func TestEveryFolderIsListed(t *testing.T) {
	folders, err := filepath.Glob("../*/doc.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, a := range Analyzers {
		listed = append(listed, strings.ReplaceAll(a.Name, "-", ""))
	}
	for _, doc := range folders {
		if name := filepath.Base(filepath.Dir(doc)); !slices.Contains(listed, name) {
			t.Errorf("analyzers/%s is not in the list", name)
		}
	}
	if len(folders) != len(listed) {
		t.Errorf("%d folders and %d analyzers in the list", len(folders), len(listed))
	}
}

func TestDocsTellWhatTheyMust(t *testing.T) {
	for _, a := range Analyzers {
		for _, needed := range []string{"# " + a.Name + "\n", "\n> ", "## Formula", "## Thresholds", "Look-alikes", "## Not known"} {
			if !strings.Contains(a.Doc, needed) {
				t.Errorf("doc.md of %s has no %q", a.Name, needed)
			}
		}
	}
}

func TestMetricsAreInTheCatalogue(t *testing.T) {
	known := catalog.ByKey()
	for _, a := range Analyzers {
		for _, m := range slices.Concat(a.Needs, a.Wants) {
			if known[m.Key()] != m {
				t.Errorf("%s asks for %s, which the catalogue does not list", a.Name, m.Key())
			}
		}
	}
}

func TestRejectionsHaveReasons(t *testing.T) {
	for _, r := range Rejected {
		if r.Idea == "" || r.Reason == "" {
			t.Errorf("rejection without an idea or a reason: %+v", r)
		}
	}
}

// TestVerbsAndCausesAreTheContracts keeps the lists of each id closed.
func TestVerbsAndCausesAreTheContracts(t *testing.T) {
	for _, a := range Analyzers {
		want, ok := contract[a.Name]
		if !ok {
			t.Errorf("%s is not in the contract", a.Name)
			continue
		}
		var verbs []string
		for _, v := range a.Verbs {
			verbs = append(verbs, string(v))
		}
		for what, lists := range map[string][2][]string{"causes": {a.Causes, want.causes}, "verbs": {verbs, want.verbs}} {
			got, want := slices.Sorted(slices.Values(lists[0])), slices.Sorted(slices.Values(lists[1]))
			if !slices.Equal(got, want) {
				t.Errorf("%s of %s = %v, want %v", what, a.Name, got, want)
			}
		}
	}
}

var contract = map[string]struct{ causes, verbs []string }{
	"event-loop-blocked": {
		[]string{"on-cpu", "gc", "run-queue", "cpu-throttled", "blocking-call", "page-fault", "mixed"},
		[]string{"move-to-worker-threads", "reduce-allocation", "enlarge-heap", "make-async", "raise-cpu-limit", "add-processes", "add-nodes", "cap-neighbour", "add-memory"},
	},
	"event-loop-saturated":  {[]string{"short-ticks"}, []string{"add-processes", "add-nodes"}},
	"single-thread-bound":   {[]string{"one-hot-thread"}, []string{"use-more-cores"}},
	"run-queue-latency":     {[]string{"host-full", "noisy-neighbour", "own-threads"}, []string{"add-nodes", "cap-neighbour", "reduce-threads"}},
	"host-saturated":        {[]string{"cpu", "memory"}, []string{"add-nodes"}},
	"cpu-throttled":         {[]string{"limit-too-low", "threads-exceed-quota"}, []string{"raise-cpu-limit", "reduce-threads"}},
	"worker-count-mismatch": {[]string{"too-many-workers", "too-few-workers"}, []string{"set-worker-count"}},
	"disk-saturated":        {[]string{"latency", "throughput"}, []string{"add-nodes", "add-cache", "add-memory"}},
	"nic-saturated":         {[]string{"link", "drops", "one-softirq-core"}, []string{"add-nodes", "spread-interrupts"}},
	"memory-limit-pressure": {[]string{"limit-too-low", "page-cache"}, []string{"raise-memory-limit", "fix-leak"}},
	"oom-killed":            {[]string{"container-limit", "host"}, []string{"raise-memory-limit", "fix-leak", "add-memory"}},
	"heap-limit-mismatch":   {[]string{"ceiling-above-limit", "ceiling-far-below-limit"}, []string{"set-heap-limit"}},
	"page-cache-thrash":     {[]string{"working-set-exceeds-memory"}, []string{"add-memory"}},
	"memory-growth":         {[]string{"leak-or-unbounded", "filling-cache"}, []string{"fix-leak", "restart-before"}},
	"fd-exhaustion":         {[]string{"leak", "load", "limit-too-low"}, []string{"fix-leak", "raise-fd-limit"}},
	"accept-queue-overflow": {[]string{"backlog-too-small", "slow-accept"}, []string{"raise-backlog", "add-processes"}},
	"close-wait-leak":       {[]string{"not-closed"}, []string{"fix-leak"}},
	"port-exhaustion":       {[]string{"no-keep-alive", "one-tuple"}, []string{"reuse-connections", "add-addresses"}},
	"conntrack-exhaustion":  {[]string{"table-full"}, []string{"raise-conntrack"}},
}
