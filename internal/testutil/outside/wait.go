// SPDX-License-Identifier: Apache-2.0

package outside

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// poll is the interval at which Eventually checks.
const poll = 20 * time.Millisecond

// Eventually waits until a condition holds, and fails the test if it does not hold
// within a limit.
func Eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(poll) {
		if time.Now().After(end) {
			t.Fatalf("after %v this still does not hold: %s", limit, what)
		}
	}
}

// Must fails the test if err is not nil.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// FreePort returns a port of 127.0.0.1 that was free when it was called, for servers
// that cannot choose a free port.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := Port()
	Must(t, err)
	return port
}

// Port is like FreePort, for use outside of a test.
func Port() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close() //nolint:errcheck // nothing was accepted
	return l.Addr().(*net.TCPAddr).Port, nil
}
