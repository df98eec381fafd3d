// SPDX-License-Identifier: Apache-2.0

package lookup

import "testing"

func TestClosest(t *testing.T) {
	words := []string{"cpu-throttled", "gc-pressure"}
	if got := Closest("gcpresure", words); got != "gc-pressure" {
		t.Errorf("closest = %q, want gc-pressure", got)
	}
}
