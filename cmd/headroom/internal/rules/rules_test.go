// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/cmd/headroom/internal/diagnosis"
)

// of reads rules from a config with this text.
func of(t *testing.T, text string) (*Rules, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "headroom.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Read(path)
}

func must(t *testing.T, text string) *Rules {
	t.Helper()
	r, err := of(t, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// TestReadFails checks that an unknown name is an error with its line and the closest
// name.
func TestReadFails(t *testing.T) {
	for text, want := range map[string]string{
		"every: 10s\nmute:\n  - {id: cpu-throtled}\n":                                    `line 3: mute: unknown finding "cpu-throtled": did you mean cpu-throttled?`,
		"thresholds:\n  - {id: fd-exhausion, set: {warn-share: 1}}\n":                    `line 2: thresholds: unknown finding "fd-exhausion": did you mean fd-exhaustion?`,
		"thresholds:\n  - {id: fd-exhaustion, set: {warn-shore: 1}}\n":                   "line 2: thresholds: ",
		"thresholds:\n  - {id: fd-exhaustion, set: {warn-share: a lot}}\n":               "warn-share: ",
		"thresholds:\n  - {id: fd-exhaustion, service: api, set: {warn-share: a lot}}\n": "warn-share: ",
		"otlp: {endpoint: 'https://c:4318', ca_file: /nonexistent/ca.pem}\n":             "otlp: ca_file: ",
		"mutes: []\n": `unknown key "mutes"`,
	} {
		if r, err := of(t, text); r != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %q: %+v, %v; want an error with %q", text, r, err, want)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "absent.yml")); err == nil {
		t.Error("a missing file is no error")
	}
}

// TestReadNothing checks that without a file the defaults apply, and nothing is muted.
func TestReadNothing(t *testing.T) {
	r, err := Read("")
	if err != nil {
		t.Fatal(err)
	}
	if r.Config.Window <= 0 || r.Config.Every <= 0 || len(r.params)+len(r.services) > 0 || r.Muted(&report.Finding{ID: "cpu-throttled"}) {
		t.Errorf("without a file the rules are %+v", r)
	}
}

func TestMuted(t *testing.T) {
	finding := &report.Finding{ID: "cpu-throttled", Subject: report.Subject{Service: "shop", Container: "api", ContainerID: "0428dde7cfbd"}}
	host := &report.Finding{ID: "cpu-throttled"}
	for _, c := range []struct {
		mute        string
		muted, host bool // of the finding in a container, and of a finding about the host
	}{
		{"", false, false},
		{"{id: cpu-throttled}", true, true},
		{"{id: fd-exhaustion}", false, false},
		{"{service: shop}", true, false},
		{"{service: api}", true, false},
		{"{service: 0428dde7cfbd}", true, false},
		{"{service: sho}", false, false},
		{"{id: cpu-throttled, service: api}", true, false},
		{"{id: fd-exhaustion, service: api}", false, false},
		{"{id: cpu-throttled, service: web}", false, false},
		{"{id: fd-exhaustion}, {service: api}", true, false},
	} {
		r := must(t, "mute: ["+c.mute+"]\n")
		if muted, ofHost := r.Muted(finding), r.Muted(host); muted != c.muted || ofHost != c.host {
			t.Errorf("with mute: [%s] the finding of a container is muted: %v, of the host: %v; want %v, %v", c.mute, muted, ofHost, c.muted, c.host)
		}
	}
}

// window returns the window of a recorded case, such as cputhrottled/limit-too-low.
func window(t *testing.T, name string) (*observe.Window, observe.Host) {
	t.Helper()
	analyzer, name, _ := strings.Cut(name, "/")
	recorded, err := txtar.ParseFile(filepath.Join("../../../../analyzers", analyzer, "testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	from, err := diagnosis.Replay(strings.NewReader(string(recorded.Files[0].Data)), name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := diagnosis.Inquiry{}.Judge(context.Background(), from)
	if err != nil {
		t.Fatal(err)
	}
	return r.Window, from.Host
}

func found(r *analysis.Result, id string) bool {
	for _, f := range r.Findings {
		if f.Analyzer.Name == id {
			return true
		}
	}
	return false
}

// TestAskByService checks that thresholds of a service apply only to findings in it,
// and that it uses the thresholds of all services where it sets none.
func TestAskByService(t *testing.T) {
	const container = "0428dde7cfbd3c73526241d05e259591b3eeb14ee7a96e7ba7a1ef5d96bbc1fa"
	const silent, loud = "{warn-lag: 10m, critical-lag: 10m, warn-time: 10}", "{warn-lag: 50ms, critical-lag: 200ms}"
	w, host := window(t, "cputhrottled/limit-too-low")
	rule := func(service, set string) string {
		if service != "" {
			service = "service: " + service + ", "
		}
		return "  - {id: cpu-throttled, " + service + "set: " + set + "}\n"
	}
	for _, c := range []struct {
		name, rules string
		found       bool
	}{
		{"the defaults", "", true},
		{"all services silent", rule("", silent), false},
		{"its service silent", rule(container, silent), false},
		{"another service silent", rule("api", silent), true},
		{"all silent but its service", rule("", silent) + rule(container, loud), true},
		{"its service, in two rules", rule(container, "{warn-lag: 10m, critical-lag: 10m}") + rule(container, "{warn-time: 10}"), false},
		{"its service, beside those of all", rule("", "{warn-lag: 10m, critical-lag: 10m}") + rule(container, "{warn-time: 10}"), false},
	} {
		text := "every: 10s\n"
		if c.rules != "" {
			text = "thresholds:\n" + c.rules
		}
		result := must(t, text).Ask(w, host, nil, 1)
		if got := found(result, "cpu-throttled"); got != c.found {
			t.Errorf("with %s it is found: %v, want %v", c.name, got, c.found)
		}
	}
}

// TestAskReleased checks that a released threshold is lower, whether it is a default or
// set by a rule.
func TestAskReleased(t *testing.T) {
	w, host := window(t, "fdexhaustion/peak-near-limit") // 220 of 256 descriptors: 86 %
	for _, c := range []struct {
		share   string
		release float64
		found   bool
	}{
		{"95%", 1, false},
		{"95%", analysis.Release, true}, // 76 %
		{"115%", analysis.Release, false},
		{"80%", 1, true},
	} {
		r := must(t, "thresholds: [{id: fd-exhaustion, set: {warn-share: "+c.share+"}}]\n")
		if got := found(r.Ask(w, host, nil, c.release), "fd-exhaustion"); got != c.found {
			t.Errorf("at 86 %% of the limit, with a threshold of %s and a release of %v, it is found: %v, want %v", c.share, c.release, got, c.found)
		}
	}
	defaults, err := Read("")
	if err != nil {
		t.Fatal(err)
	}
	r := must(t, "thresholds: [{id: cpu-throttled, set: {critical-share-of-lag: 60%}}]\n")
	for p, v := range r.params {
		if got := released(r.params, 0.5)[p]; p.Enters || got != v {
			t.Errorf("%s is released from %v to %v, although no finding begins at it (%v)", p.Name, v, got, p.Enters)
		}
	}
	entering := 0
	for p, v := range released(defaults.params, 0.5) {
		if entering++; !p.Enters || v != p.Default/2 {
			t.Errorf("%s is released to %v, by default %v; only those that findings begin at are to be, to half", p.Name, v, p.Default)
		}
	}
	if entering == 0 {
		t.Error("no default is released")
	}
}

// TestNamesAround checks that a thread has the names of its container and pod, and that
// entities outside them do not.
func TestNamesAround(t *testing.T) {
	x := observe.NewIndex(observe.DefaultLimit)
	id := func(kind observe.EntityKind, name string, parent observe.Entity, attrs map[string]string) observe.ID {
		n := x.ID(observe.Entity{Kind: kind, ID: name})
		x.Describe(n, observe.Info{Parent: parent, Attrs: attrs})
		return n
	}
	none := observe.Entity{}
	id(observe.Cgroup, "/pod", none, map[string]string{catalog.AttrService: "shop"})
	id(observe.Cgroup, "/pod/api", observe.Entity{Kind: observe.Cgroup, ID: "/pod"}, map[string]string{catalog.AttrContainerName: "api", catalog.AttrContainerID: "0428"})
	thread := id(observe.Thread, "1:1/1", observe.Entity{Kind: observe.Cgroup, ID: "/pod/api"}, nil)
	beside := id(observe.Process, "2:1", observe.Entity{Kind: observe.Cgroup, ID: "/pod"}, nil)
	for _, c := range []struct {
		id      observe.ID
		service string
		want    bool
	}{
		{thread, "shop", true}, {thread, "api", true}, {thread, "0428", true}, {thread, "web", false}, {thread, "", true},
		{beside, "shop", true}, {beside, "api", false},
	} {
		if got := isService(namesAround(x, c.id), c.service); got != c.want {
			t.Errorf("%v is of service %q: %v, want %v", x.Entity(c.id), c.service, got, c.want)
		}
	}
}
