// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A jarReader looks for a class in the jars of a class path.
//
// Considered and rejected: archive/zip, which makes an object of each entry of
// a file that another user chose.
type jarReader struct {
	sight sight
	left  int    // jars that may still be read
	name  []byte // org/acme/Main.class
}

const (
	// maxJars bounds what is read of one class path: Kafka's has 110.
	maxJars = 300
	// maxDirectory bounds the directory of one jar: 100,000 entries.
	maxDirectory = 8 << 20
)

// has reads an entry of a class path: a jar, lib/* or, on a module path, a
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
	names, _ := dir.Readdirnames(maxJars) //nolint:errcheck // an empty folder
	for _, name := range names {
		if strings.HasSuffix(name, ".jar") && r.contains(folder, "/", name) {
			return true
		}
	}
	return false
}

// endSize is that of the record which ends a zip's central directory
// (APPNOTE.TXT, 4.3.16). A comment follows, which jars do not have.
const endSize = 22

// contains looks for the name in the central directory of a jar.
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

// scan looks for a name in a part of a file, piece by piece.
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
