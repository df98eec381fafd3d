// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A real is a real server, with a connection to it.
type real struct {
	t       *testing.T
	pid     int
	address netip.AddrPort
	conn    net.Conn
	lines   *bufio.Reader
}

func start(t *testing.T, args ...string) *real {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip(err)
	}
	port := freePort(t)
	cmd := exec.Command("redis-server", append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)...)
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	r := &real{t: t, pid: cmd.Process.Pid, address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))}
	outside.Eventually(t, 20*time.Second, "redis-server listens", func() bool {
		conn, err := net.Dial("tcp", r.address.String())
		r.conn = conn
		return err == nil
	})
	t.Cleanup(func() { r.conn.Close() })
	outside.Must(t, r.conn.SetDeadline(time.Now().Add(time.Minute)))
	r.lines = bufio.NewReader(r.conn)
	return r
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	outside.Must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// ask sends commands, one in a line, and waits for as many lines as answer.
func (r *real) ask(lines int, commands ...string) {
	r.t.Helper()
	_, err := io.WriteString(r.conn, strings.Join(commands, "\r\n")+"\r\n")
	outside.Must(r.t, err)
	for range lines {
		_, err := r.lines.ReadString('\n')
		outside.Must(r.t, err)
	}
}

func (r *real) read(c *connection) (info, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	return c.read(ctx)
}

// TestInfo compares what a real server says with what its client did.
func TestInfo(t *testing.T) {
	r := start(t, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
	c := &connection{address: r.address}
	defer c.close()
	empty, err := r.read(c)
	outside.Must(t, err)
	if empty.limit != 3<<20 || empty.policy != "allkeys-lru" || empty.used <= 0 || empty.data > 200_000 {
		t.Errorf("an empty server: %+v", empty)
	}
	r.ask(1, "SELECT 3")
	r.ask(3, "SET a 1", "GET nothing", "GET nothing")
	r.ask(2, "GET a")
	r.ask(1, "SELECT 0")
	const sets = 5000
	for i := range sets {
		r.ask(1, fmt.Sprintf("SET key:%d %s", i, strings.Repeat("x", 1000)))
	}
	i, err := r.read(c)
	outside.Must(t, err)
	if i.hits != 1 || i.misses != 2 {
		t.Errorf("%v hits and %v misses, want 1 and 2", i.hits, i.misses)
	}
	if i.evicted == 0 || i.keys+i.evicted != sets+1 {
		t.Errorf("%v keys and %v evicted, of %d", i.keys, i.evicted, sets+1)
	}
	if each := i.data / i.keys; each < 1000 || each > 1300 || i.used < 2<<20 {
		t.Errorf("%v bytes for each key of %v", each, i.used)
	}
}

// TestReconnects checks a server that closes connections of idle clients.
func TestReconnects(t *testing.T) {
	r := start(t)
	c := &connection{address: r.address}
	defer c.close()
	_, err := r.read(c)
	outside.Must(t, err)
	r.ask(1, "CLIENT KILL TYPE normal SKIPME yes")
	if _, err := r.read(c); err != nil {
		t.Errorf("after the connection was closed: %v", err)
	}
}

// TestRefusals checks that each reason for no answer is a gap with its own text.
func TestRefusals(t *testing.T) {
	password := start(t, "--requirepass", "hunter2secret")
	renamed := start(t, "--rename-command", "INFO", "")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	outside.Must(t, err)
	defer silent.Close()
	for name, c := range map[string]struct {
		address netip.AddrPort
		want    string
	}{
		"password": {password.address, "does not answer INFO without a password"},
		"renamed":  {renamed.address, "refuses INFO"},
		"hangs":    {netip.MustParseAddrPort(silent.Addr().String()), "does not answer INFO in time"},
		"gone":     {netip.AddrPortFrom(password.address.Addr(), 1), "cannot be reached"},
		"http":     {answering(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), "something else than Redis"},
		"long":     {answering(t, "$999999999\r\n"), "something else than Redis"},
		"loading":  {answering(t, "-LOADING Redis is loading the dataset in memory\r\n"), "loads its data"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn := &connection{address: c.address}
			defer conn.close()
			_, err := conn.read(ctx)
			if u, ok := errors.AsType[*sampler.Unsupported](err); !ok || !strings.Contains(u.Reason, c.want) {
				t.Errorf("error = %v, want %q", err, c.want)
			}
		})
	}
}

