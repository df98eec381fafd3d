// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
)

// A load is the set of programs that run together with the agent.
type load struct {
	servers []*exec.Cmd
	cancel  context.CancelFunc
	running sync.WaitGroup
}

const (
	burnFor, burnEvery = 2 * time.Minute, 5 * time.Minute
	churnEvery         = 10 * time.Second
)

// service is a node server: /ok answers, /burn blocks the event loop for 200 ms.
const service = `
const burn = (ms) => { const until = Date.now() + ms; let n = 0; while (Date.now() < until) n += Math.sqrt(n + 1); return n; };
require('node:http').createServer((req, res) => {
  if (req.url === '/burn') burn(200);
  res.end(JSON.stringify({ ok: true, padding: 'x'.repeat(2000) }));
}).listen(Number(process.argv[2]), '127.0.0.1');
`

// startLoad starts the load. On an error it also returns the programs that it has
// started.
func startLoad(ctx context.Context, c *config) (*load, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	script := filepath.Join(c.out, "service.js")
	if err := os.WriteFile(script, []byte(service), 0o644); err != nil {
		return l, err
	}
	node, err := l.serve("node", script)
	if err != nil {
		return l, err
	}
	redis, err := l.serve("redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", c.out, "--port")
	if err != nil {
		return l, err
	}
	l.running.Go(func() { ask(ctx, c.rate, "http://"+node+"/ok") })
	l.running.Go(func() { ping(ctx, c.rate, redis) })
	l.running.Go(func() { burn(ctx, "http://"+node+"/burn") })
	l.running.Go(func() { fork(ctx, c.forks) })
	l.running.Go(func() { churn(ctx) })
	return l, nil
}

func (l *load) stop() {
	l.cancel()
	l.running.Wait()
	for _, s := range l.servers {
		end(s)
	}
}

// serve starts a server whose last argument is a free port, and returns its
// address once the server listens.
func (l *load) serve(program string, args ...string) (string, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(address)
	s := exec.Command(program, append(args, port)...)
	if err := s.Start(); err != nil {
		return "", err
	}
	l.servers = append(l.servers, s)
	for range 100 {
		if conn, err := net.Dial("tcp", address); err == nil {
			return address, conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", fmt.Errorf("%s does not listen on %s", program, address)
}

// each calls do at an interval until ctx ends. It ignores failures, because the load
// is not tested.
func each(ctx context.Context, every time.Duration, do func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

func ask(ctx context.Context, rate int, url string) {
	each(ctx, time.Second/time.Duration(rate), func() { get(ctx, url) })
}

func get(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	if answer, err := http.DefaultClient.Do(req); err == nil {
		_ = answer.Body.Close()
	}
}

// burn blocks the loop twice a second, for two minutes of every five.
func burn(ctx context.Context, url string) {
	began := time.Now()
	each(ctx, time.Second/2, func() {
		if time.Since(began)%burnEvery < burnFor {
			get(ctx, url)
		}
	})
}

// ping takes a new connection once a second, so that sockets are opened and closed.
func ping(ctx context.Context, rate int, address string) {
	each(ctx, time.Second, func() {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return
		}
		defer conn.Close()
		answers := bufio.NewReader(conn)
		for range rate {
			if _, err := conn.Write([]byte("PING\r\n")); err != nil {
				return
			}
			if _, err := answers.ReadString('\n'); err != nil {
				return
			}
		}
	})
}

func fork(ctx context.Context, rate int) {
	each(ctx, time.Second/time.Duration(rate), func() { _ = exec.CommandContext(ctx, "/bin/true").Run() })
}

// churn makes a cgroup with five processes, like a pod, and replaces it every ten
// seconds.
func churn(ctx context.Context) {
	var last func()
	n := 0
	each(ctx, churnEvery, func() {
		if last != nil {
			last()
		}
		n++
		last = pod(n)
	})
	if last != nil {
		last()
	}
}

// pod makes a cgroup with five processes. It ignores failures: the next call tries again.
func pod(n int) (remove func()) {
	path := fmt.Sprintf("headroom-soak/pod%08d-0000-4000-8000-%012d/%064d", n, os.Getpid(), n)
	group, err := cgroups.New(path, nil, cgroups.Unified)
	if err != nil {
		return func() {}
	}
	var all []*exec.Cmd
	for range 5 {
		c := exec.Command("sleep", "3600")
		if c.Start() == nil {
			_ = group.Add(c.Process.Pid)
			all = append(all, c)
		}
	}
	return func() {
		for _, c := range all {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		_ = group.Delete()
	}
}
