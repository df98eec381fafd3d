// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/traffic"
)

// A crowd is a group of clients with one connection each.
type crowd struct {
	addr string
	ask  bool // request /ok after connecting, and read the answer

	mu    sync.Mutex
	conns []net.Conn
	err   error // the first that was refused
}

// newCrowd returns an empty crowd; its connections are closed with the scenario.
func newCrowd(t *testing.T, addr string) *crowd {
	t.Helper()
	c := &crowd{addr: addr, ask: true}
	t.Cleanup(c.leave)
	return c
}

// join connects n clients at once and keeps their connections open.
func (c *crowd) join(n int) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { c.one() })
	}
	wg.Wait()
}

func (c *crowd) one() {
	conn, err := net.DialTimeout("tcp", c.addr, traffic.RequestLimit)
	if err == nil && c.ask {
		err = talk(conn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.err = err
		return
	}
	c.conns = append(c.conns, conn)
}

func talk(conn net.Conn) error {
	if _, err := fmt.Fprintf(conn, "GET /ok HTTP/1.1\r\nHost: lab\r\n\r\n"); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 4096))
	return err
}

// leave closes all connections.
func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// ramp connects more clients every second until the scenario ends.
func (c *crowd) ramp(t *testing.T, perSecond float64) *load {
	t.Helper()
	return openLoop(t, perSecond, func(context.Context) error { c.one(); return nil })
}

// once returns a request function that uses a new connection for each request.
func once(url string) func(context.Context) error {
	client := traffic.NewClient(traffic.MaxInFlight)
	client.Transport.(*http.Transport).DisableKeepAlives = true
	return func(ctx context.Context) error { return traffic.Get(ctx, client, url) }
}

// descriptors returns the number of open descriptors of a process.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	outside.Must(t, err)
	return len(entries)
}

// tcpStates counts the sockets of this network namespace at a local port, by state
// in the notation of /proc/net/tcp.
func tcpStates(t *testing.T, addr string) map[string]int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	outside.Must(t, err)
	number, err := strconv.Atoi(port)
	outside.Must(t, err)
	text, err := os.ReadFile("/proc/net/tcp")
	outside.Must(t, err)
	states := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) {
			states[f[3]]++
		}
	}
	return states
}

const tcpCloseWait = "08"

// listenDrops returns the number of connections that the host's listeners have dropped.
func listenDrops(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/net/netstat")
	outside.Must(t, err)
	lines := strings.Split(string(text), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for n, name := range names {
			if name == "ListenDrops" {
				drops, err := strconv.Atoi(values[n])
				outside.Must(t, err)
				return drops
			}
		}
	}
	t.Fatal("no ListenDrops in /proc/net/netstat")
	return 0
}

// every calls f repeatedly until the scenario ends.
func every(t *testing.T, pause time.Duration, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for traffic.SleepUntil(ctx, time.Now().Add(pause)) {
			f()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}
