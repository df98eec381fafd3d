// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"testing"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

func TestParamValue(t *testing.T) {
	seconds, ratio := &analysis.Param{Name: "s", Unit: observe.Seconds}, &analysis.Param{Name: "r", Unit: observe.Ratio}
	for _, text := range []string{"", "Inf", "+Inf", "inf", "-Inf", "NaN", "nan", "-1", "-5s", "1e308", "1e999", "0x", "Inf%", "-1%", "10%"} {
		if v, err := ParamValue(seconds, text); err == nil {
			t.Errorf("seconds %q is %v", text, v)
		}
	}
	for text, want := range map[string]float64{"100ms": 0.1, "0": 0, "2.5": 2.5, "1h": 3600} {
		if v, err := ParamValue(seconds, text); err != nil || v != want {
			t.Errorf("seconds %q is %v, %v, want %v", text, v, err, want)
		}
	}
	if v, err := ParamValue(ratio, "10%"); err != nil || v != 0.1 {
		t.Errorf("10%% is %v, %v", v, err)
	}
}

func FuzzParamValue(f *testing.F) {
	f.Add("100ms")
	f.Add("10%")
	f.Fuzz(func(t *testing.T, text string) {
		for _, unit := range []observe.Unit{observe.Seconds, observe.Ratio, observe.Count} {
			if v, err := ParamValue(&analysis.Param{Unit: unit}, text); err == nil && !(v >= 0 && v <= maxParam) {
				t.Errorf("%q of %s is %v", text, unit, v)
			}
		}
	})
}
