// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/lab/browser"
)

// TestBrowserHostileNames: names that look like markup are shown letter by
// letter, and nothing is made of them.
func TestBrowserHostileNames(t *testing.T) {
	server := httptest.NewServer(Handler(agent{report: judged()}, http.NotFoundHandler()))
	defer server.Close()
	p := browser.Start(t).Open(server.URL, browser.Looks[0])
	p.Await(`document.querySelectorAll("#now article").length === 2 && document.querySelectorAll("#rows tr").length === 2`)
	browser.Value[bool](p, `(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
	says := browser.Value[string](p, `document.body.innerText`)
	for _, want := range []string{hostileCommand, hostileContainer, hostileSummary, "Move <a href=javascript:alert(3)>it</a>", "<i>web</i>", "no <u>pressure</u>"} {
		if !strings.Contains(says, want) {
			t.Errorf("the page does not show %q; it shows:\n%s", want, says)
		}
	}
	if made := browser.Value[int](p, `document.querySelectorAll("img, i:not([class]), u, b:not(th b), script + script, [onerror], a[href^=javascript]").length`); made > 0 {
		t.Errorf("the page has made %d elements of names", made)
	}
	p.Sight("hostile names")
	p.Clean(server.URL)
}
