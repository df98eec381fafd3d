// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/state"
)

// The recorded cases that are replayed, and the finding in each.
const (
	burning   = "eventloopblocked/on-cpu" // node server.js, just started
	healthy   = "eventloopblocked/silent-healthy"
	blocked   = "event-loop-blocked"
	throttled = "cputhrottled/limit-too-low"
	quota     = "cpu-throttled"
	// container is the throttled container.
	container = "0428dde7cfbd3c73526241d05e259591b3eeb14ee7a96e7ba7a1ef5d96bbc1fa"
	nearLimit = "fdexhaustion/peak-near-limit" // a peak of 220 of 256 descriptors: 86%
	fds       = "fd-exhaustion"
)

// TestLifeOfAFinding checks that the finding of a process that started recently and
// uses the CPU goes through all states after the process is replaced by one that is
// idle.
func TestLifeOfAFinding(t *testing.T) {
	p := newTape(t, burning, "")
	if p.play(9); p.Report() != nil {
		t.Error("a report before the first judgement")
	}
	pending := p.until(blocked, state.Pending, 12)
	p.valid()
	firing := pending + p.until(blocked, state.Firing, 120)
	if firing < warmUp-10 || firing > warmUp+30 {
		t.Errorf("firing after %v s, want soon after its process is %v s old", firing, warmUp)
	}
	p.valid()
	if got := p.Report().Verdict; got != p.finding(blocked).Severity.String() {
		t.Errorf("verdict = %s beside a firing finding that is %s", got, p.finding(blocked).Severity)
	}
	key, since := p.finding(blocked).Key, p.finding(blocked).Since

	p.insert(healthy)
	p.play(pause.Seconds())
	if p.self.standstills != 1 {
		t.Errorf("%d standstills were seen, want 1", p.self.standstills)
	}
	if f := p.finding(blocked); f.State != string(state.Firing) || f.Since != since {
		t.Errorf("after a pause it is %s since %s, want firing since %s: there was no evaluation", f.State, f.Since, since)
	}
	cleared := p.until(blocked, state.Cleared, 4*firing)
	if away, entry := pause.Seconds()+cleared, firing-pending; away < 2*entry-2 {
		t.Errorf("cleared %v s after the fix, which is not twice the %v s that it took to fire", away, entry)
	}
	p.valid()
	if f := p.finding(blocked); f.Key != key || p.Report().Verdict != analysis.Healthy.String() {
		t.Errorf("%s is over and the verdict is %s, want %s and healthy", f.Key, p.Report().Verdict, key)
	}
	p.logged(key, "finding pending", "finding firing", "finding cleared")
}

// TestYoungContainer checks that a finding about a container in its first minute is
// reported but does not fire, also if it is about the container and not its process.
func TestYoungContainer(t *testing.T) {
	p := newTape(t, throttled, "")
	oldest := 0.0
	for _, f := range p.frames {
		each(f["columns"], func(column frame) {
			if column["metric"] == catalog.ProcessAge.Key() {
				oldest = max(oldest, slices.Max(plus(column["v"].([]any), 0)))
			}
		})
	}
	p.ages = -oldest // the container starts in the last second of the recording
	pending := p.until(quota, state.Pending, 60)
	if firing := pending + p.until(quota, state.Firing, 200); firing < oldest+warmUp-10 {
		t.Errorf("it fires after %v s, want no sooner than the %v s that it takes to be a minute old", firing, oldest+warmUp)
	}
}

// TestWatchdogIsToldOfSteps checks that systemd's watchdog is notified before an
// evaluation is due.
func TestWatchdogIsToldOfSteps(t *testing.T) {
	p := newTape(t, throttled, "")
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close() //nolint:errcheck // it was only listened to
	t.Setenv("NOTIFY_SOCKET", name)
	p.play(3)
	if p.Report() != nil {
		t.Fatal("a judgement after three seconds")
	}
	if err := socket.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 100)
	n, err := socket.Read(text)
	if err != nil || string(text[:n]) != "WATCHDOG=1" {
		t.Errorf("systemd was told %q, %v, want WATCHDOG=1", text[:n], err)
	}
}

// heard is a sink that records changes.
type heard []publish.Change

func (h *heard) Publish(c publish.Change) { *h = append(*h, c) }

// TestSinksHearEveryChange checks that sinks get every change once, in order, with the
// finding as reported at that time.
func TestSinksHearEveryChange(t *testing.T) {
	p := newTape(t, throttled, "mute: [{id: cpu-throttled}]")
	var all heard
	p.sinks = append(p.sinks, &all)
	p.until(quota, state.Firing, 120)
	p.play(60)
	var states []string
	for _, c := range all {
		if c.Finding.ID != quota {
			continue
		}
		states = append(states, string(c.From)+">"+string(c.To))
		if c.Finding.State != string(c.To) || !c.Finding.Muted || c.At.IsZero() {
			t.Errorf("at %v a change to %s with a finding that is %s and muted: %v", c.At, c.To, c.Finding.State, c.Finding.Muted)
		}
	}
	if want := []string{">pending", "pending>firing"}; !slices.Equal(states, want) {
		t.Errorf("the sink heard %q of %s, want %q", states, quota, want)
	}
}

