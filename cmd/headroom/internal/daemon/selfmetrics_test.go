// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/analyzers/state"
)

// TestMutedInMetrics checks that a muted finding is counted as muted and never as
// firing, so that it triggers no alert, and that a resolved finding is counted as
// cleared, muted or not.
func TestMutedInMetrics(t *testing.T) {
	p := newTape(t, throttled, "")
	entry := p.until(quota, state.Firing, 120)
	p.counted("firing")
	p.configure("mute: [{id: cpu-throttled}]")
	p.counted("muted")
	if f := p.finding(quota); f.State != string(state.Firing) || !f.Muted {
		t.Errorf("the API has it %s and muted: %v, want firing and muted", f.State, f.Muted)
	}
	p.configure("mute: [{id: cpu-throttled}]\nthresholds: [{id: cpu-throttled, set: " + silent + "}]")
	p.until(quota, state.Cleared, 4*entry)
	p.counted("cleared")
}

// counted checks that the metrics contain cpu-throttled once, in this state.
func (p *tape) counted(state string) {
	p.t.Helper()
	for _, name := range []string{"headroom_findings", "headroom_finding_impact_ratio"} {
		var got []string
		for _, line := range p.scrape(name + "{") {
			if strings.Contains(line, `id="cpu-throttled"`) {
				got = append(got, line)
			}
		}
		if len(got) != 1 || !strings.Contains(got[0], `state="`+state+`"`) || name == "headroom_findings" && !strings.HasSuffix(got[0], " 1") {
			p.t.Errorf("%s = %q, want one that is %s", name, got, state)
		}
	}
}
