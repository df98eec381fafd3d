// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"slices"
	"testing"
	"time"
)

// TestStuck: a reading that hangs costs its caller patience once, and the pid is
// read again when it has come back.
func TestStuck(t *testing.T) {
	s := newStuck()
	held := make(chan struct{})
	hang := func() []string { <-held; return []string{"late"} }
	read := func() []string { return []string{"node"} }
	if words, ok := s.wait(1, read); !ok || !slices.Equal(words, []string{"node"}) {
		t.Fatalf("wait = %q, %v; want node", words, ok)
	}
	for pid := range maxStuck {
		if words, ok := s.wait(pid, hang); ok {
			t.Fatalf("a reading that hangs returned %q", words)
		}
	}
	for _, pid := range []int{0, maxStuck} { // hangs already; one too many
		began := time.Now()
		if _, ok := s.wait(pid, read); ok || time.Since(began) > patience/2 {
			t.Errorf("pid %d was waited for, %v", pid, time.Since(began))
		}
	}
	close(held)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, ok := s.wait(0, read); ok {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a reading that came back is still not waited for")
		}
	}
}
