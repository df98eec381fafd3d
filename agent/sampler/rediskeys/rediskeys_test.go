// SPDX-License-Identifier: Apache-2.0

package rediskeys

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/missratio"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/rediskeys"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// servers is a probe that returns given values.
type servers struct {
	watched map[int]rediskeys.Server
	pending []rediskeys.Access
	below   map[int]uint64
	max     int
}

func (p *servers) Watch(tgid int) (bool, error) {
	if len(p.watched) >= p.max {
		return false, nil
	}
	p.watched[tgid] = rediskeys.Server{}
	return true, nil
}

func (p *servers) Unwatch(tgid int) error {
	delete(p.watched, tgid)
	return nil
}

func (p *servers) Sample(tgid int, below uint64) error {
	p.below[tgid] = below
	return nil
}

func (p *servers) Server(tgid int) (rediskeys.Server, error) { return p.watched[tgid], nil }

func (p *servers) Read(yield func(rediskeys.Access)) error {
	for _, a := range p.pending {
		yield(a)
	}
	p.pending = nil
	return nil
}

// identity knows which processes are a Redis.
type identity struct {
	sampler.Identity
	index   *observe.Index
	runtime map[int]string
}

func (i identity) Current(pid int) (observe.ID, bool) {
	runtime, ok := i.runtime[pid]
	if !ok {
		return observe.None, false
	}
	id := i.index.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(pid)})
	i.index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrRuntime: runtime}})
	return id, true
}

// A bench is a reader whose clock is moved by hand.
type bench struct {
	t        *testing.T
	reader   *reader
	identity identity
	snapshot *observe.Snapshot
	now      time.Time
	proc     string
}

func newBench(t *testing.T, p probe, proc string) *bench {
	b := &bench{t: t, now: time.Unix(1e9, 0), proc: proc}
	x := observe.NewIndex(100)
	b.identity = identity{index: x, runtime: make(map[int]string)}
	b.reader = newReader(&sampler.Host{Index: x, Identity: b.identity, Proc: proc}, p, func() time.Time { return b.now })
	b.snapshot = observe.NewSnapshot(x)
	return b
}

func (b *bench) start(pid int, runtime string) {
	b.t.Helper()
	b.identity.runtime[pid] = runtime
	outside.Must(b.t, os.MkdirAll(filepath.Join(b.proc, strconv.Itoa(pid)), 0o700))
}

func (b *bench) read(after time.Duration) {
	b.t.Helper()
	b.now = b.now.Add(after)
	b.snapshot.Reset()
	if err := b.reader.Read(b.snapshot); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) value(m *observe.Metric, pid int) (float64, bool) {
	id, ok := b.identity.index.Find(observe.Entity{Kind: observe.Cache, ID: strconv.Itoa(pid)})
	if !ok {
		return 0, false
	}
	return b.snapshot.Value(m, id)
}

// TestWatchesRedis checks which processes are watched.
func TestWatchesRedis(t *testing.T) {
	p := &servers{watched: make(map[int]rediskeys.Server), below: make(map[int]uint64), max: 2}
	b := newBench(t, p, t.TempDir())
	b.start(41, "node")
	b.start(42, "redis")
	b.start(43, "redis")
	b.read(0)
	if _, ok := p.watched[41]; ok || len(p.watched) != 2 || len(b.snapshot.Gaps) != 0 {
		t.Errorf("watched %v, want 42 and 43; gaps %v", p.watched, b.snapshot.Gaps)
	}
	b.start(44, "redis")
	b.read(lookEvery)
	if len(p.watched) != 2 || len(b.snapshot.Gaps) != 1 {
		t.Errorf("watched %v, want two; gaps %v", p.watched, b.snapshot.Gaps)
	}
	outside.Must(t, os.Remove(filepath.Join(b.proc, "42")))
	delete(b.identity.runtime, 42)
	b.read(lookEvery)
	if _, ok := p.watched[42]; ok {
		t.Error("a process that has ended is still watched")
	}
}

// access makes the probe see n reads of keys in turn, and of lost ones.
func (p *servers) access(pid int, n, keys, lost uint64) {
	for i := range n {
		p.pending = append(p.pending, rediskeys.Access{Tgid: pid, Hash: i % keys << 40, Kind: rediskeys.Read})
	}
	s := p.watched[pid]
	s.Reads += n + lost
	s.Lost += lost
	p.watched[pid] = s
}

// TestLossBeginsAgain checks that nothing is reported of an order with holes, and that
// the sample becomes smaller.
func TestLossBeginsAgain(t *testing.T) {
	p := &servers{watched: make(map[int]rediskeys.Server), below: make(map[int]uint64), max: 1}
	b := newBench(t, p, t.TempDir())
	b.start(42, "redis")
	b.read(0)
	p.access(42, enough-1, 100, 0)
	b.read(time.Second)
	if _, ok := b.value(catalog.RedisKeys90, 42); ok {
		t.Error("a size after too few reads")
	}
	p.access(42, 1000, 100, 0)
	b.read(time.Second)
	if size, _ := b.value(catalog.RedisKeys90, 42); size < 80 || size > 110 {
		t.Errorf("size = %v, want 100 keys", size)
	}
	p.access(42, 40_000, 100, 40_000)
	b.read(time.Second)
	if size, ok := b.value(catalog.RedisKeys90, 42); ok {
		t.Errorf("size = %v after a loss, want none", size)
	}
	if weight := float64(1<<63) * 2 / float64(p.below[42]); weight < 3.9 || weight > 4.1 {
		t.Errorf("one key in %v is in the sample, want one in 4", weight)
	}
	if reads, _ := b.value(catalog.RedisReads, 42); reads != enough-1+1000+80_000 {
		t.Errorf("reads = %v", reads)
	}
}

