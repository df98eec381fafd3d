// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// nodeServer answers one request of ten after 200 ms, and the others after 50 ms.
const nodeServer = `
let n = 0;
require('http').createServer((req, res) => setTimeout(() => res.end('ok\n'), n++ % 10 ? 50 : 200)).listen(Number(process.argv[2]), '127.0.0.1');
`

// nginxProxy forwards each request on a connection of its own.
const nginxProxy = `
daemon off; pid nginx.pid; error_log stderr; worker_processes 2;
events {}
http {
  access_log off;
  client_body_temp_path .; proxy_temp_path .; fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
  server { listen 127.0.0.1:%d; location / { proxy_pass http://127.0.0.1:%d; } }
}
`

func startServer(t *testing.T, dir string, port int, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // nginx ends its workers
		_ = cmd.Wait()
	})
	outside.Eventually(t, patience, name+" listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	outside.Must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A loader sends requests and returns how long each took.
type loader struct {
	client http.Client
	url    string
	mu     sync.Mutex
	took   []time.Duration
	failed error
}

func (l *loader) ask(since time.Time) {
	r, err := l.client.Get(l.url)
	d := time.Since(since)
	if err == nil {
		err = r.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, d)
	if err != nil {
		l.failed = err
	}
}

// openLoop sends at a fixed rate, and counts from when a request was due.
func (l *loader) openLoop() {
	var all sync.WaitGroup
	began := time.Now()
	for i := range 100 {
		due := began.Add(time.Duration(i) * 15 * time.Millisecond)
		time.Sleep(time.Until(due))
		all.Go(func() { l.ask(due) })
	}
	all.Wait()
}

// closedLoop sends the next request when the last one was answered.
func (l *loader) closedLoop() {
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			for range 20 {
				l.ask(time.Now())
			}
		})
	}
	all.Wait()
}

// TestServers compares what the probe reports of node and of nginx before it with what a
// client of nginx measures.
func TestServers(t *testing.T) {
	for _, program := range []string{"node", "nginx"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	outside.Must(t, os.Chmod(dir, 0o777)) // nginx's workers have another user
	backend, proxy := freePort(t), freePort(t)
	config := filepath.Join(dir, "nginx.conf")
	outside.Must(t, os.WriteFile(config, fmt.Appendf(nil, nginxProxy, proxy, backend), 0o600))
	startServer(t, dir, backend, "node", "-e", nodeServer, "-", fmt.Sprint(backend))
	startServer(t, dir, proxy, "nginx", "-p", dir, "-c", config)
	for name, load := range map[string]func(*loader){"open loop": (*loader).openLoop, "closed loop": (*loader).closedLoop} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			l := &loader{url: fmt.Sprintf("http://127.0.0.1:%d/", proxy)}
			load(l)
			if l.failed != nil {
				t.Fatal(l.failed)
			}
			slices.Sort(l.took)
			for server, port := range map[string]int{"node": backend, "nginx": proxy} {
				compare(t, server, onPort(t, p, port, len(l.took)), l.took)
			}
		})
	}
}

// onPort returns the sum over all processes that serve a port.
func onPort(t *testing.T, p *Probe, port, n int) (sum Server) {
	t.Helper()
	outside.Eventually(t, patience, "all answers are counted", func() bool {
		sum = Server{}
		sum.Answered.Count, sum.Answered.Sum = make([]uint64, buckets), make([]uint64, buckets)
		all := 0
		outside.Must(t, p.Read(func(s *Server) bool {
			for i := range s.Answered.Count {
				if int(s.Port) == port {
					sum.Answered.Count[i] += s.Answered.Count[i]
					sum.Answered.Sum[i] += s.Answered.Sum[i]
					all += int(s.Answered.Count[i])
				}
			}
			return true
		}))
		return all >= n
	})
	return sum
}

func compare(t *testing.T, name string, s Server, took []time.Duration) {
	t.Helper()
	all := uint64(0)
	for _, n := range s.Answered.Count {
		all += n
	}
	if all != uint64(len(took)) {
		t.Errorf("%s: %d answers, want %d", name, all, len(took))
	}
	for _, q := range []float64{0.5, 0.99} {
		got, want := quantile(s, q*float64(all)), took[int(q*float64(len(took)))]
		t.Logf("%s: p%g %v, the client measured %v", name, 100*q, got, want)
		if d := (got - want).Abs(); d > want/10 {
			t.Errorf("%s: p%g = %v, want %v within 10 %%", name, 100*q, got, want)
		}
	}
}

// quantile returns the mean of the bucket with the value of that rank.
func quantile(s Server, rank float64) time.Duration {
	below := 0.0
	for i, n := range s.Answered.Count {
		if below += float64(n); below > rank {
			return time.Duration(s.Answered.Sum[i] / n)
		}
	}
	return 0
}
