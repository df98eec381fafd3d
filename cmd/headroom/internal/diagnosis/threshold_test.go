// SPDX-License-Identifier: Apache-2.0

package diagnosis

import (
	"testing"
	"time"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

func TestThreshold(t *testing.T) {
	cause := &analysis.Finding{Severity: analysis.Warning}
	symptom := &analysis.Finding{Severity: analysis.Critical, SymptomOf: cause}
	r := &analysis.Result{Findings: []*analysis.Finding{cause, symptom}}
	for name, want := range map[string]bool{"info": true, "warning": true, "critical": false, Never: false} {
		threshold, err := ParseThreshold(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := threshold.Reached(r); got != want {
			t.Errorf("a warning with a critical symptom reaches %s: %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"", "healthy", "Warning"} {
		if _, err := ParseThreshold(name); err == nil {
			t.Errorf("ParseThreshold(%q) returns no error", name)
		}
	}
}

func TestCheckDuration(t *testing.T) {
	for d, valid := range map[time.Duration]bool{
		-time.Second: false, 0: false, time.Second: false, minDuration: true, DefaultDuration: true, maxDuration: true, maxDuration + 1: false,
	} {
		if err := CheckDuration(d); (err == nil) != valid {
			t.Errorf("CheckDuration(%v) = %v, want valid: %v", d, err, valid)
		}
	}
}
