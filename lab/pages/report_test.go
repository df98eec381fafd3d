// SPDX-License-Identifier: Apache-2.0

package pages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/browser"
)

// reportPages are recorded cases with different reports: many findings and symptoms,
// a forecast, skipped analyzers, no finding.
var reportPages = []string{"runqueuelatency/host-full", "cputhrottled/limit-too-low", "fdexhaustion/silent-checkpointer", "memorygrowth/own-limit", "eventloopblocked/silent-healthy"}

// recorded returns the recording of a recorded case.
func recorded(t *testing.T, recording string) []byte {
	t.Helper()
	analyzer, name, _ := strings.Cut(recording, "/")
	content, err := txtar.ParseFile(filepath.Join("../../analyzers", analyzer, "testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	return content.Files[0].Data
}

// writeReport writes the HTML report of a recording, and returns its address.
func writeReport(t *testing.T, recording []byte) string {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join(dir, "case.hr")
	outside.Must(t, os.WriteFile(from, recording, 0o600))
	var said outside.Output
	diagnose := exec.Command(headroom(t), "diagnose", "--from", from, "-o", "html")
	diagnose.Stderr = &said
	html, err := diagnose.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", diagnose, err, &said)
	}
	path := filepath.Join(dir, "report.html")
	outside.Must(t, os.WriteFile(path, html, 0o600))
	return "file://" + path
}

// TestBrowserReport checks reports of recorded cases on a desktop and on a phone, in
// light and dark mode.
func TestBrowserReport(t *testing.T) {
	b := browser.Start(t)
	for _, recording := range reportPages {
		url := writeReport(t, recorded(t, recording))
		p := b.Open(url, browser.Looks[0])
		for _, look := range browser.Looks {
			where := fmt.Sprintf("report-%s-%d-%v", strings.ReplaceAll(recording, "/", "-"), look.Width, look)
			p.Look(look)
			p.Sight(where)
			p.Shot(where)
		}
		browser.Value[bool](p, `(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
		p.Sight(recording + " with all details on a telephone")
		p.Clean(url)
	}
}

// TestBrowserReportFilters checks the filters of a report, links to a finding, the
// page without scripts, and printing.
func TestBrowserReportFilters(t *testing.T) {
	b := browser.Start(t)
	// A warning about waiting, and an info about a CPU limit.
	url := writeReport(t, recorded(t, "cputhrottled/pool-threads"))
	p := b.Open(url, browser.Looks[0])
	const shown = `[...document.querySelectorAll("article.finding")].filter(a => a.checkVisibility()).length`
	all := browser.Value[int](p, shown)
	if all < 2 {
		t.Fatalf("%d findings are shown, want 2 at least to filter", all)
	}
	if warnings := browser.Value[int](p, `document.querySelectorAll("article.warning").length`); warnings == 0 || warnings == all {
		t.Fatalf("%d of %d findings are warnings, want some to hide", warnings, all)
	}
	p.Type("#words", "CPU limit too low")
	p.Await(shown + ` === 1 && document.getElementById("shown").textContent === "1 of ` + fmt.Sprint(all) + ` shown"`)
	browser.Value[bool](p, `(words.value = "", words.dispatchEvent(new Event("input")), true)`)
	p.Click(`button[data-severity=warning]`)
	p.Await(fmt.Sprintf(`%s === %d - document.querySelectorAll("article.warning").length`, shown, all))
	p.Click(`button[data-severity=warning]`)
	p.Await(fmt.Sprintf(`%s === %d`, shown, all))
	last := fmt.Sprintf("#finding-%d", all)
	p.Await(fmt.Sprintf(`!document.querySelector("%s details").open`, last))
	p.Click(last + " summary")
	p.Await(fmt.Sprintf(`document.querySelector("%[1]s details").open && document.querySelector("%[1]s table").checkVisibility()`, last))
	p.Clean(url)

	linked := b.Open(url+last, browser.Looks[0])
	linked.Await(fmt.Sprintf(`document.querySelector("%s details").open`, last))
	linked.Clean(url)

	still := b.OpenWithoutScripts(url, browser.Looks[0])
	if n := browser.Value[int](still, shown); n != all {
		t.Errorf("without scripts %d findings are shown, want %d", n, all)
	}
	if browser.Value[bool](still, `document.getElementById("filter").checkVisibility()`) {
		t.Error("without scripts there is a filter that does nothing")
	}
	still.Sight("without scripts")

	paper := b.Open(url, browser.Looks[0])
	const inside = `[...document.querySelectorAll("details:not([open]) table")].map(e => e.checkVisibility({contentVisibilityAuto: true}) && e.getBoundingClientRect().height > 0)`
	if seen := browser.Value[[]bool](paper, inside); len(seen) == 0 || slices.Contains(seen, true) {
		t.Fatalf("tables in closed details are seen: %v, want some and none of them seen", seen)
	}
	paper.Paper()
	paper.Await(inside + `.every(seen => seen)`) // true in the next frame
}

// TestBrowserReportHostileNames checks that a report escapes names of a process, its
// thread and its host that look like markup.
func TestBrowserReportHostileNames(t *testing.T) {
	const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)>`
	quoted, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	content := recorded(t, "eventloopblocked/on-cpu")
	for _, name := range []string{`"process.command":"node server.js"`, `"process.executable.name":"node"`, `"thread.name":"node"`, `"name":"vm"`} {
		attribute, _, _ := strings.Cut(name, ":")
		changed := bytes.ReplaceAll(content, []byte(name), append([]byte(attribute+":"), quoted...))
		if bytes.Equal(changed, content) {
			t.Fatalf("the recording has no %s to change", name)
		}
		content = changed
	}
	url := writeReport(t, content)
	p := browser.Start(t).Open(url, browser.Looks[0])
	if says := browser.Value[string](p, `document.querySelector("h2").textContent`); !strings.Contains(says, hostile) {
		t.Errorf("the finding says %q, want the name in it letter by letter", says)
	}
	if made := browser.Value[int](p, `document.images.length + document.scripts.length`); made != 1 {
		t.Errorf("the page has %d scripts and images, want its own script", made)
	}
	p.Sight("hostile names")
	p.Clean(url)
}
