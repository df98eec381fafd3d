// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

type readFunc func(*observe.Snapshot) error

func (f readFunc) Read(s *observe.Snapshot) error { return f(s) }
func (f readFunc) Close() error                   { return nil }

func source1(name string, read readFunc) *sampler.Sampler {
	return &sampler.Sampler{Name: name, Doc: "test", Provides: []*observe.Metric{catalog.CPUCount},
		Open: func(*sampler.Host) (sampler.Reader, error) { return read, nil }}
}

func newHost() *sampler.Host {
	return &sampler.Host{Index: observe.NewIndex(100), Probes: &sampler.Probes{}}
}

// observeOnce returns the gaps, and whether the healthy sampler was read, over a run of
// two snapshots.
func observeOnce(t *testing.T, samplers ...*sampler.Sampler) (gaps []observe.Gap, heard int) {
	t.Helper()
	host := newHost()
	node := host.Index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
	healthy := source1("healthy", func(s *observe.Snapshot) error {
		s.Set(catalog.CPUCount, node, 2)
		return nil
	})
	r := Open(Options{Samplers: append(samplers, healthy), Host: host, Interval: 10 * time.Millisecond})
	err := r.Observe(context.Background(), 5*time.Millisecond, func(s *observe.Snapshot) error {
		gaps = append(gaps, s.Gaps...)
		if v, ok := s.Value(catalog.CPUCount, node); ok && v == 2 {
			heard++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	return gaps, heard
}

func TestSamplersFailAlone(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	type test struct {
		name, want string
		sampler    *sampler.Sampler
	}
	tests := []test{
		{"error", "disk on fire", source1("bad", func(*observe.Snapshot) error { return errors.New("disk on fire") })},
		{"panic", "internal error: boom", source1("bad", func(*observe.Snapshot) error { panic("boom") })},
		{"hang", "a reading hangs", source1("bad", func(*observe.Snapshot) error { <-release; return nil })},
		{"unsupported", "no kernel BTF", &sampler.Sampler{Name: "bad", Open: func(*sampler.Host) (sampler.Reader, error) {
			return nil, sampler.NotSupported("use a kernel with BTF", "no kernel BTF")
		}}},
	}
	for name, failed := range map[string]error{"open": fmt.Errorf("open /proc/stat: %w", syscall.EMFILE), "ring": fmt.Errorf("opening the ring: %w", syscall.EMFILE)} {
		reads := source1("bad", func(*observe.Snapshot) error { return failed })
		opens := &sampler.Sampler{Name: "bad", Open: func(*sampler.Host) (sampler.Reader, error) { return nil, failed }}
		tests = append(tests, test{"limit, " + name, "limit of open files", reads}, test{"limit at the start, " + name, "limit of open files", opens})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gaps, heard := observeOnce(t, tt.sampler)
			if len(gaps) == 0 || gaps[0].Source != "bad" || !strings.Contains(gaps[0].Reason, tt.want) {
				t.Errorf("gaps = %+v, want one of bad with %q", gaps, tt.want)
			}
			if heard < 2 {
				t.Errorf("the healthy sampler was heard %d times, want 2 or more", heard)
			}
		})
	}
}

func TestObserveEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := Open(Options{Host: newHost(), Interval: time.Hour})
	snapshots := 0
	err := r.Observe(ctx, time.Hour, func(*observe.Snapshot) error {
		snapshots++
		cancel()
		return nil
	})
	if err != nil || snapshots != 2 {
		t.Errorf("Observe = %v after %d snapshots, want nil after 2: one at the start and one at the end", err, snapshots)
	}
}

func TestSlowSamplersAreReadLessOften(t *testing.T) {
	reads := 0
	slow := source1("slow", func(*observe.Snapshot) error { reads++; return nil })
	slow.Every = time.Hour
	r := Open(Options{Samplers: []*sampler.Sampler{slow}, Host: newHost(), Interval: time.Millisecond})
	if err := r.Observe(context.Background(), 50*time.Millisecond, func(*observe.Snapshot) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if reads != 2 {
		t.Errorf("read %d times, want 2: at the start and at the end", reads)
	}
}

// TestCloseLeavesWhatHangs checks that a reading and an opening that hang delay the end
// of a run by no more than its last readings may take, and that nothing in use is
// closed.
func TestCloseLeavesWhatHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hang := func(*observe.Snapshot) error { <-release; return nil }
	probe := &closes{}
	host := newHost()
	host.Probes.Openers = map[string]func() (io.Closer, error){"tick": func() (io.Closer, error) { return probe, nil }}
	if _, err := host.Probes.Open("tick"); err != nil {
		t.Fatal(err)
	}
	r := Open(Options{Samplers: []*sampler.Sampler{source1("one", hang), source1("two", hang)}, Host: host, Interval: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	snapshots := 0
	if err := r.Observe(ctx, time.Hour, func(*observe.Snapshot) error { snapshots++; return nil }); err != nil || snapshots != 2 {
		t.Errorf("Observe = %v after %d snapshots, want 2", err, snapshots)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close = %v: what was observed would be lost", err)
	}
	if took := time.Since(began); took > lastDeadline+closeDeadline {
		t.Errorf("the end took %v", took)
	}
	if probe.closed {
		t.Error("the probe was closed while a sampler may read it")
	}
}

type closes struct{ closed bool }

func (c *closes) Close() error { c.closed = true; return nil }

// TestSlowOpening checks that a sampler that is still being opened is a Gap, and is
// read as soon as it is open.
func TestSlowOpening(t *testing.T) {
	release, opened := make(chan struct{}), make(chan struct{})
	slow := source1("slow", func(*observe.Snapshot) error { return nil })
	open := slow.Open
	slow.Open = func(h *sampler.Host) (sampler.Reader, error) { <-release; defer close(opened); return open(h) }
	src := openSource(slow, newHost(), time.Now())
	whole := observe.NewSnapshot(observe.NewIndex(10))
	now := time.Now()
	src.into(whole, now, now, false)
	if len(whole.Gaps) != 1 || !strings.Contains(whole.Gaps[0].Reason, "opening the source takes too long") {
		t.Errorf("gaps = %+v", whole.Gaps)
	}
	close(release)
	<-opened
	for end := now.Add(20 * time.Second); src.stats.Reads == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is open and not read")
		}
		src.into(whole, now, time.Now().Add(readDeadline), false)
	}
}

// TestFaultyReadings checks that a reading that reports that the host does not offer
// the source is not a fault, and that any other error is a fault until a reading
// succeeds.
func TestFaultyReadings(t *testing.T) {
	results := []error{nil, errors.New("input/output error"), sampler.NotSupported("", "no such file"), nil}
	next := 0
	changing := source1("changing", func(*observe.Snapshot) error { next++; return results[next-1] })
	absent := &sampler.Sampler{Name: "absent", Open: func(*sampler.Host) (sampler.Reader, error) { return nil, sampler.NotSupported("", "no eBPF") }}
	r := Open(Options{Samplers: []*sampler.Sampler{changing, absent}, Host: newHost(), Interval: time.Millisecond})
	for i, want := range []bool{false, true, false, false} {
		r.gather(t.Context(), true)
		stats := r.Stats()
		if stats[0].Faulty() != want {
			t.Errorf("after %v: faulty = %v, want %v", results[i], stats[0].Faulty(), want)
		}
		if stats[1].Faulty() || !stats[1].Absent {
			t.Errorf("what the host does not offer is %+v, want absent", stats[1])
		}
	}
	_ = r.Close()
}
