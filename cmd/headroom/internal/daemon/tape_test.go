// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/identity"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
	"github.com/headroom-project/headroom/cmd/headroom/internal/rules"
)

// A tape is a watcher that replays a recorded case of an analyzer repeatedly, as long
// as a test needs, on a clock that continues. In each round the counters start again,
// as with a restarted source, which takes one step.
type tape struct {
	*watcher
	t      *testing.T
	config string // the config's file
	log    bytes.Buffer

	frames []frame
	next   int           // index in frames
	clock  time.Duration // of the next frame
	began  time.Duration // when this recording was inserted
	round  time.Duration // when this round of it began
	ages   float64       // seconds that processes are older than recorded
	lines  bytes.Buffer  // input of reader
	reader *archive.Reader
}

// A frame is one line of a recording.
type frame map[string]any

// pause is a period without snapshots, long enough to count as a pause.
const pause = time.Duration(standstill+1) * time.Second

// newTape inserts a recording; config may be "" for the defaults.
func newTape(t *testing.T, recording, config string) *tape {
	t.Helper()
	t.Setenv("GOMEMLIMIT", "off") // the agent's limit does not apply to this test
	p := &tape{t: t, config: filepath.Join(t.TempDir(), "headroom.yml")}
	p.insert(recording)
	r, err := archive.NewReader(&p.lines)
	if err != nil {
		t.Fatal(err)
	}
	p.reader = r
	p.write(config)
	rules, err := rules.Read(p.config)
	if err != nil {
		t.Fatal(err)
	}
	// With an empty /proc, the processes of the recording do not exist on this host.
	nowhere := t.TempDir()
	host := &sampler.Host{Index: r.Index(), Identity: identity.New(nowhere, nowhere, r.Index())}
	p.watcher = newWatcher(r.Header().Host, host, rules, slog.New(slog.NewTextHandler(&p.log, nil)), 0)
	p.stats = func() []run.Stats { return nil }
	return p
}

// insert replaces the recording, for example by analyzer/case. The recording may be
// from another host, so that it starts after a pause, and no window includes both.
func (p *tape) insert(recording string) {
	p.t.Helper()
	analyzer, name, _ := strings.Cut(recording, "/")
	content, err := txtar.ParseFile(filepath.Join("../../../../analyzers", analyzer, "testdata", name+".txtar"))
	if err != nil {
		p.t.Fatal(err)
	}
	header, frames, _ := bytes.Cut(content.Files[0].Data, []byte("\n"))
	if p.reader == nil {
		p.lines.Write(header)
	} else {
		p.clock += pause
	}
	p.frames, p.next = nil, 0
	p.began, p.round = p.clock, p.clock
	d := json.NewDecoder(bytes.NewReader(frames))
	for d.UseNumber(); d.More(); {
		var f frame
		if err := d.Decode(&f); err != nil {
			p.t.Fatal(err)
		}
		p.frames = append(p.frames, f)
	}
}

// name sets the name of a container in the recording, as its runtime can.
func (p *tape) name(id, name string) {
	p.t.Helper()
	for _, f := range p.frames {
		entities, _ := f["entities"].([]any) // absent in most frames
		for _, e := range entities {
			if attrs, ok := e.(map[string]any)["attrs"].(map[string]any); ok && attrs[catalog.AttrContainerID] == id {
				attrs[catalog.AttrContainerName] = name
				return
			}
		}
	}
	p.t.Fatalf("container %s is not in the recording", id)
}

// step passes the next frame to the watcher.
func (p *tape) step() {
	p.t.Helper()
	if p.next == len(p.frames) {
		p.next, p.round = 0, p.clock
	}
	p.clock = p.round + p.frames[p.next].monotonic() - p.frames[0].monotonic()
	line, err := json.Marshal(p.frames[p.next].at(p.clock, p.round-p.began+time.Duration(p.ages*float64(time.Second))))
	if err != nil {
		p.t.Fatal(err)
	}
	p.lines.Write(line)
	s, err := p.reader.Next()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.see(s); err != nil {
		p.t.Fatal(err)
	}
	p.next++
	p.clock += time.Second
}

func (f frame) monotonic() time.Duration { return time.Duration(number(f["monotonic_ns"])) }

func number(v any) int64 {
	n, _ := v.(json.Number).Int64() // a recording that was read before
	return n
}

// at returns the frame at another time: stalls are moved, and processes are older.
func (f frame) at(clock, older time.Duration) frame {
	moved := frame{}
	for k, v := range f {
		moved[k] = v
	}
	now := beginning.Add(clock)
	moved["time"], moved["monotonic_ns"], moved["boot_ns"] = now, int64(clock), int64(clock)
	shift := now.Sub(stamp(f["time"]))
	moved["stalls"] = each(f["stalls"], func(stall frame) { stall["start"] = stamp(stall["start"]).Add(shift) })
	moved["columns"] = each(f["columns"], func(column frame) {
		if column["metric"] == catalog.ProcessAge.Key() {
			column["v"] = plus(column["v"].([]any), older.Seconds())
		}
	})
	return moved
}

var beginning = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

func stamp(v any) time.Time {
	at, _ := time.Parse(time.RFC3339Nano, v.(string)) // a recording that was read before
	return at
}

// each changes copies of the objects in a list and returns the copies.
func each(list any, change func(frame)) []frame {
	var out []frame
	all, _ := list.([]any) // absent in most frames
	for _, v := range all {
		one := frame{}
		for k, v := range v.(map[string]any) {
			one[k] = v
		}
		change(one)
		out = append(out, one)
	}
	return out
}

func plus(values []any, more float64) []float64 {
	var out []float64
	for _, v := range values {
		x, _ := v.(json.Number).Float64() // as above
		out = append(out, x+more)
	}
	return out
}

// play replays the given number of seconds.
func (p *tape) play(seconds float64) {
	p.t.Helper()
	for end := p.clock + time.Duration(seconds*float64(time.Second)); p.clock < end; {
		p.step()
	}
}

// until plays until the first finding of an id is in a state, and returns how many
// seconds that took.
func (p *tape) until(id string, want state.State, most float64) float64 {
	p.t.Helper()
	began := p.clock
	for p.clock-began <= time.Duration(most*float64(time.Second)) {
		if f := p.finding(id); f != nil && f.State == string(want) {
			return (p.clock - began).Seconds()
		}
		p.step()
	}
	p.t.Fatalf("after %v s %s is not %s: %+v\n%s", most, id, want, p.finding(id), p.log.String())
	return 0
}

// finding returns the first finding of an id in the newest report, or nil.
func (p *tape) finding(id string) *report.Finding {
	if r := p.Report(); r != nil {
		for _, f := range r.Findings {
			if f.ID == id {
				return f
			}
		}
	}
	return nil
}

// write replaces the config file; the watcher does not read it yet.
func (p *tape) write(config string) {
	p.t.Helper()
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// configure makes the watcher read another config, and plays until it was used in an
// evaluation.
func (p *tape) configure(config string) {
	p.t.Helper()
	p.write(config)
	p.reload(p.config)
	p.play(p.rules.Config.Every.Seconds() + 1)
}

// scrape returns the lines of /metrics with a prefix.
func (p *tape) scrape(prefix string) []string {
	p.t.Helper()
	w := httptest.NewRecorder()
	p.metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
