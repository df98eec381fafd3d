// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/procread"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

var address = broker.Address("127.0.0.1:5672")

func written(q *queues, all ...broker.Queue) *observe.Snapshot {
	s := observe.NewSnapshot(q.index)
	q.write(s, &broker.Reading{Queues: all})
	return s
}

func valueOf(t *testing.T, s *observe.Snapshot, m *observe.Metric, queue string) float64 {
	t.Helper()
	id, ok := s.Index.Find(observe.Entity{Kind: observe.Queue, ID: queue + " of rabbitmq 127.0.0.1:5672"})
	if !ok {
		t.Fatalf("no queue %s", queue)
	}
	v, ok := s.Value(m, id)
	if !ok {
		t.Fatalf("queue %s has no %s", queue, m.Key())
	}
	return v
}

// TestCountersOutliveChannels checks that the total of a queue grows by what its channels
// count, and does not fall when one ends.
func TestCountersOutliveChannels(t *testing.T) {
	q := newQueues(observe.NewIndex(1000), "rabbitmq", address)
	acked := func(parts map[broker.Part]broker.Counts) float64 {
		return valueOf(t, written(q, broker.Queue{Name: "a", Counts: parts}), catalog.QueueAcknowledged, "a")
	}
	for i, step := range []struct {
		parts map[broker.Part]broker.Counts
		want  float64
	}{
		{map[broker.Part]broker.Counts{"1": {Acked: 100}}, 0}, // of unknown age
		{map[broker.Part]broker.Counts{"1": {Acked: 110}, "2": {Acked: 5}}, 15},
		{map[broker.Part]broker.Counts{"2": {Acked: 6}}, 16},
		{nil, 16},
		{map[broker.Part]broker.Counts{"1": {Acked: 3}}, 19},
	} {
		if got := acked(step.parts); got != step.want {
			t.Errorf("step %d: acknowledged = %v, want %v", i, got, step.want)
		}
	}
}

// TestManyQueues checks that the deepest queues are shown, that the others are added up,
// and that queues that are deleted end.
func TestManyQueues(t *testing.T) {
	q := newQueues(observe.NewIndex(1000), "rabbitmq", address)
	var all []broker.Queue
	for i := range 10_000 {
		all = append(all, broker.Queue{Name: fmt.Sprint("q", i), Ready: float64(i % 1000), Consumers: 1})
	}
	all = append(all, broker.Queue{Name: "amq.gen-1", Temporary: true, Ready: 5000})
	s := written(q, all...)
	shown, sum := 0, 0.0
	for _, v := range s.Values(catalog.QueueReady) {
		shown++
		sum += v
	}
	if shown != maxShown+1 || sum != 10*999*1000/2+5000 {
		t.Errorf("%d queues with %v messages are shown, want %d with all", shown, sum, maxShown+1)
	}
	if got := valueOf(t, s, catalog.QueueReady, "q9999"); got != 999 {
		t.Errorf("the deepest queue = %v, want 999", got)
	}
	if s := written(q, broker.Queue{Name: "q9999"}); len(s.Ended) != maxShown {
		t.Errorf("%d queues ended, want %d", len(s.Ended), maxShown)
	}
}

// A script is a broker that answers from a list.
type script struct {
	read func(ctx context.Context) (broker.Reading, error)
}

func (s *script) Address() broker.Address                          { return address }
func (s *script) Read(ctx context.Context) (broker.Reading, error) { return s.read(ctx) }
func (s *script) Close()                                           {}

func scripted(read func(ctx context.Context) (broker.Reading, error)) *reader {
	r := &reader{host: &sampler.Host{Index: observe.NewIndex(100)}, brokers: make(map[observe.ID]*watched), find: time.Now().Add(time.Hour)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.brokers[0] = &watched{source: &script{read}, queues: newQueues(r.host.Index, "rabbitmq", address), look: time.Now().Add(time.Hour)}
	return r
}

// TestHangingBroker checks that a broker that does not answer delays no reading, is not
// asked twice, and is a gap until it answers again.
func TestHangingBroker(t *testing.T) {
	questions, answer := make(chan struct{}, 10), make(chan error)
	r := scripted(func(ctx context.Context) (broker.Reading, error) {
		questions <- struct{}{}
		return broker.Reading{Queues: []broker.Queue{{Name: "a", Ready: 3}}}, <-answer
	})
	s := observe.NewSnapshot(r.host.Index)
	for range 2 {
		if err := r.Read(s); err != nil || len(s.Gaps) > 0 || len(s.Metrics()) > 0 {
			t.Fatalf("reading of a broker that hangs = %v, gaps %v", err, s.Gaps)
		}
	}
	if len(questions) != 1 {
		t.Errorf("%d questions, want 1", len(questions))
	}
	answer <- sampler.NotSupported("wait", "it hangs")
	r.brokers[0].reads.Next = time.Now().Add(time.Hour)
	readUntil(t, r, func(s *observe.Snapshot) bool {
		return len(s.Gaps) == 1 && s.Gaps[0] == observe.Gap{Source: name, Reason: "it hangs", Cure: "wait"}
	})
	if err := r.Read(s); err != nil || len(s.Gaps) != 1 {
		t.Errorf("gaps = %v: it remains until the broker answers", s.Gaps)
	}
	r.brokers[0].reads.Next, r.brokers[0].took = time.Time{}, 0
	go func() { answer <- nil }()
	readUntil(t, r, func(s *observe.Snapshot) bool { return len(s.Gaps) == 0 && len(s.Metrics()) > 0 })
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func readUntil(t *testing.T, r *reader, ok func(*observe.Snapshot) bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		s := observe.NewSnapshot(r.host.Index)
		if err := r.Read(s); err != nil {
			t.Fatal(err)
		}
		if ok(s) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("gaps = %v, metrics = %v", s.Gaps, s.Metrics())
		}
		time.Sleep(time.Millisecond)
	}
}

