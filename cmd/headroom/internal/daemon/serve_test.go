// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net"
	"strings"
	"testing"
)

// TestListenFails checks that if an address cannot be used, the error names its flag
// and the fix, and no other address stays open.
func TestListenFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing was accepted
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for address, want := range map[string]string{"192.0.2.1:0": "cannot assign", ":" + port: "in use by another process or by another address of this agent"} {
		first, err := net.Listen("tcp", "127.0.77.1:0") // no other test uses this address
		if err != nil {
			t.Fatal(err)
		}
		free := first.Addr().String()
		_ = first.Close()
		_, err = listen(&Options{Listen: []string{free}, ListenMetrics: []string{address}})
		if err == nil || !strings.Contains(err.Error(), "--web.metrics-listen-address "+address) || !strings.Contains(err.Error(), want) {
			t.Errorf("listening on %s: %v, want an error that names the flag and says %q", address, err, want)
		}
		again, err := net.Listen("tcp", free)
		if err != nil {
			t.Errorf("the other address stays open: %v", err)
			continue
		}
		_ = again.Close()
	}
}
