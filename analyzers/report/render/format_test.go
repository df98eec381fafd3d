// SPDX-License-Identifier: Apache-2.0

package render

import (
	"math"
	"testing"

	"github.com/headroom-project/headroom/agent/observe"
)

// TestHumanIsShort checks that impossible values have a short text too.
func TestHumanIsShort(t *testing.T) {
	for _, unit := range []observe.Unit{observe.Seconds, observe.Bytes, observe.Ratio, observe.Cores, observe.Count, "{fault}", ""} {
		for _, v := range []float64{0, 1e-308, 1, 1e9, 1e15, 1 << 63, 1e19, 1e100, 1e308, math.Inf(1), math.NaN()} {
			for _, v := range []float64{v, -v} {
				if text := Human(v, string(unit)); len(text) > 24 {
					t.Errorf("%g %s is %q", v, unit, text)
				}
			}
		}
	}
	if got := Human(123456789, string(observe.Count)); got != "123456789" {
		t.Errorf("an integer is %q", got)
	}
}

func TestHuman(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0, "s", "0 s"}, {0.00035, "s", "350 µs"}, {0.412, "s", "412 ms"}, {0.9996, "s", "1 s"}, {1.2, "s", "1.2 s"},
		{59.99, "s", "60 s"}, {90, "s", "1 min 30 s"}, {3600, "s", "1 h"}, {7500, "s", "2 h 5 min"}, {200000, "s", "2 d 8 h"},
		{268435456, "By", "256 MiB"}, {1023, "By", "1023 B"}, {25e9, "By", "23.3 GiB"},
		{0.384, "1", "38%"}, {1.5, "1", "150%"}, {0.0123, "1", "1.2%"}, {0.0004, "1", "0.04%"}, {0, "1", "0%"}, {0.0996, "1", "10%"},
		{1, "{cpu}", "1 core"}, {1.25, "{cpu}", "1.25 cores"}, {0.5, "{cpu}", "0.5 cores"},
		{114, "{count}", "114"}, {123456, "{count}", "123456"}, {3, "{fault}", "3 faults"}, {2, "threads", "2 threads"}, {2, "{descriptors an hour}", "2 descriptors an hour"},
		{0.1 + 0.2, "", "0.3"},
	} {
		if got := Human(c.value, c.unit); got != c.want {
			t.Errorf("Human(%v, %q) = %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}
