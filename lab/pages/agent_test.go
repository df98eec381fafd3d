// SPDX-License-Identifier: Apache-2.0

package pages

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/browser"
)

// again refreshes the page, which otherwise happens every five seconds.
func again(p *browser.Page) {
	browser.Value[bool](p, `refresh().then(() => true)`)
}

// findings returns the findings of the agent's latest report.
func findings(t *testing.T, url string) []*report.Finding {
	t.Helper()
	status, body := outside.Get(url + "/api/v1/findings")
	if status != http.StatusOK {
		t.Fatalf("GET /api/v1/findings: status %d: %s", status, body)
	}
	var r report.Report
	outside.Must(t, json.Unmarshal([]byte(body), &r))
	return r.Findings
}

// TestBrowserAgent checks the agent's page from the start of an agent until after it
// was killed.
func TestBrowserAgent(t *testing.T) {
	server := servePage(t, "cmd/headroom/internal/daemon", "TestServeTape",
		"HEADROOM_SERVE_CASE=cputhrottled/limit-too-low", "HEADROOM_SERVE_CONFIG=mute: [{id: event-loop-saturated}]")
	b := browser.Start(t)
	early := b.Open(server.url, browser.Looks[0])
	early.Await(`verdict.textContent === "Not known yet" && facts.textContent === "the first window is not complete"`)

	key := server.tell("until cpu-throttled firing 120")
	again(early)
	early.Await(`facts.textContent.startsWith("Looked at ")`)
	p := b.Open(server.url, browser.Looks[0])
	const shown = `[...document.querySelectorAll("#now article")].filter(a => a.checkVisibility()).length`
	p.Await(shown + ` > 0 && document.querySelectorAll("#rows tr").length > 0`)
	all := browser.Value[int](p, shown)
	if want := len(report.Roots(findings(t, server.url))); all != want {
		t.Errorf("%d findings are shown, want %d root causes", all, want)
	}
	const article = `#now article[data-key^="event-loop-blocked"]` // its numbers of stalls change with each evaluation
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

	server.tell("play 30")
	again(p)
	if !browser.Value[bool](p, `opened.isConnected && opened.querySelector("details").open`) {
		t.Errorf("%s was opened, and a refresh closed it", opened)
	}
	if !browser.Value[bool](p, `opened.textContent !== before`) {
		t.Errorf("%s says after half a minute what it said before", opened)
	}
	linked := b.Open(server.url+"#"+strings.ReplaceAll(key, " ", "%20"), browser.Looks[0])
	linked.Await(`document.querySelector("article.linked details[open]") !== null`)
	if got := browser.Value[string](linked, `document.querySelector("article.linked").dataset.key`); got != key {
		t.Errorf("the link opens %s, want %s", got, key)
	}
	linked.Clean(server.url)

	server.tell("insert cputhrottled/silent-enough")
	server.tell("until cpu-throttled cleared 600")
	again(p)
	p.Await(`document.querySelector("#over article.cleared") !== null && document.querySelector("#over article p.quiet").textContent.startsWith("from ")`)
	p.Sight("with something that is over")
	p.Shot("agent-over")
	p.Clean(server.url)

	server.end()
	again(p)
	p.Await(`$("trouble").checkVisibility() && $("trouble").textContent.startsWith("No answer from the agent since ")`)
}

// patience is the timeout for an agent on a busy machine.
const patience = 20 * time.Second

// startAgent runs an agent until the end of the test, and returns its address.
func startAgent(t *testing.T, config string) (url string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "headroom.yml")
	outside.Must(t, os.WriteFile(file, []byte(config), 0o600))
	address := fmt.Sprintf("127.0.0.1:%d", outside.FreePort(t))
	var log outside.Output
	agent := exec.Command(headroom(t), "agent", "--web.listen-address", address, "--config.file", file, "--storage.path", filepath.Join(dir, "state"))
	agent.Stderr = &log
	agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	outside.Must(t, agent.Start())
	t.Cleanup(func() {
		_ = agent.Process.Kill() // it may have ended
		_ = agent.Wait()         // it was killed
		if t.Failed() {
			t.Logf("the agent said:\n%s", &log)
		}
	})
	return "http://" + address
}

// TestBrowserLiveAgent checks the page of the built program, which observes this host.
func TestBrowserLiveAgent(t *testing.T) {
	url := startAgent(t, "window: 4s\nevery: 2s\n")
	outside.Eventually(t, patience, "the agent is ready", func() bool { status, _ := outside.Get(url + "/readyz"); return status == http.StatusOK })
	p := browser.Start(t).Open(url, browser.Looks[0])
	p.Await(`facts.textContent.startsWith("Looked at ")`)
	p.Await(`document.querySelectorAll("#rows tr").length > 3`)
	if says := browser.Value[string](p, `$("rows").textContent`); !strings.Contains(says, "MiB") {
		t.Errorf("no service has memory: %.300s", says)
	}
	p.Sight("live agent")
	p.Clean(url)
}
