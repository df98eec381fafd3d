// SPDX-License-Identifier: Apache-2.0

package pages

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/browser"
)

// hostile has the fields of the agent's answers that the page must show unchanged.
type hostile struct {
	Host     struct{ Name string }
	Gaps     []struct{ Reason string }
	Findings []struct {
		Summary         string
		Recommendations []struct{ Action string }
	}
	Services []struct{ Name string }
}

// TestBrowserHostileNames checks that the agent's page shows names that look like
// markup as text, and creates no elements from them.
func TestBrowserHostileNames(t *testing.T) {
	server := servePage(t, "analyzers/publish/web", "TestServePage", "HEADROOM_SERVE_PAGE=hostile")
	var said hostile
	for _, path := range []string{"/api/v1/findings", "/api/v1/services"} {
		status, body := outside.Get(server.url + path)
		if status != http.StatusOK {
			t.Fatalf("GET %s: status %d: %s", path, status, body)
		}
		outside.Must(t, json.Unmarshal([]byte(body), &said))
	}
	if len(said.Findings) == 0 || len(said.Findings[0].Recommendations) == 0 || len(said.Gaps) == 0 || len(said.Services) == 0 {
		t.Fatalf("no finding with a recommendation, no gap or no service to look for: %+v", said)
	}
	p := browser.Start(t).Open(server.url, browser.Looks[0])
	p.Await(`document.querySelectorAll("#now article").length === 2 && document.querySelectorAll("#rows tr").length === 2`)
	browser.Value[bool](p, `(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
	says := browser.Value[string](p, `document.body.innerText`)
	for _, want := range []string{said.Findings[0].Summary, said.Services[0].Name, said.Findings[0].Recommendations[0].Action, said.Host.Name, said.Gaps[0].Reason} {
		if !strings.Contains(want, "<") {
			t.Errorf("%q is not hostile", want)
		}
		if !strings.Contains(says, want) {
			t.Errorf("the page does not show %q; it shows:\n%s", want, says)
		}
	}
	if made := browser.Value[int](p, `document.querySelectorAll("img, i:not([class]), u, b:not(th b), script + script, [onerror], a[href^=javascript]").length`); made > 0 {
		t.Errorf("the page has made %d elements of names", made)
	}
	p.Sight("hostile names")
	p.Clean(server.url)
}
