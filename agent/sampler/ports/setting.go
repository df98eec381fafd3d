// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"bytes"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/sampler"
)

// A setting holds the sysctls of a network namespace that concern ports.
type setting struct {
	low, high uint16
	reserved  int // ports of the range that connect does not use
	// reuse is net.ipv4.tcp_tw_reuse: 0 never, 1 always, 2 on the loopback.
	reuse int
	// assumed is set if the sysctls could not be read.
	assumed bool
}

// kernelSetting holds the kernel's defaults for a new namespace (inet_init_net in
// net/ipv4/af_inet.c, tcp_sk_init in net/ipv4/tcp_ipv4.c). Namespaces do not
// inherit the host's settings.
var kernelSetting = setting{low: 32768, high: 60999, reuse: 2, assumed: true}

func (s setting) ports() float64 { return float64(int(s.high) - int(s.low) + 1 - s.reserved) }

func (s setting) holds(port uint16) bool { return port >= s.low && port <= s.high }

// reuses reports whether connect reuses the ports of connections that have been in
// TIME_WAIT for more than a second (tcp_twsk_unique in net/ipv4/tcp_ipv4.c).
func (s setting) reuses(t tuple) bool {
	return s.reuse == 1 || s.reuse == 2 && (t.source.IsLoopback() || t.destination.IsLoopback())
}

// setting returns the sysctls, at most a minute old.
func (n *namespace) setting(proc string, own bool) setting {
	if time.Now().Before(n.until) {
		return n.set
	}
	n.set, n.until = kernelSetting, time.Now().Add(settingFor)
	read := func() {
		if s, ok := readSetting(proc); ok {
			n.set = s
		}
	}
	if own {
		read()
		return n.set
	}
	for _, pid := range n.pids[:min(tries, len(n.pids))] {
		if within(proc+"/"+strconv.Itoa(pid)+"/ns/net", read) == nil {
			break
		}
	}
	return n.set
}

// within runs f in another network namespace: /proc/sys/net shows the namespace of
// the reading thread. It takes CAP_SYS_ADMIN. The thread ends with f, so that no
// other goroutine ever runs in that namespace. The main thread is never used, since
// /proc/self is its view.
func within(namespace string, f func()) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			err := within(namespace, f) // this is the main thread: try another one
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- enter(namespace, f)
	}()
	return <-done
}

func enter(namespace string, f func()) error {
	fd, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // read only
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return err
	}
	f()
	return nil
}

// readSetting reads the sysctls of the calling thread's namespace.
func readSetting(proc string) (setting, bool) {
	dir := proc + "/sys/net/ipv4/"
	b, err := os.ReadFile(dir + "ip_local_port_range")
	if err != nil {
		return setting{}, false
	}
	s, ok := parseRange(b)
	if !ok {
		return setting{}, false
	}
	if b, err = os.ReadFile(dir + "ip_local_reserved_ports"); err == nil {
		s.reserved = min(countReserved(b, s), int(s.high)-int(s.low))
	}
	s.reuse = 2
	if b, err = os.ReadFile(dir + "tcp_tw_reuse"); err == nil {
		s.reuse, _ = strconv.Atoi(string(bytes.TrimSpace(b)))
	}
	// Without timestamps no port in TIME_WAIT is reused.
	if b, err = os.ReadFile(dir + "tcp_timestamps"); err == nil && string(bytes.TrimSpace(b)) == "0" {
		s.reuse = 0
	}
	return s, true
}

// parseRange parses the first and the last port.
//
//	32768	60999
func parseRange(b []byte) (s setting, ok bool) {
	fields := bytes.Fields(b)
	if len(fields) != 2 {
		return s, false
	}
	low, errLow := strconv.ParseUint(string(fields[0]), 10, 16)
	high, errHigh := strconv.ParseUint(string(fields[1]), 10, 16)
	s.low, s.high = uint16(low), uint16(high)
	return s, errLow == nil && errHigh == nil && low <= high
}

// countReserved returns the number of reserved ports within the range.
//
//	8080,9148-9150
func countReserved(b []byte, s setting) int {
	n := 0
	sampler.Ranges(b, func(first, last uint64) {
		if from, to := max(first, uint64(s.low)), min(last, uint64(s.high)); from <= to {
			n += int(to-from) + 1
		}
	})
	return n
}

// label formats a tuple for people.
func (t tuple) label() string {
	return t.source.String() + " to " + netip.AddrPortFrom(t.destination, t.port).String()
}
