// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"math"
	"strings"
	"testing"
)

func TestParseSockets(t *testing.T) {
	tcp := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 124 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 125 1 0000000000000000 20 4 30 10 -1
`
	unix := `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 200 /run/a b.sock
0000000000000000: 00000003 00000000 00000000 0001 03 201
0000000000000000: 00000002 00000000 00010000 0001 01 202
`
	inodes := make(map[uint64]listener)
	if err := parseTCP(strings.NewReader(tcp), inodes); err != nil {
		t.Error(err)
	}
	if err := parseUnix(strings.NewReader(unix), inodes); err != nil {
		t.Error(err)
	}
	for _, inode := range []uint64{123, 124, 200, 202} {
		if _, ok := inodes[inode]; !ok {
			t.Errorf("socket %d was not found", inode)
		}
	}
	if len(inodes) != 4 {
		t.Errorf("sockets = %v, want 4", inodes)
	}
}

func TestParseFileNr(t *testing.T) {
	for text, want := range map[string][2]uint64{
		"1856\t0\t9223372036854775807\n":              {1856, 9223372036854775807},
		"1856\t16\t18446744073709551615\n":            {1840, math.MaxUint64},
		"99999999999999999999 0 99999999999999999999": {math.MaxUint64, math.MaxUint64},
	} {
		used, limit, err := parseFileNr([]byte(text))
		if err != nil || used != want[0] || limit != want[1] {
			t.Errorf("%q = %d, %d, %v, want %v", text, used, limit, err, want)
		}
	}
	if _, _, err := parseFileNr([]byte("1856 0")); err == nil {
		t.Error("a line that is cut gave no error")
	}
}

func TestParseLimits(t *testing.T) {
	const head = "Limit                     Soft Limit           Hard Limit           Units     \n"
	for text, want := range map[string][2]uint64{
		head + "Max open files            1024                 1048576              files     \n": {1024, 1048576},
		head + "Max open files            unlimited            unlimited            files     \n": {math.MaxUint64, math.MaxUint64},
		head + "Max open files            99999999999999999999 99999999999999999999 files     \n": {math.MaxUint64, math.MaxUint64},
	} {
		soft, hard, err := parseLimits([]byte(text))
		if err != nil || soft != want[0] || hard != want[1] {
			t.Errorf("%q = %d, %d, %v, want %v", text, soft, hard, err, want)
		}
	}
	for _, text := range []string{"", head, "Max open files 1024", "Max open fil"} {
		if _, _, err := parseLimits([]byte(text)); err == nil {
			t.Errorf("%q gave no error", text)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1F90":                         "127.0.0.1:8080",
		"00000000:0050":                         "0.0.0.0:80",
		"00000000000000000000000001000000:1F90": "[::1]:8080",
		"B80D0120000000000000000001000000:0016": "[2001:db8::1]:22",
	} {
		if got, err := parseAddress([]byte(text)); err != nil || got.String() != want {
			t.Errorf("%s = %v %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":", "0100007F", "0100007F:10000", "0100007:1F90", "x100007F:1F90"} {
		if got, err := parseAddress([]byte(text)); err == nil {
			t.Errorf("%q gave %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("1856\t0\t9223372036854775807\n"))
	f.Add([]byte("Max open files 1024 unlimited files\n"))
	f.Add([]byte("0100007F:1F90"))
	f.Add([]byte("sl\n 0: 0100007F:1F90 00000000:0000 0A 0:3 0 0 0 0 123 1\n"))
	f.Add(append([]byte{2, tcpListen}, make([]byte, diagMessageSize)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = parseLimits(b)                                               //nolint:errcheck // must not panic
		_ = parseTCP(strings.NewReader(string(b)), make(map[uint64]listener))  //nolint:errcheck // must not panic
		_ = parseUnix(strings.NewReader(string(b)), make(map[uint64]listener)) //nolint:errcheck // must not panic
		if a, err := parseAddress(b); err == nil && !a.IsValid() {
			t.Errorf("%q is the address %v", b, a)
		}
		_, _, _ = parseListener(b) // must not panic
		_, _, _ = parseFileNr(b)   //nolint:errcheck // must not panic
	})
}