// TestSlowBrokerIsAskedLess checks the pause after an answer, and its gap.
func TestSlowBrokerIsAskedLess(t *testing.T) {
	w := &watched{source: &script{}, queues: newQueues(observe.NewIndex(10), "rabbitmq", address)}
	var asking sync.WaitGroup
	w.reads.Ask(t.Context(), &asking, time.Minute, func(context.Context) (answer, error) { return answer{took: time.Second}, nil })
	asking.Wait()
	s := observe.NewSnapshot(w.queues.index)
	w.take(s, nil, rest)
	w.gaps(s, rest)
	if pause := w.reads.Next.Sub(w.reads.Asked); pause != rest*time.Second {
		t.Errorf("pause = %v, want %v", pause, rest*time.Second)
	}
	if len(s.Gaps) != 1 || !strings.Contains(s.Gaps[0].Reason, "takes long") {
		t.Errorf("gaps = %v", s.Gaps)
	}
}

// TestPanic checks that a bug in the reading of a broker is a gap.
func TestPanic(t *testing.T) {
	r := scripted(func(context.Context) (broker.Reading, error) { panic("bug") })
	readUntil(t, r, func(s *observe.Snapshot) bool { return len(s.Gaps) == 1 && s.Gaps[0].Reason == "internal error: bug" })
}

// TestOwnConnections checks that both ends of a connection of this process are found,
// with its bytes and with the process.
func TestOwnConnections(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	client, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // a test
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close() //nolint:errcheck // a test
	if _, err := served.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	x := observe.NewIndex(100)
	other := exec.Command("sleep", "60") // stands for the broker: its own connections are not searched
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }() //nolint:errcheck // a test
	c := newClients(&sampler.Host{Proc: "/proc", Index: x, Identity: anyone{x}}, other.Process.Pid, port)
	all, err := c.look(time.Now())
	if err != nil || len(all) != 1 {
		t.Fatalf("clients = %+v, %v, want one", all, err)
	}
	got := all[0]
	if self, _ := x.Find(observe.Entity{Kind: observe.Process, ID: fmt.Sprint(os.Getpid())}); got.process.id != self || !got.now.counted || got.now.received != 1000 {
		t.Errorf("client = %+v, want this process, which received 1000 bytes", got)
	}
	if again, err := c.look(time.Now()); again != nil || err != nil {
		t.Errorf("a second look at once = %v, %v, want none", again, err)
	}
	seen := 0
	if err := connectionsOf("/proc", os.Getpid(), func(c connection) {
		if c.local.Port() == port || c.remote.Port() == port {
			seen++
		}
	}); err != nil || seen != 2 {
		t.Errorf("%d ends in /proc, %v, want 2", seen, err)
	}
}

// anyone knows every process.
type anyone struct{ *observe.Index }

func (a anyone) Current(pid int) (observe.ID, bool) {
	return a.ID(observe.Entity{Kind: observe.Process, ID: fmt.Sprint(pid)}), true
}

func (a anyone) Process(pid int, _ uint64) (observe.ID, bool) { return a.Current(pid) }
func (anyone) Thread(p observe.ID, _ int) observe.ID          { return p }
func (anyone) Renamed(observe.ID, int, string)                {}
func (anyone) Cgroup(string) observe.ID                       { return observe.None }
func (anyone) Ended(observe.ID)                               {}
func (anyone) Containers() iter.Seq2[observe.ID, string]      { return nil }
func (anyone) Ask(sampler.Orchestrator)                       {}
func (anyone) Rename()                                        {}

