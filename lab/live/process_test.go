// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// startLimit is how long a server may take until it listens: a JVM that compiles its
// source on a busy machine with two cores needs several seconds.
const startLimit = 60 * time.Second

// A process is started by the scenario and ends with it.
type process struct {
	pid  int
	addr string // of the server, host:port
	out  *output
	end  func() // ends the process before the end of the scenario
}

// start runs a program in a new process group. The end of the scenario kills this
// group only.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{out: newOutput()}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	// Pdeathsig kills it even if the test is killed before its cleanup.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	outside.Must(t, cmd.Start())
	p.pid = cmd.Process.Pid
	p.end = sync.OnceFunc(func() {
		syscall.Kill(-p.pid, syscall.SIGKILL)
		cmd.Wait()
	})
	t.Cleanup(func() {
		p.end()
		if t.Failed() {
			t.Logf("output of %s (%d):\n%s", strings.Join(cmd.Args, " "), p.pid, p.out.tail())
		}
	})
	return p
}

// startServer starts a program and waits until it prints "listening HOST:PORT".
func startServer(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := start(t, cmd)
	p.addr = p.out.waitListening(t)
	return p
}

func (p *process) url(path string) string { return "http://" + p.addr + path }

// waitPort waits until a server accepts connections at the address.
func waitPort(t *testing.T, p *process, addr string) {
	t.Helper()
	p.addr = addr
	outside.Eventually(t, startLimit, "a listener at "+addr, func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// cpuSeconds returns the CPU time of all threads of a process.
func cpuSeconds(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	outside.Must(t, err)
	// The fields follow the name, which may contain spaces: utime is 14, stime 15.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	outside.Must(t, err)
	system, err := strconv.ParseFloat(fields[12], 64)
	outside.Must(t, err)
	return (user + system) / ticksPerSecond
}

// ticksPerSecond is USER_HZ, fixed on Linux.
const ticksPerSecond = 100

// hostBusy returns the CPU time of the whole host in seconds, including steal time.
// Other load on the machine explains unexpected findings.
func hostBusy(t *testing.T) float64 {
	t.Helper()
	// user nice system idle iowait irq softirq steal, then guests, which are
	// counted in user.
	busy := 0.0
	for n, v := range hostTimes(t)[:8] {
		if n != 3 && n != 4 {
			busy += v
		}
	}
	return busy
}

// hostStolen returns the steal time, in seconds of a CPU.
func hostStolen(t *testing.T) float64 {
	t.Helper()
	return hostTimes(t)[7]
}

// stolenSince returns the share of CPU time that was stolen since began. stolen is
// the value of hostStolen at that time.
func stolenSince(t *testing.T, stolen float64, began time.Time) float64 {
	t.Helper()
	return (hostStolen(t) - stolen) / time.Since(began).Seconds() / float64(runtime.NumCPU())
}

// hostTimes returns the fields of the first line of /proc/stat, in seconds.
func hostTimes(t *testing.T) []float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	outside.Must(t, err)
	line, _, _ := strings.Cut(string(text), "\n")
	var times []float64
	for _, field := range strings.Fields(line)[1:] {
		v, err := strconv.ParseFloat(field, 64)
		outside.Must(t, err)
		times = append(times, v/ticksPerSecond)
	}
	return times
}

// children returns the pids of a process's children.
func children(t *testing.T, pid int) []int {
	t.Helper()
	id := strconv.Itoa(pid)
	text, err := os.ReadFile("/proc/" + id + "/task/" + id + "/children")
	outside.Must(t, err)
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(field)
		outside.Must(t, err)
		pids = append(pids, child)
	}
	return pids
}

// An output collects the output of a process.
type output struct{ outside.Output }

func newOutput() *output { return &output{} }

// tail returns the end of the output, enough for a stack trace.
func (o *output) tail() string {
	const limit = 4000
	s := o.String()
	return s[max(0, len(s)-limit):]
}

func (o *output) waitListening(t *testing.T) string {
	t.Helper()
	var addr string
	outside.Eventually(t, startLimit, "a line that says listening", func() bool {
		addr = listening(strings.NewReader(o.String()))
		return addr != ""
	})
	return addr
}

func listening(r io.Reader) string {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return addr
		}
	}
	return ""
}

// exitCode returns the exit status, 0 without an error, and -1 if the program did not run.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}
