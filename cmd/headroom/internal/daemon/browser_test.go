// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/analyzers/publish/web"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
	"github.com/headroom-project/headroom/lab/browser"
)

// serveTape serves what a watcher of a recorded case found.
func serveTape(t *testing.T, recording, config string) (*tape, *httptest.Server) {
	t.Helper()
	p := newTape(t, recording, config)
	server := httptest.NewServer(web.Handler(p, http.NotFoundHandler()))
	t.Cleanup(server.Close)
	return p, server
}

// again has the page ask the agent now, which it does every five seconds.
func again(p *browser.Page) {
	browser.Value[bool](p, `refresh().then(() => true)`)
}

// TestBrowserAgent looks at the agent's page from the first second of an agent
// to its last.
func TestBrowserAgent(t *testing.T) {
	watched, server := serveTape(t, "cputhrottled/limit-too-low", "mute:\n  - id: event-loop-saturated\n")
	b := browser.Start(t)
	early := b.Open(server.URL, browser.Looks[0])
	early.Await(`verdict.textContent === "Not known yet" && facts.textContent === "the first window is not complete"`)

	watched.until("cpu-throttled", state.Firing, 120)
	again(early)
	early.Await(`facts.textContent.startsWith("Looked at ")`)
	p := b.Open(server.URL, browser.Looks[0])
	const shown = `[...document.querySelectorAll("#now article")].filter(a => a.checkVisibility()).length`
	p.Await(shown + ` > 0 && document.querySelectorAll("#rows tr").length > 0`)
	all := browser.Value[int](p, shown)
	if want := len(report.Roots(watched.Report().Findings)); all != want {
		t.Errorf("%d findings are shown, want %d root causes", all, want)
	}
	const article = `#now article[data-key^="event-loop-blocked"]` // whose stalls change from look to look
	p.Click(article + " summary")
	opened := browser.Value[string](p, `(opened = document.querySelector('`+article+`'), before = opened.textContent, opened.dataset.key)`)
	p.Await(`opened.querySelector("details").open`)
	for _, look := range browser.Looks {
		where := fmt.Sprintf("agent-%d-%v", look.Width, look)
		p.Look(look)
		p.Sight(where)
		p.Shot(where)
	}
	p.Look(browser.Looks[0])

	p.Type("#words", "throttled no-such-thing")
	p.Await(shown + ` === 0 && document.getElementById("shown").textContent.startsWith("0 of ")`)
	browser.Value[bool](p, `(words.value = "", words.dispatchEvent(new Event("input")), true)`)
	p.Await(fmt.Sprintf("%s === %d", shown, all))
	p.Click("#rows a")
	p.Await(`document.querySelector("article.linked details[open]") !== null`)
	p.Click("#columns th:first-child button")
	p.Await(`document.querySelector("#columns th:first-child").getAttribute("aria-sort") === "ascending"`)

	watched.play(30)
	again(p)
	if !browser.Value[bool](p, `opened.isConnected && opened.querySelector("details").open`) {
		t.Errorf("%s, which somebody had opened, was closed by a refresh", opened)
	}
	if !browser.Value[bool](p, `opened.textContent !== before`) {
		t.Errorf("%s says after half a minute what it said before", opened)
	}
	key := watched.finding("cpu-throttled").Key
	linked := b.Open(server.URL+"#"+strings.ReplaceAll(key, " ", "%20"), browser.Looks[0])
	linked.Await(`document.querySelector("article.linked details[open]") !== null`)
	if got := browser.Value[string](linked, `document.querySelector("article.linked").dataset.key`); got != key {
		t.Errorf("the link opens %s, want %s", got, key)
	}
	linked.Clean(server.URL)

	watched.insert("cputhrottled/silent-enough")
	watched.until("cpu-throttled", state.Cleared, 600)
	again(p)
	p.Await(`document.querySelector("#over article.cleared") !== null && document.querySelector("#over article p.quiet").textContent.startsWith("from ")`)
	p.Sight("with something that is over")
	p.Shot("agent-over")
	p.Clean(server.URL)

	server.CloseClientConnections()
	server.Close()
	again(p)
	p.Await(`$("trouble").checkVisibility() && $("trouble").textContent.startsWith("No answer from the agent since ")`)
}
