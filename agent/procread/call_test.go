// SPDX-License-Identifier: Apache-2.0

package procread

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

func TestReadCall(t *testing.T) {
	for text, want := range map[string][]uint64{
		"0 0x5 0x7f0000001000 0x400 0xffffffffffffffff 0x0 0x8 0x7ffe00001000 0x7f1200001000\n": {5, 0x7f0000001000, 0x400, 0xffffffffffffffff, 0, 8},
		"running\n":                          nil,
		"-1 0x7ffe00001000 0x7f1200001000\n": nil,
		"0 0x5\n":                            nil,
		"":                                   nil,
	} {
		path := filepath.Join(t.TempDir(), "syscall")
		outside.Must(t, os.WriteFile(path, []byte(text), 0o600))
		c, ok := ReadCall(path)
		if ok != (want != nil) || !slices.Equal(c.Args, want) {
			t.Errorf("%q: %+v %t, want %v", text, c, ok, want)
		}
	}
	if _, ok := ReadCall("/proc/1/no such file"); ok {
		t.Error("read a call from no file")
	}
}

func TestEpollTargets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "7")
	outside.Must(t, os.WriteFile(path, []byte("pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t1057\n"+
		"tfd:        4 events:       19 data:     7ffe00  pos:0 ino:3e1 sdev:e\n"+
		"tfd:       11 events:     2019 data:     7ffe08  pos:0 ino:1c sdev:9\n"), 0o600))
	if got := EpollTargets(path); !slices.Equal(got, []int{4, 11}) {
		t.Errorf("targets %v, want 4 and 11", got)
	}
}