// TestCurve checks that the distributions have as many reads as were followed.
func TestCurve(t *testing.T) {
	if len(catalog.RedisBounds) != len(missratio.Bounds()) || catalog.RedisBounds[7] != missratio.Bounds()[7] {
		t.Fatal("the buckets of the metrics are not those of the curve")
	}
	p := &servers{watched: make(map[int]rediskeys.Server), below: make(map[int]uint64), max: 1}
	b := newBench(t, p, t.TempDir())
	b.start(42, "redis")
	b.read(0)
	p.access(42, 1000, 100, 0)
	b.read(time.Second)
	id := catalog.KeysOf(b.identity.index, observe.ID(0))
	again, _ := b.snapshot.Hist(catalog.RedisReuse, id).Total()
	first, _ := b.snapshot.Hist(catalog.RedisFirst, id).Total()
	if reads := must(t, b, catalog.RedisCurve, 42); again != 900 || first != 100 || reads != 1000 {
		t.Errorf("%v reads of known keys and %v of new ones, of %v; want 900 and 100 of 1000", again, first, reads)
	}
}

// TestUncounted checks a server whose keys are hidden.
func TestUncounted(t *testing.T) {
	p := &servers{watched: make(map[int]rediskeys.Server), below: make(map[int]uint64), max: 1}
	b := newBench(t, p, t.TempDir())
	b.start(42, "redis")
	b.read(0)
	for _, c := range []struct {
		uncounted uint64
		gaps      int
	}{{0, 0}, {10, 0}, {100, 1}} {
		p.access(42, 1000, 10, 0)
		s := p.watched[42]
		s.Uncounted += c.uncounted
		p.watched[42] = s
		b.read(time.Second)
		if len(b.snapshot.Gaps) != c.gaps {
			t.Errorf("%d of 1000 uncounted: gaps %v, want %d", c.uncounted, b.snapshot.Gaps, c.gaps)
		}
	}
}

// TestRedis compares what is reported of a real server with what its client asked for.
func TestRedis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip(err)
	}
	p, err := rediskeys.Open(nil)
	if err != nil && os.Getenv("HEADROOM_REQUIRE_PROBE") == "" {
		t.Skip(err)
	}
	outside.Must(t, err)
	defer p.Close()
	pid, c := startRedis(t)
	b := newBench(t, p, "/proc")
	b.identity.runtime[pid] = "redis"
	b.read(0)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 10, 5000)
	const turns, each = 15, 1000
	reads, seen := 0.0, make(map[uint64]bool)
	first := 0.0
	for range turns {
		var commands strings.Builder
		for range each {
			key := zipf.Uint64()
			if reads++; !seen[key] {
				seen[key], first = true, first+1
			}
			fmt.Fprintf(&commands, "*2\r\n$3\r\nGET\r\n$%d\r\nuser:%d\r\n", 5+len(strconv.FormatUint(key, 10)), key)
		}
		c.ask(commands.String(), each)
		b.read(time.Second)
	}
	// Redis reads 16 KB at a time: what is cut at the end of a reading is not counted.
	if got, _ := b.value(catalog.RedisReads, pid); got < 0.98*reads || got > reads {
		t.Errorf("reads = %v, want %v", got, reads)
	}
	if got, want := must(t, b, catalog.RedisReachable, pid), 1-first/reads; got < want-0.01 || got > want+0.01 {
		t.Errorf("reachable = %v, want %v", got, want)
	}
	small, large := must(t, b, catalog.RedisKeys80, pid), must(t, b, catalog.RedisKeys95, pid)
	if small <= 0 || large <= small || large > float64(len(seen)) {
		t.Errorf("%v keys for 80 %% and %v for 95 %%, of %d", small, large, len(seen))
	}
}

func must(t *testing.T, b *bench, m *observe.Metric, pid int) float64 {
	t.Helper()
	v, ok := b.value(m, pid)
	if !ok {
		t.Errorf("%s is not reported", m.Key())
	}
	return v
}

// A client is a connection to a real server.
type client struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

// ask sends commands, and waits for as many answers of one line.
func (c client) ask(commands string, answers int) {
	c.t.Helper()
	go func() { _, _ = c.c.Write([]byte(commands)) }() // A failure shows as a missing answer.
	for range answers {
		if _, err := c.r.ReadString('\n'); err != nil {
			c.t.Fatal(err)
		}
	}
}

func startRedis(t *testing.T) (pid int, c client) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	outside.Eventually(t, 20*time.Second, "redis-server listens", func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			c = client{t, conn, bufio.NewReader(conn)}
		}
		return err == nil
	})
	outside.Must(t, c.c.SetDeadline(time.Now().Add(time.Minute)))
	return cmd.Process.Pid, c
}