// valid checks the report against the schema.
func (p *tape) valid() {
	p.t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../../../analyzers/report/schema/report-v1.schema.json")
	if err != nil {
		p.t.Fatal(err)
	}
	var text bytes.Buffer
	if err := p.Report().JSON(&text); err != nil {
		p.t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(&text)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		p.t.Error(err)
	}
}

// logged checks that the log has exactly these messages about a key, in this order.
func (p *tape) logged(key string, want ...string) {
	p.t.Helper()
	var got []string
	for line := range strings.Lines(p.log.String()) {
		if _, after, ok := strings.Cut(line, `msg="`); ok && strings.Contains(line, key) {
			text, _, _ := strings.Cut(after, `"`)
			got = append(got, text)
		}
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("the log tells of %s: %q, want %q", key, got, want)
	}
}

// TestMute checks mutes by id, by service and by both, and that muted findings are
// still found and reported.
func TestMute(t *testing.T) {
	p := newTape(t, throttled, "")
	p.until(quota, state.Firing, 120)
	for _, c := range []struct {
		config string
		want   bool
	}{
		{"", false},
		{"mute: [{id: cpu-throttled}]", true},
		{"mute: [{service: " + container + "}]", true},
		{"mute: [{id: cpu-throttled, service: " + container + "}]", true},
		{"mute: [{id: fd-exhaustion}, {service: api}]", false},
		{"mute: [{id: cpu-throttled, service: api}]", false},
		{"mute: [{id: fd-exhaustion, service: " + container + "}]", false},
	} {
		p.configure(c.config)
		if f := p.finding(quota); f.Muted != c.want || f.State != string(state.Firing) {
			t.Errorf("with %q it is %s and muted: %v, want firing and %v", c.config, f.State, f.Muted, c.want)
		}
	}
}

// TestMuteOfAContainerWithAName checks that a mute applies to a container by its name
// and by its ID, also after a restart, when the names come from saved state.
func TestMuteOfAContainerWithAName(t *testing.T) {
	for service, want := range map[string]bool{"api": true, container: true, "web": false} {
		p := kept(t, throttled, t.TempDir())
		p.name(container, "api")
		p.configure("mute: [{service: " + service + "}]")
		p.until(quota, state.Firing, 120)
		if f := p.finding(quota); f.Muted != want || f.Subject.Container != "api" {
			t.Errorf("with a mute of %s container %s is muted: %v, want %v", service, f.Subject.Container, f.Muted, want)
		}
		p = p.restart(healthy)
		p.configure("mute: [{service: " + service + "}]")
		if f := p.finding(quota); f == nil || f.Muted != want {
			t.Errorf("after a restart, with a mute of %s, it is %+v, want muted: %v", service, f, want)
		}
	}
}

// TestMutedDoesNotCountForTheVerdict checks that the host is healthy if all findings
// are muted.
func TestMutedDoesNotCountForTheVerdict(t *testing.T) {
	p := newTape(t, throttled, "")
	p.until(quota, state.Firing, 120)
	if got := p.Report().Verdict; got != analysis.Critical.String() {
		t.Errorf("verdict = %s, want critical", got)
	}
	p.configure("mute: [{service: " + container + "}]")
	for _, f := range p.Report().Findings {
		if !f.Muted {
			t.Errorf("%s is not muted", f.Key)
		}
	}
	if got := p.Report().Verdict; got != analysis.Healthy.String() {
		t.Errorf("verdict = %s, want healthy: all is muted", got)
	}
}

// silent has params of cpu-throttled that no value reaches.
const silent = "{warn-lag: 10m, critical-lag: 10m, warn-time: 10}"

// TestThresholds checks thresholds of all services, of one service, and of one service
// among others.
func TestThresholds(t *testing.T) {
	all := func(set string) string { return "  - {id: cpu-throttled, set: " + set + "}\n" }
	of := func(service, set string) string {
		return "  - {id: cpu-throttled, service: " + service + ", set: " + set + "}\n"
	}
	for _, c := range []struct {
		name, rules string
		found       bool
	}{
		{"none", "", true},
		{"all services", all(silent), false},
		{"its service", of(container, silent), false},
		{"another service", of("api", silent), true},
		{"another finding", "  - {id: fd-exhaustion, set: {warn-share: 1}}\n", true},
		{"all other services", all(silent) + of(container, "{warn-lag: 50ms, critical-lag: 200ms}"), true},
		{"its service in two rules", of(container, "{warn-lag: 10m, critical-lag: 10m}") + of(container, "{warn-time: 10}"), false},
		{"a service keeps what all have", all("{warn-lag: 10m, critical-lag: 10m}") + of(container, "{warn-time: 10}"), false},
	} {
		p := newTape(t, throttled, "thresholds:\n"+c.rules)
		if p.play(15); (p.finding(quota) != nil) != c.found {
			t.Errorf("with thresholds of %s it is found: %v, want %v", c.name, !c.found, c.found)
		}
	}
}

