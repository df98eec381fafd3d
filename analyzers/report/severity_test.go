// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"testing"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

// TestSeverityIsAWordInJSON checks the JSON form of a severity. It must not change: the
// agent's state files contain it, and an older version reads them.
func TestSeverityIsAWordInJSON(t *testing.T) {
	for s, want := range map[analysis.Severity]string{analysis.Info: `"info"`, analysis.Warning: `"warning"`, analysis.Critical: `"critical"`} {
		text, err := json.Marshal(Severity(s))
		if err != nil || string(text) != want {
			t.Errorf("%v = %s, %v, want %s", s, text, err, want)
		}
		var back Severity
		if err := json.Unmarshal(text, &back); err != nil || back != Severity(s) {
			t.Errorf("%s = %v, %v, want %v", text, back, err, s)
		}
	}
	var s Severity
	if err := json.Unmarshal([]byte(`"urgent"`), &s); err == nil {
		t.Error("an unknown severity is no error")
	}
}
