// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

var start = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// take returns the snapshot of second n of a small host.
func take(x *observe.Index, n int) *observe.Snapshot {
	s := observe.NewSnapshot(x)
	s.Time = start.Add(time.Duration(n) * time.Second)
	s.Monotonic, s.BootTime = time.Duration(n)*time.Second, time.Duration(n)*time.Second
	node := x.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	victim := x.ID(observe.Entity{Kind: observe.Process, ID: "42:1"})
	culprit := x.ID(observe.Entity{Kind: observe.Process, ID: "43:1"})
	loop := x.ID(observe.Entity{Kind: observe.Loop, ID: "42:1/42"})
	if n == 0 {
		x.Describe(loop, observe.Info{Parent: x.Entity(victim), Attrs: map[string]string{catalog.AttrTID: "42"}})
	}
	s.Set(catalog.CPUCount, node, 2)
	s.Set(catalog.ProcessCPU, victim, 0.1*float64(n))
	s.SetPair(catalog.WaitedFor, victim, culprit, 0.3*float64(n))
	h := s.Hist(catalog.LoopLag, loop)
	h.Count[20], h.Sum[20] = float64(n), 0.07*float64(n)
	s.Stalls = append(s.Stalls, observe.Stall{Loop: loop, Start: s.Time, Duration: 0.2, Parts: observe.Parts{CPU: 0.2}, Syscall: "futex"})
	s.Gap("gc", "not observed", "")
	if n == 2 {
		s.End(culprit, "exited")
	}
	return s
}

func recording(t *testing.T, snapshots int) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{Tool: "test", Host: observe.Host{Name: "h", CPUs: 2}, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	x := observe.NewIndex(100)
	for n := range snapshots {
		if err := w.Write(take(x, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestReplayIsExact compares a window of a recording with the live window.
func TestReplayIsExact(t *testing.T) {
	x := observe.NewIndex(100)
	live, d := observe.NewWindow(x), observe.NewDiffer(x)
	for n := range 3 {
		live.Add(d.Step(take(x, n)))
	}
	r, err := NewReader(bytes.NewReader(recording(t, 3)))
	if err != nil {
		t.Fatal(err)
	}
	replayed, d := observe.NewWindow(r.Index()), observe.NewDiffer(r.Index())
	for {
		s, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		replayed.Add(d.Step(s))
	}
	if diff := cmp.Diff(describe(live), describe(replayed)); diff != "" {
		t.Errorf("the replayed window differs from the live one (-live +replayed):\n%s", diff)
	}
}

// describe returns everything that take writes, as a window has it.
func describe(w *observe.Window) map[string]any {
	victim, _ := w.Index.Find(observe.Entity{Kind: observe.Process, ID: "42:1"})
	loop, _ := w.Index.Find(observe.Entity{Kind: observe.Loop, ID: "42:1/42"})
	cpu, _ := w.Increase(catalog.ProcessCPU, victim)
	lag, _ := w.Hist(catalog.LoopLag, loop)
	return map[string]any{
		"seconds": w.Seconds, "start": w.Start, "end": w.End, "cpu": cpu, "lag": lag, "stalls": w.Stalls, "gaps": w.Gaps,
		"ended": w.Ended, "peers": w.Peers(catalog.WaitedFor, victim), "series": w.Series(catalog.ProcessCPU, victim),
		"tid": w.Index.Attr(loop, catalog.AttrTID), "within": w.Index.Within(loop, victim),
	}
}

func TestCutOff(t *testing.T) {
	whole := recording(t, 200)
	r, err := NewReader(bytes.NewReader(whole[:len(whole)-10]))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for ; ; read++ {
		if _, err = r.Next(); err != nil {
			break
		}
	}
	if read < 198 {
		t.Errorf("%d of 200 snapshots were read from a recording without its last bytes, want all but the last", read)
	}
	if !errors.Is(err, ErrTruncated) {
		t.Errorf("reading a recording without its end = %v, want ErrTruncated", err)
	}
}

func TestForeign(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "text": "hello\n", "other JSON": "{}\n", "other schema": `{"schema":"headroom/recording/v9"}`, "endless header": `{"schema":"` + strings.Repeat("a", maxHeader),
		"binary": "\x7fELF\x02\x01", "zstd of nothing": "\x28\xb5\x2f\xfd",
	} {
		if _, err := NewReader(strings.NewReader(content)); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: error = %v, want ErrForeign", name, err)
		}
	}
}

func TestUnknownMetricIsPassedOver(t *testing.T) {
	file := header + `{"time":"2026-11-23T03:00:00Z","entities":[{"n":0,"kind":"node","id":"node"}],"columns":[{"metric":"of.the.future","n":[0],"v":[1]}]}
`
	r, err := NewReader(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Errorf("a recording with an unknown metric: %v", err)
	}
}

// TestEarlyReading checks that the time at which a sampler read is kept, to a hundredth
// of a second.
func TestEarlyReading(t *testing.T) {
	x := observe.NewIndex(10)
	own, whole := observe.NewSnapshot(x), observe.NewSnapshot(x)
	own.Set(catalog.CPUCount, x.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID}), 2)
	own.Monotonic, whole.Monotonic = 3*time.Second, 4516*time.Millisecond
	whole.Include(own)
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{Host: observe.Host{CPUs: 2}})
	if err == nil {
		err = errors.Join(w.Write(whole), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Next()
	if err != nil || s.Before(catalog.CPUCount) != whole.Before(catalog.CPUCount) || s.Before(catalog.CPUCount) != 1510*time.Millisecond {
		t.Errorf("it was read %v before, %v, want %v", s.Before(catalog.CPUCount), err, whole.Before(catalog.CPUCount))
	}
}
