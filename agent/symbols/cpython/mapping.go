// SPDX-License-Identifier: Apache-2.0

package cpython

import (
	"path"
	"strings"

	"github.com/prometheus/procfs"
)

// A Mapping is the file that has CPython in a process: its library, or its executable.
type Mapping struct {
	Start uint64 // the address of the first byte of the file
	Dev   uint64 // with Inode, the file's identity
	Inode uint64
	Path  string
}

// Find returns the mapping of CPython among those of a process.
func Find(maps []*procfs.ProcMap) (m Mapping, ok bool) {
	for _, p := range maps {
		base := path.Base(p.Pathname)
		here := Mapping{Start: uint64(p.StartAddr), Dev: p.Dev, Inode: p.Inode, Path: p.Pathname}
		switch {
		case p.Offset != 0:
		case strings.HasPrefix(base, "libpython3"):
			return here, true
		case strings.HasPrefix(base, "python") && !ok:
			m, ok = here, true
		}
	}
	return m, ok
}

// In returns the layout in a process that has mapped the file there.
func (f File) In(m Mapping) Layout {
	l := f.layout
	if f.relocated {
		base := m.Start - f.first
		l.Interpreter, l.CodeType, l.TextType = l.Interpreter+base, l.CodeType+base, l.TextType+base
	}
	return l
}
