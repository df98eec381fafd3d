// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"strings"
	"testing"
)

// TestListenFails: an address that cannot be had is an error that names its
// flag, and no other address stays open.
func TestListenFails(t *testing.T) {
	e, err := listen(&Options{Listen: []string{"127.0.0.1:0"}, ListenMetrics: []string{"127.0.0.1:0", "192.0.2.1:0"}})
	if err == nil {
		e.close()
		t.Fatal("listening on an address of another host worked")
	}
	if want := "--web.metrics-listen-address 192.0.2.1:0"; !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not name %s", err, want)
	}
}
