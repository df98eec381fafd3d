// SPDX-License-Identifier: Apache-2.0

package all

import (
	"os"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

func TestListIsValid(t *testing.T) {
	if err := sampler.Validate(Samplers); err != nil {
		t.Error(err)
	}
}

// TestEveryFolderIsListed checks that no sampler is missing in the list.
func TestEveryFolderIsListed(t *testing.T) {
	listed := map[string]bool{"all": true}
	for _, s := range Samplers {
		listed[s.Name] = true
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !listed[e.Name()] {
			t.Errorf("agent/sampler/%s is not in the list", e.Name())
		}
	}
	if _, err := os.Stat("../" + Samplers[0].Name); err != nil {
		t.Errorf("the first sampler has no folder of its name: %v", err)
	}
}

// TestEveryMetricHasAProvider checks that a sampler reads every metric: otherwise the
// analyzers of the metric would never run.
func TestEveryMetricHasAProvider(t *testing.T) {
	provided := make(map[*observe.Metric]bool)
	for _, s := range Samplers {
		for _, m := range s.Provides {
			provided[m] = true
		}
	}
	for _, m := range catalog.All() {
		if !provided[m] {
			t.Errorf("no sampler provides %s", m.Key())
		}
	}
}
