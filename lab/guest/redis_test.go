// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	redisServer = "/usr/bin/redis-server"
	redisAddr   = "127.0.0.1:6379"
	// startLimit is how long a server may take to listen in an emulated guest.
	startLimit = 20 * time.Second
	// loopbackOnly are the options for a server on loopback without persistence.
	loopbackOnly = "--bind 127.0.0.1 --port 6379 --appendonly no --dir /tmp --loglevel warning --save"
)

// startRedis starts a server, in a cgroup if cgroup is not empty, waits until it
// answers, and returns its pid.
func startRedis(t *testing.T, cgroup string) int {
	t.Helper()
	args := append(strings.Fields(loopbackOnly), "")
	if hasDebugCommand(t) {
		args = append(args, "--enable-debug-command", "local")
	}
	var out bytes.Buffer
	cmd := exec.Command(redisServer, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if cgroup != "" {
		dir, err := os.Open(cgroup)
		outside.Must(t, err)
		defer dir.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("output of redis:\n%s", &out)
		}
	})
	waitAnswer(t)
	return cmd.Process.Pid
}

// hasDebugCommand reports whether DEBUG must be enabled with an option: since redis 7.
//
//	Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64
func hasDebugCommand(t *testing.T) bool {
	t.Helper()
	text, err := exec.Command(redisServer, "--version").Output()
	outside.Must(t, err)
	_, rest, _ := strings.Cut(string(text), "v=")
	var major int
	if _, err := fmt.Sscanf(rest, "%d.", &major); err != nil {
		t.Fatalf("the version in %q: %v", text, err)
	}
	return major >= 7
}

func waitAnswer(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(startLimit); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", redisAddr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// burn is a script that only counts: Lua scripts in redis have no clock that advances
// while they run.
const burn = "for i = 1, ARGV[1] do end return 1"

func counting(n int) []string { return []string{"EVAL", burn, "0", strconv.Itoa(n)} }

// burning returns a command that takes the server that much CPU time, independent of
// the speed of the guest and of throttling.
func burning(t *testing.T, server int, cpu time.Duration) []string {
	t.Helper()
	conn, err := net.Dial("tcp", redisAddr)
	outside.Must(t, err)
	defer conn.Close()
	in := bufio.NewReader(conn)
	outside.Must(t, ask(conn, in, counting(1)))
	time.Sleep(200 * time.Millisecond)   // until its startup is complete
	const enough = 50 * time.Millisecond // in addition to the cost of an answer
	for n := 100_000; ; n *= 4 {
		before := cpuTime(t, server)
		outside.Must(t, ask(conn, in, counting(n)))
		time.Sleep(10 * time.Millisecond) // the time counts once the server sleeps
		if took := cpuTime(t, server) - before; took > enough {
			n = int(float64(n) * float64(cpu) / float64(took))
			t.Logf("counting to %d takes %v", n, cpu)
			return counting(n)
		}
	}
}

// cpuTime returns the CPU time of a process's main thread: the first field of schedstat.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	outside.Must(t, err)
	first, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	outside.Must(t, err)
	return time.Duration(ns)
}

// load runs clients that send a command repeatedly, with a pause after each answer,
// until the test ends.
func load(t *testing.T, clients int, pause time.Duration, command []string) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { close(stop) })
	for range clients {
		conn, err := net.Dial("tcp", redisAddr)
		outside.Must(t, err)
		wg.Go(func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			for {
				if err := ask(conn, in, command); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(pause):
				}
			}
		})
	}
}

// ask sends one command and reads its answer of one line.
//
//	*2\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n
func ask(conn net.Conn, in *bufio.Reader, command []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(command))
	for _, word := range command {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return err
	}
	line, err := in.ReadString('\n')
	if err == nil && strings.HasPrefix(line, "-") {
		err = fmt.Errorf("redis: %s", strings.TrimSpace(line[1:]))
	}
	return err
}
