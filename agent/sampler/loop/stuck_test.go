// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// pythonServer serves one client, and hangs in the way that its argument names. It
// prints a line when it hangs.
const pythonServer = `
import ctypes, select, socket, sys, threading, time
how = sys.argv[1]
server = socket.create_server(('127.0.0.1', 0))
loop = select.epoll()
loop.register(server.fileno(), select.EPOLLIN)
if how == 'no epoll':
    loop.close()
if how == 'no socket':
    server.close()
if how == 'thread':
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
if how == 'jvm':
    def helper():
        ctypes.CDLL(None).prctl(15, b'GC Thread#0')  # PR_SET_NAME
        time.sleep(1000)
    named = threading.Thread(target=helper, daemon=True)
    named.start()
    main = threading.Thread(target=time.sleep, args=(1000,), daemon=True)
    main.start()
    while open('/proc/self/task/%d/comm' % named.native_id).read() != 'GC Thread#0\n':
        time.sleep(0.01)
if how.startswith('ring'):
    call = ctypes.CDLL(None).syscall
    ring = call(425, 8, ctypes.create_string_buffer(120))  # io_uring_setup
    how = how.removeprefix('ring').removeprefix(', ')
    if how != 'epoll':
        loop.close()
    if how == 'no socket':
        server.close()
print('ready', flush=True)
if how == '':
    call(426, ring, 0, 1, 1, None, 0)  # io_uring_enter with IORING_ENTER_GETEVENTS
if how == 'epoll':
    loop.poll()
elif how == 'accept':
    server.accept()
elif how == 'select':
    select.select([server, sys.stdin], [], [])
else:
    time.sleep(1000)
`

// TestStuck checks which processes are suspected of a hang that began before the first
// reading.
func TestStuck(t *testing.T) {
	r := &reader{proc: "/proc", host: &sampler.Host{Proc: "/proc", Index: observe.NewIndex(observe.DefaultLimit), Identity: nobody{}}}
	for _, tt := range []struct {
		how, runtime string
		want         tick.Kind
	}{
		{"hangs", "", tick.Epoll},
		{"hangs", "python", tick.Epoll},
		{"no epoll", "", tick.Poll},
		{"thread", "", tick.Epoll},
		{"thread", "python", tick.Epoll},
		{"hangs", "go", tick.NoLoop},
		{"no socket", "", tick.NoLoop},
		{"epoll", "", tick.NoLoop},
		{"accept", "", tick.NoLoop},
		{"select", "", tick.NoLoop},
	} {
		pid := startPython(t, tt.how)
		outside.Eventually(t, 10*time.Second, "asleep: "+tt.how, func() bool {
			_, ok := r.inSyscall(pid, pid)
			return ok
		})
		h := r.stuck(pid, tt.runtime, make(sockets))
		if got := kindOf(h); got != tt.want {
			t.Errorf("%q with runtime %q: kind %v, want %v", tt.how, tt.runtime, got, tt.want)
			continue
		}
		if h == nil {
			continue
		}
		// Two threads sleep in the same way: which of them runs the loop is only known
		// for runtimes whose main thread always does.
		want := pid
		if tt.how == "thread" && tt.runtime == "" {
			want = 0
		}
		if tid, _ := r.hangingThread(h, 1); tid != want {
			t.Errorf("%q with runtime %q: thread %d, want %d", tt.how, tt.runtime, tid, want)
		}
	}
}

// TestHungThreadOfJVM checks that HotSpot's own threads, which wait for locks, are not
// taken for the thread that hangs.
func TestHungThreadOfJVM(t *testing.T) {
	r := &reader{proc: "/proc", host: &sampler.Host{Proc: "/proc", Index: observe.NewIndex(observe.DefaultLimit), Identity: nobody{}}}
	pid := startPython(t, "jvm")
	outside.Eventually(t, 10*time.Second, "three threads asleep", func() bool {
		tids := r.tids(pid)
		return len(tids) == 3 && !slices.ContainsFunc(tids, func(tid int) bool {
			_, ok := r.inSyscall(pid, tid)
			return !ok
		})
	})
	h := r.stuck(pid, "jvm", make(sockets))
	if h == nil {
		t.Fatal("not suspected of a hang")
	}
	tid, _ := r.hangingThread(h, 1)
	if name, err := os.ReadFile(r.proc.task(pid, tid, "comm")); tid == pid || err != nil || string(name) != "python3\n" {
		t.Errorf("thread %d (%s, %v) of process %d, want the one that runs the program", tid, name, err, pid)
	}
}

func kindOf(h *hanging) tick.Kind {
	if h == nil {
		return tick.NoLoop
	}
	return h.kind
}

// nobody is an Identity without processes.
type nobody struct{ sampler.Identity }

func (nobody) Current(int) (observe.ID, bool) { return observe.None, false }

func startPython(t *testing.T, how string) (pid int) {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's: the first in PATH can be a shell script
	if _, err := os.Stat(python); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(python, "-c", pythonServer, how)
	in, err := cmd.StdinPipe() // never closed, so that select waits
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line := make([]byte, len("ready"))
	if _, err := out.Read(line); err != nil || !strings.HasPrefix(string(line), "ready") {
		t.Fatalf("server %q: %q, %v", how, line, err)
	}
	return cmd.Process.Pid
}