// TestHeld checks that a finding continues to fire down to 0.8 of its threshold, and is
// cleared below that.
func TestHeld(t *testing.T) {
	p := newTape(t, nearLimit, "")
	entry := p.until(fds, state.Firing, 180)
	p.configure("thresholds: [{id: fd-exhaustion, set: {warn-share: 95%}}]") // 0.8 of it is 76%
	p.play(6 * entry)
	if f := p.finding(fds); f.State != string(state.Firing) {
		t.Errorf("at 86%% of its limit and a threshold of 95%% it is %s, want firing", f.State)
	}
	p.configure("thresholds: [{id: fd-exhaustion, set: {warn-share: 115%}}]") // 0.8 of it is 92%
	p.until(fds, state.Cleared, 3*entry)
}

// TestHeldBeginsNothing checks that a threshold that is lowered for firing findings
// raises no new finding.
func TestHeldBeginsNothing(t *testing.T) {
	p := newTape(t, nearLimit, "thresholds: [{id: fd-exhaustion, set: {warn-share: 95%}}]")
	if p.play(200); p.finding(fds) != nil {
		t.Errorf("at 86%% of its limit and a threshold of 95%% it is %s", p.finding(fds).State)
	}
}

// TestHeldOfOneService checks that the lowered thresholds of a service are based on the
// thresholds of all services and on its own, not on the defaults.
func TestHeldOfOneService(t *testing.T) {
	p := newTape(t, throttled, "")
	entry := p.until(quota, state.Firing, 120)
	p.configure("thresholds:\n  - {id: cpu-throttled, set: " + silent + "}\n" +
		"  - {id: cpu-throttled, service: " + container + ", set: {warn-share-of-lag: 30%}}\n")
	p.until(quota, state.Cleared, 4*entry)
}

// TestReload checks that a valid config is used, that an invalid or missing one is
// refused with the reason, and that the previous config then stays in use.
func TestReload(t *testing.T) {
	p := newTape(t, throttled, "")
	p.until(quota, state.Firing, 120)
	p.configure("mute: [{id: cpu-throttled}]")
	p.holds("a good one", true, "1", "")
	for bad, why := range map[string]string{
		"mute: [{id: cpu-throtled}]\n": "did you mean cpu-throttled?",
		"mutes: []\n":                  `line 1: unknown key \"mutes\"`,
		"thresholds: [{id: fd-exhaustion, set: {warn: 1}}]\n": "unknown param",
		"window: 1s\n": "shorter than every",
	} {
		p.configure(bad)
		p.holds(bad, true, "0", why)
	}
	p.configure("every: 10s\n")
	p.holds("a good one again", false, "1", "")
	p.reload(p.config + ".gone")
	p.holds("no file", false, "0", "no such file")
}

// TestReloadOfTheWindow checks that windows are reset with the new length, and that firing
// findings continue to fire.
func TestReloadOfTheWindow(t *testing.T) {
	p := newTape(t, throttled, "")
	p.until(quota, state.Firing, 120)
	since := p.finding(quota).Since
	p.configure("window: 60s\nevery: 5s\n")
	looks := p.self.looks
	p.play(120)
	if got := p.self.looks - looks; got < 22 || got > 26 {
		t.Errorf("%d looks in two minutes, want one each five seconds", got)
	}
	if got := p.Report().Window.Seconds; got < 55 || got > 65 {
		t.Errorf("a window is of %v s, want 60", got)
	}
	if f := p.finding(quota); f.State != string(state.Firing) || f.Since != since {
		t.Errorf("it is %s since %s, want firing since %s", f.State, f.Since, since)
	}
	p.configure("storage: {path: /elsewhere}\n")
	if !strings.Contains(p.log.String(), "a change of storage takes effect at the next restart") {
		t.Errorf("the log does not say that another storage is not taken:\n%s", p.log.String())
	}
}

// holds checks the state after a reload: whether the finding is muted, the metric about
// the config, and the reason in the log.
func (p *tape) holds(config string, muted bool, taken, why string) {
	p.t.Helper()
	if f := p.finding(quota); f.Muted != muted || f.State != string(state.Firing) {
		p.t.Errorf("after %q it is %s and muted: %v, want firing and %v", config, f.State, f.Muted, muted)
	}
	if got := p.scrape("headroom_config_last_reload_successful "); len(got) != 1 || !strings.HasSuffix(got[0], " "+taken) {
		p.t.Errorf("after %q metrics have %q, want %s", config, got, taken)
	}
	if !strings.Contains(p.log.String(), why) {
		p.t.Errorf("after %q the log does not say %q:\n%s", config, why, p.log.String())
	}
}
