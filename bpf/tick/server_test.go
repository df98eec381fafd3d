// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// nodeServer blocks in one way per path. Busy loops are measured in CPU, not wall
// time, so that a busy machine does not shorten them.
const nodeServer = `
const http = require('http'), fs = require('fs'), { execSync } = require('child_process');
function burn(ms) { const u = process.cpuUsage(); while (process.cpuUsage(u).user + process.cpuUsage(u).system < ms * 1000); }
const actions = {
  '/burn': () => burn(200),
  '/exec': () => execSync('sleep 0.2'),
  '/atomics': () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200),
  '/fifo': () => fs.readFileSync(process.argv[3]),
  '/hang': () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000),
  '/': () => {},
};
http.createServer((req, res) => { actions[req.url](); res.end('ok\n'); }).listen(Number(process.argv[2]), '127.0.0.1');
`

const asyncioServer = `
import asyncio, sys, time
async def handle(reader, writer):
    line = await reader.readline()
    if b'/sleep' in line:
        time.sleep(0.2)
    writer.write(b'HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nok\n')
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(handle, '127.0.0.1', int(sys.argv[1]))
    async with server:
        await server.serve_forever()
asyncio.run(main())
`

// need returns the path of a program, or skips.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// serve starts a server that listens on port, and stops it at the end.
func serve(t *testing.T, port int, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = t.TempDir()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	outside.Eventually(t, patience, name+" listening", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return cmd
}

func get(port int, path string) error {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settle waits until a server has started, and discards its stalls: startup is slow, and
// not tested here. The tick that answered a request can end after the answer has arrived.
func settle(t *testing.T, p *Probe, pid int) {
	t.Helper()
	untilItWaits(t, p, pid)
	if err := p.ReadStalls(func(*Stall) {}); err != nil {
		t.Fatal(err)
	}
}

func TestNode(t *testing.T) {
	node := need(t, "node")
	p := open(t, Options{})
	port, fifo := outside.FreePort(t), filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	pid := serve(t, port, node, script(t, "server.js", nodeServer), strconv.Itoa(port), fifo).Process.Pid
	if err := get(port, "/"); err != nil {
		t.Fatal(err)
	}
	settle(t, p, pid)
	for _, tt := range []struct {
		path  string
		calls []int32 // none: on the CPU
	}{
		{"/burn", nil},
		{"/exec", []int32{unix.SYS_EPOLL_PWAIT, callEpollWait}},
		{"/atomics", []int32{unix.SYS_FUTEX}},
		{"/fifo", []int32{unix.SYS_OPENAT, unix.SYS_READ, callOpen}},
	} {
		t.Run(tt.path[1:], func(t *testing.T) {
			if tt.path == "/fifo" {
				go feed(fifo)
			}
			before := stolen(t)
			if err := get(port, tt.path); err != nil {
				t.Fatal(err)
			}
			checkCause(t, stallOf(t, p, pid), tt.calls, before)
		})
	}
	t.Run("hang", func(t *testing.T) { checkHang(t, p, pid, port) })
}

// feed opens the fifo for writing after 200 ms, which unblocks the reader.
func feed(fifo string) {
	time.Sleep(actionTime)
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err == nil {
		f.Close()
	}
}

// checkCause expects 200 ms of CPU, or about as much time blocked in one of calls.
func checkCause(t *testing.T, s Stall, calls []int32, before time.Duration) {
	t.Helper()
	if calls == nil {
		nearCPU(t, s.CPU, actionTime, 25*time.Millisecond, before)
		return
	}
	if s.Blocked < uint64(actionTime*9/10) || s.Blocked < s.Busy*7/10 {
		t.Errorf("blocked = %.1f ms of %.1f ms, want nearly all", ms(s.Blocked), ms(s.Busy))
	}
	for _, nr := range calls {
		if s.Longest.Nr == nr {
			return
		}
	}
	t.Errorf("blocked in %d, want one of %v", s.Longest.Nr, calls)
}

func checkHang(t *testing.T, p *Probe, pid, port int) {
	done := make(chan error)
	go func() { done <- get(port, "/hang") }()
	time.Sleep(1500 * time.Millisecond)
	l, ok := loopOf(t, p, pid)
	if !ok || !l.InTick || l.Current.Elapsed < uint64(time.Second) || l.Current.Syscall != unix.SYS_FUTEX {
		t.Errorf("loop %v, in a tick %v, current %+v; want a second in futex", ok, l.InTick, l.Current)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	near(t, "hang", stallOf(t, p, pid).Busy, 3*time.Second, 100*time.Millisecond)
}

func TestAsyncio(t *testing.T) {
	python := need(t, "python3")
	p := open(t, Options{})
	port := outside.FreePort(t)
	pid := serve(t, port, python, script(t, "server.py", asyncioServer), strconv.Itoa(port)).Process.Pid
	settle(t, p, pid)
	if err := get(port, "/sleep"); err != nil {
		t.Fatal(err)
	}
	checkCause(t, stallOf(t, p, pid), []int32{unix.SYS_CLOCK_NANOSLEEP, callSelect, unix.SYS_PSELECT6}, 0)
}

func TestRedis(t *testing.T) {
	redis, cli := need(t, "redis-server"), need(t, "redis-cli")
	p := open(t, Options{})
	port := strconv.Itoa(outside.FreePort(t))
	n, _ := strconv.Atoi(port)
	pid := serve(t, n, redis, "--port", port, "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes", "--logfile", "/dev/null").Process.Pid
	time.Sleep(100 * time.Millisecond)
	for _, tt := range []struct {
		name    string
		command []string
		calls   []int32
	}{
		{"debug sleep", []string{"debug", "sleep", "0.2"}, []int32{unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP}},
		{"script", []string{"eval", "local x = 0; for i = 1, 3e7 do x = x + i end", "0"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if out, err := exec.Command(cli, append([]string{"-p", port}, tt.command...)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			s := stallOf(t, p, pid)
			if tt.calls != nil {
				checkCause(t, s, tt.calls, 0)
			} else if s.CPU < s.Busy/2 && s.RunQueue < s.Busy/2 || s.Blocked > s.Busy/10 {
				t.Errorf("cpu = %.1f ms of %.1f ms, want most of it", ms(s.CPU), ms(s.Busy))
			}
		})
	}
}

// TestGoServer checks that every loop of a busy Go server is marked as shared or has
// ended: its threads wait in turn on one epfd.
func TestGoServer(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "go-server", -1)
	port := int(h.answer(t).wall)
	var wg sync.WaitGroup
	end := time.Now().Add(2 * time.Second)
	for range 8 {
		wg.Go(func() {
			for time.Now().Before(end) {
				if err := get(port, "/"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := p.ReadLoops(func(l *Loop) {
		if int(l.Tgid) == h.pid && !l.Shared {
			t.Errorf("thread %d, epfd %d, %d ticks: not marked as shared", l.Tid, l.Epfd, l.Ticks)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
