// SPDX-License-Identifier: Apache-2.0

package place

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func TestParseTrie(t *testing.T) {
	const pod = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.244.1.0
        /24 link UNICAST
     |-- 10.244.1.7
        /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
`
	if a, err := parseTrie(strings.NewReader(pod)); err != nil || a != netip.MustParseAddr("10.244.1.7") {
		t.Errorf("address = %v, %v", a, err)
	}
	if _, err := parseTrie(strings.NewReader("|-- 127.0.0.1\n   /32 host LOCAL\n")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, want none found", err)
	}
}

// TestPlaceOfThisProcess checks that listening sockets are found, with the address that
// reaches them, and that other sockets are not.
func TestPlaceOfThisProcess(t *testing.T) {
	var ports []uint16
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		l, err := net.Listen("tcp4", at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // a test
		ports = append(ports, netip.MustParseAddrPort(l.Addr().String()).Port())
	}
	p, err := Of("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		if a, ok := p.At(port); !ok || a.Addr() != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("port %d is reached at %v, %v", port, a, ok)
		}
	}
	if len(p.Hidden) != 0 {
		t.Errorf("hidden = %v", p.Hidden)
	}
}

// TestOtherNamespace checks how sockets of a container are reached.
func TestOtherNamespace(t *testing.T) {
	var p Place
	local := netip.MustParseAddr("10.244.1.7")
	for _, at := range []string{"[::]:5672", "127.0.0.1:25672", "10.244.1.7:15692"} {
		reach(&p, netip.MustParseAddrPort(at), true, local)
	}
	if a, ok := p.At(5672); !ok || a.Addr() != local || len(p.Listens) != 2 || len(p.Hidden) != 1 || p.Hidden[0] != 25672 {
		t.Errorf("place = %+v", p)
	}
}
