// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/analyzers/facts"
)

func TestGroupBy(t *testing.T) {
	got := facts.GroupBy(slices.Values([]string{"b1", "a1", "b2", "c1", "a2"}), func(s string) byte { return s[0] })
	want := [][]string{{"b1", "b2"}, {"a1", "a2"}, {"c1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := facts.GroupBy(slices.Values([]int(nil)), func(int) int { return 0 }); got != nil {
		t.Errorf("groups of nothing = %v", got)
	}
}