// answering returns the address of a server that answers each client with a text.
func answering(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	outside.Must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.ReadFull(conn, make([]byte, len(question))) // An early end is seen by the client.
				_, _ = io.WriteString(conn, text)
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestAddressOf(t *testing.T) {
	for listens, want := range map[string]string{
		"127.0.0.1:6379 [::1]:6379":      "127.0.0.1:6379",
		"10.0.0.1:16379 10.0.0.1:6379":   "10.0.0.1:6379",
		"10.0.0.1:16379 10.0.0.1:6380":   "10.0.0.1:6380",
		"10.0.0.1:16379":                 "10.0.0.1:16379",
		"10.0.0.1:26379 127.0.0.1:16379": "127.0.0.1:16379",
		"":                               "",
	} {
		var p place.Place
		for at := range strings.FieldsSeq(listens) {
			p.Listens = append(p.Listens, netip.MustParseAddrPort(at))
		}
		got, ok := addressOf(p)
		if ok != (want != "") || ok && got != netip.MustParseAddrPort(want) {
			t.Errorf("%q: %v, want %q", listens, got, want)
		}
	}
}

// identity knows the processes of a map.
type identity struct {
	sampler.Identity
	known map[int]observe.ID
}

func (i identity) Current(pid int) (observe.ID, bool) {
	id, ok := i.known[pid]
	return id, ok
}

// TestRead checks that a server is found, asked, and forgotten.
func TestRead(t *testing.T) {
	r := start(t, "--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl")
	x := observe.NewIndex(100)
	process := x.ID(observe.Entity{Kind: observe.Process, ID: "7:1"})
	x.Describe(process, observe.Info{Attrs: map[string]string{catalog.AttrRuntime: "redis", catalog.AttrPID: strconv.Itoa(r.pid)}})
	known := map[int]observe.ID{r.pid: process}
	opened, err := open(&sampler.Host{Index: x, Identity: identity{known: known}, Proc: "/proc"})
	outside.Must(t, err)
	defer opened.Close()
	s := observe.NewSnapshot(x)
	id := catalog.KeysOf(x, process)
	outside.Eventually(t, 20*time.Second, "the server is asked", func() bool {
		s.Reset()
		outside.Must(t, opened.Read(s))
		limit, ok := s.Value(catalog.RedisLimit, id)
		return ok && limit == 100<<20
	})
	if policy := x.Attr(id, catalog.AttrPolicy); policy != "volatile-ttl" || len(s.Gaps) != 0 {
		t.Errorf("policy = %q, gaps %v", policy, s.Gaps)
	}
	delete(known, r.pid)
	v := opened.(*reader)
	v.find = time.Time{}
	s.Reset()
	outside.Must(t, opened.Read(s))
	if len(v.servers) != 0 {
		t.Errorf("%d servers after the only one ended", len(v.servers))
	}
}

// TestFork checks that a child of a server, which saves its data, is not asked.
func TestFork(t *testing.T) {
	x := observe.NewIndex(100)
	parent := x.ID(observe.Entity{Kind: observe.Process, ID: "7:1"})
	x.Describe(parent, observe.Info{Attrs: map[string]string{catalog.AttrRuntime: "redis"}})
	r := &reader{host: &sampler.Host{Index: x, Identity: identity{known: map[int]observe.ID{os.Getppid(): parent}}, Proc: "/proc"}}
	if !r.isFork(os.Getpid()) {
		t.Error("a process whose parent is a Redis is a server")
	}
	r.host.Identity = identity{}
	if r.isFork(os.Getpid()) {
		t.Error("a process with another parent is no server")
	}
}