// TestEmploy checks which processes are taken for the workers of a queue.
func TestEmploy(t *testing.T) {
	x := observe.NewIndex(100)
	process := func(pid, command string) observe.ID {
		id := x.ID(observe.Entity{Kind: observe.Process, ID: pid})
		x.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrCommand: command}})
		return id
	}
	mail1, mail2, pdf, api := process("1", "mail"), process("2", "mail"), process("3", "pdf"), process("4", "api")
	consumes := func(id observe.ID, acks int) client {
		return client{process: owner{id: id}, sent: uint64(acks * ackBytes), now: connection{counted: true, sent: 500, received: 9000}}
	}
	publishes := client{process: owner{id: api}, sent: 9000, now: connection{counted: true, sent: 9000, received: 900}}
	uncounted := func(id observe.ID) client { return client{process: owner{id: id}} }
	mail, pdfs := map[observe.ID]int{mail1: 1, mail2: 1}, map[observe.ID]int{pdf: 1}
	for name, c := range map[string]struct {
		acked   map[string]float64 // by queue
		clients []client
		want    map[string]map[observe.ID]int
	}{
		"one queue":            {map[string]float64{"mail": 0}, []client{consumes(mail1, 0), consumes(mail2, 0), publishes}, map[string]map[observe.ID]int{"mail": mail}},
		"two queues":           {map[string]float64{"mail": 60, "pdf": 200}, []client{consumes(mail1, 32), consumes(mail2, 30), consumes(pdf, 205), publishes}, map[string]map[observe.ID]int{"mail": mail, "pdf": pdfs}},
		"two of the same rate": {map[string]float64{"mail": 60, "pdf": 60}, []client{consumes(mail1, 60), consumes(pdf, 61)}, nil},
		"two idle queues":      {map[string]float64{"mail": 1, "pdf": 0}, []client{consumes(mail1, 1), consumes(pdf, 0)}, nil},
		"acknowledged by many": {map[string]float64{"mail": 60, "pdf": 200}, []client{consumes(mail1, 6), consumes(pdf, 20)}, nil},
		"another host":         {map[string]float64{"mail": 60}, []client{consumes(mail1, 30), consumes(observe.None, 30)}, nil},
		"a publisher elsewhere": {map[string]float64{"mail": 60}, []client{consumes(mail1, 60), {process: owner{id: observe.None}, now: publishes.now}},
			map[string]map[observe.ID]int{"mail": {mail1: 1}}},
		"containers of one program": {map[string]float64{"mail": 60}, []client{uncounted(mail1), uncounted(mail2)}, map[string]map[observe.ID]int{"mail": mail}},
		"containers of two":         {map[string]float64{"mail": 60}, []client{uncounted(mail1), uncounted(api)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueues(x, "rabbitmq", address)
			var read []broker.Queue
			for queue, acked := range c.acked {
				q.show(queue).total.Acked = acked
				read = append(read, broker.Queue{Name: queue, Consumers: 2})
			}
			q.employ(read, c.clients)
			for queue := range c.acked {
				if diff := cmp.Diff(c.want[queue], q.shown[queue].workers); diff != "" {
					t.Errorf("workers of %s: %s", queue, diff)
				}
			}
		})
	}
}

// TestUpstreams checks which connections of a worker are to a server: those to a port of
// this host that listens, except to the broker and except those that the worker serves.
func TestUpstreams(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() }) //nolint:errcheck // a test
		return l
	}
	queue, database := listen(), listen()
	for _, l := range []net.Listener{queue, database} {
		conn, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) //nolint:errcheck // a test
		served, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = served.Close() }) //nolint:errcheck // a test
	}
	x := observe.NewIndex(100)
	c := newClients(&sampler.Host{Proc: "/proc", Index: x, Identity: anyone{x}}, 1, netip.MustParseAddrPort(queue.Addr().String()).Port())
	self, _ := anyone{x}.Current(os.Getpid())
	sockets, err := ownConnections(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	listening, err := ownSockets(procread.Listening, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.served.find(c, map[int]observe.ID{os.Getpid(): self}, sockets, listening)
	if len(c.served.known) != 1 {
		t.Fatalf("upstreams = %v, want one", c.served.known)
	}
	for e := range c.served.known {
		if e.server.String() != database.Addr().String() {
			t.Errorf("upstream = %v, want %v", e.server, database.Addr())
		}
	}
}

// TestHire checks that the processes that consume are those of the connections that the
// broker names, and that they are not known if one of them is not.
func TestHire(t *testing.T) {
	x := observe.NewIndex(1000)
	one, two := x.ID(observe.Entity{Kind: observe.Process, ID: "1"}), x.ID(observe.Entity{Kind: observe.Process, ID: "2"})
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port) }
	of := func(port uint16, id observe.ID) client {
		return client{process: owner{id: id}, now: connection{local: at(port)}, consumes: true}
	}
	clients := []client{of(1, one), of(2, one), of(3, two), of(4, observe.None)}
	for name, c := range map[string]struct {
		ports   []uint16
		servers int
		want    int
	}{
		"two of one":           {[]uint16{1, 2}, 1, 1},
		"two processes":        {[]uint16{2, 3}, 2, 2},
		"any number":           {[]uint16{2, 3}, 0, 2},
		"one is not connected": {[]uint16{1, 2}, 2, 0},
		"one is elsewhere":     {[]uint16{1, 4}, 2, 0},
		"one is gone":          {[]uint16{1, 9}, 2, 0},
		"none":                 {nil, 0, 0},
	} {
		q := newQueues(x, "redis", address)
		b := broker.Queue{Name: "a", Servers: c.servers}
		for _, p := range c.ports {
			b.Clients = append(b.Clients, at(p))
		}
		written(q, b)
		q.hire([]broker.Queue{b}, clients)
		if got := len(q.shown["a"].workers); got != c.want {
			t.Errorf("%s: %d processes, want %d", name, got, c.want)
		}
	}
}
