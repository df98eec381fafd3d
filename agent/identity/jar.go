// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A jarReader searches for a class in the jars of a class path.
//
// Considered and rejected: archive/zip, which allocates an object for each entry,
// in a file that another user controls.
type jarReader struct {
	sight sight
	left  int    // jars that may still be read
	name  []byte // org/acme/Main.class
}

const (
	// maxJars is the maximum number of jars read of one class path: Kafka's has 110.
	maxJars = 300
	// maxDirectory is the maximum size of the directory of one jar: 100,000 entries.
	maxDirectory = 8 << 20
)

// has searches an entry of a class path: a jar, lib/* or, on a module path, a
// folder with jars.
func (r *jarReader) has(entry string) bool {
	if strings.HasSuffix(entry, ".jar") {
		return r.contains(entry)
	}
	folder := strings.TrimSuffix(entry, "*")
	fd, ok := r.sight.open(unix.O_RDONLY|unix.O_DIRECTORY, folder)
	if !ok {
		return false
	}
	dir := os.NewFile(uintptr(fd), "class path")
	defer dir.Close()                     //nolint:errcheck // read only
	names, _ := dir.Readdirnames(maxJars) //nolint:errcheck // an empty folder if it cannot be read
	for _, name := range names {
		if strings.HasSuffix(name, ".jar") && r.contains(folder, "/", name) {
			return true
		}
	}
	return false
}

// endSize is the size of the record that ends a zip's central directory
// (APPNOTE.TXT, 4.3.16). A comment can follow, but jars have none.
const endSize = 22

// contains searches the central directory of a jar for the name.
func (r *jarReader) contains(parts ...string) bool {
	if r.left--; r.left < 0 {
		return false
	}
	f, ok := r.sight.regular(parts...)
	if !ok {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		return false
	}
	buf := buffers.Get().(*[maxRead]byte)
	defer buffers.Put(buf)
	tail := readAt(f, buf[:], max(0, st.Size()-maxRead))
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || len(tail) < at+endSize {
		return false
	}
	size, offset := binary.LittleEndian.Uint32(tail[at+12:]), binary.LittleEndian.Uint32(tail[at+16:])
	return size <= maxDirectory && scan(f, buf[:], int64(offset), int64(size), r.name)
}

// scan searches a part of a file for a name, in pieces.
func scan(f *os.File, buf []byte, from, size int64, name []byte) bool {
	for end := from + size; from < end; {
		piece := readAt(f, buf[:min(int64(len(buf)), end-from)], from)
		if bytes.Contains(piece, name) {
			return true
		}
		if len(piece) < len(name) || from+int64(len(piece)) >= end {
			return false
		}
		from += int64(len(piece) - len(name) + 1)
	}
	return false
}
