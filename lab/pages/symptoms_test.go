// SPDX-License-Identifier: Apache-2.0

package pages

import (
	"net/url"
	"testing"

	"github.com/headroom-project/headroom/lab/browser"
)

// TestBrowserFoldsSymptoms checks that a symptom is inside the card of its root
// cause, does not count in the heading, and opens by its key, and that notes have
// their own heading.
func TestBrowserFoldsSymptoms(t *testing.T) {
	server := servePage(t, "analyzers/publish/web", "TestServePage", "HEADROOM_SERVE_PAGE=folded")
	b := browser.Start(t)
	p := b.Open(server.url, browser.Looks[0])
	p.Await(`document.querySelectorAll("#now > article").length === 1 && document.querySelectorAll("#notes > article").length === 1`)
	for what, is := range map[string]string{
		"the heading counts root causes": `verdict.textContent.includes("1 problem on")`,
		"the heading counts servers":     `verdict.textContent.includes("2 servers not observed")`,
		"the verdict is the root's":      `document.querySelector("#verdict .pill").textContent === "warning"`,
		"the card names its symptom":     `document.querySelector("#now > article .symptoms").textContent.includes("event-loop-blocked of node server.js (pid 42)")`,
		"the symptom is in the card":     `document.querySelectorAll("#now > article details.symptom").length === 1`,
		"notes have a heading":           `document.querySelector("#noticed").checkVisibility() && document.querySelector("#noticed h3").textContent === "Also noticed"`,
	} {
		if !browser.Value[bool](p, is) {
			t.Errorf("not so: %s; the page says:\n%s", what, browser.Value[string](p, `document.body.innerText`))
		}
	}
	linked := b.Open(server.url+"#"+url.PathEscape(findings(t, server.url)[1].Key), browser.Looks[0])
	linked.Await(`document.querySelector("#now > article.linked details.symptom[open]") !== null`)
	linked.Clean(server.url)
	p.Clean(server.url)
}
