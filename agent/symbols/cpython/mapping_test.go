// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"testing"

	"github.com/prometheus/procfs"
)

// TestFind checks that the library is preferred to the executable that loads it.
func TestFind(t *testing.T) {
	executable := []*procfs.ProcMap{{StartAddr: 0x55d0, Inode: 7, Pathname: "/usr/bin/python3.12"}, {StartAddr: 0x55d1, Offset: 0x1000, Inode: 7, Pathname: "/usr/bin/python3.12"}}
	library := []*procfs.ProcMap{{StartAddr: 0x7f00}, {StartAddr: 0x7f10, Inode: 9, Pathname: "/opt/a b/libpython3.12.so.1.0"}}
	for _, tt := range []struct {
		maps []*procfs.ProcMap
		want Mapping
		ok   bool
	}{
		{executable, Mapping{0x55d0, 0, 7, "/usr/bin/python3.12"}, true},
		{append(executable, library...), Mapping{0x7f10, 0, 9, "/opt/a b/libpython3.12.so.1.0"}, true},
		{[]*procfs.ProcMap{{Inode: 7, Pathname: "/usr/bin/node"}}, Mapping{}, false},
	} {
		if got, ok := Find(tt.maps); got != tt.want || ok != tt.ok {
			t.Errorf("Find = %+v, %v; want %+v, %v", got, ok, tt.want, tt.ok)
		}
	}
}

// TestIn checks that only files that are loaded elsewhere are moved.
func TestIn(t *testing.T) {
	f := File{layout: Layout{Interpreter: 0x400100, CodeType: 0x400200, TextType: 0x400300}, first: 0x400000}
	if got := f.In(Mapping{Start: 0x400000}); got != f.layout {
		t.Errorf("an executable with fixed addresses = %+v", got)
	}
	f.relocated, f.first = true, 0
	if got := f.In(Mapping{Start: 0x7f0000000000}); got.CodeType != 0x7f0000400200 {
		t.Errorf("the type of code = %#x", got.CodeType)
	}
}
