// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"math"
	"testing"
)

// TestRatesAreBounded checks that the memory for any number of addresses is limited,
// and that an address with its own rate keeps it.
func TestRatesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRates(0.01, math.Inf(1))
	first := network("192.0.2.1:1")
	if !r.allow(first) || r.allow(first) {
		t.Error("an address is allowed other than once")
	}
	for i := range 3 * maxRates {
		r.allow(network(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)))
	}
	if n := len(r.byAddr); n > maxRates+1 {
		t.Errorf("%d addresses are remembered, want at most %d", n, maxRates+1)
	}
	if r.allow(first) {
		t.Error("other addresses have given the first its rate back")
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1/32", "[::ffff:192.0.2.1]:80": "192.0.2.1/32", "[::1]:80": "::/64",
		"[2001:db8::1]:80": "2001:db8::/64", "[2001:db8::ffff:1]:9": "2001:db8::/64", "[fe80::1%eth0]:80": "fe80::/64", "@": "invalid Prefix",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("%s counts as %s, want %s", remote, got, want)
		}
	}
}
