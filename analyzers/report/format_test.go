// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"
	"testing"

	"github.com/headroom-project/headroom/agent/observe"
)

// TestHumanIsShort: numbers that cannot be have few digits too.
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
