// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/cmdline"
	"github.com/headroom-project/headroom/agent/patience"
)

// A sight looks up files as one process sees them, from its root and its working
// directory. Its path buffer is reused and cleared: a name that does not exist may
// be a secret.
type sight struct {
	source source
	pid    int
	exe    string // the interpreter
	path   *pathBuffer
}

type pathBuffer struct {
	bytes [unix.PathMax]byte
	n     int
}

// write joins parts to a zero-terminated path. It returns false if the path is too
// long.
func (b *pathBuffer) write(parts ...string) bool {
	b.wipe()
	for _, p := range parts {
		if b.n+len(p) >= len(b.bytes) {
			return false
		}
		b.n += copy(b.bytes[b.n:], p)
	}
	b.bytes[b.n] = 0
	return true
}

func (b *pathBuffer) wipe() {
	clear(b.bytes[:b.n])
	b.n = 0
}

// open opens a path of the process. unix.Open would leave a copy of the path in
// memory.
func (s sight) open(flags uint64, parts ...string) (int, bool) {
	defer s.path.wipe()
	if !s.path.write(parts...) || s.path.n == 0 {
		return 0, false
	}
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC}
	from := "cwd"
	if s.path.bytes[0] == '/' {
		from = "root"
		how.Resolve = unix.RESOLVE_IN_ROOT // links in a container resolve to its own files
	}
	dir, err := unix.Open(s.source.path(s.pid, from), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(dir) //nolint:errcheck // opened with O_PATH
	name := uintptr(unsafe.Pointer(&s.path.bytes[0]))
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT2, uintptr(dir), name, uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
	if errno == unix.ENOSYS || errno == unix.EPERM { // a kernel before 5.6, or a seccomp profile from that time
		fd, _, errno = unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), name, uintptr(how.Flags), 0, 0, 0)
	}
	return int(fd), errno == 0
}

// exists reports whether a path is a file or a link.
func (s sight) exists(parts ...string) bool {
	fd, ok := s.open(unix.O_PATH|unix.O_NOFOLLOW, parts...)
	if !ok {
		return false
	}
	defer unix.Close(fd) //nolint:errcheck // opened with O_PATH
	var st unix.Stat_t
	kind := func() uint32 { return st.Mode & unix.S_IFMT }
	return unix.Fstat(fd, &st) == nil && (kind() == unix.S_IFREG || kind() == unix.S_IFLNK)
}

// regular opens a regular file for reading. Opening other types could block on
// another process.
func (s sight) regular(parts ...string) (*os.File, bool) {
	fd, ok := s.open(unix.O_PATH, parts...)
	if !ok {
		return nil, false
	}
	defer unix.Close(fd) //nolint:errcheck // opened with O_PATH
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, false
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	return f, err == nil
}

// file reports whether a script exists; see [cmdline.Files].
func (s sight) file(arg string, endings []string) bool {
	if len(endings) == 0 {
		return s.exists(arg)
	}
	for _, ending := range endings {
		if s.exists(arg, ending) {
			return true
		}
	}
	return false
}

// module reports whether a Python module exists. It searches the places that Python
// searches: the working directory, the libraries of the interpreter and those of
// the environment that it was called from.
func (s sight) module(name, arg0 string) bool {
	exe := s.exe
	if root, err := os.Readlink(s.source.path(s.pid, "root")); err == nil && root != "/" {
		exe = strings.TrimPrefix(exe, root) // chroot
	}
	version, prefix := path.Base(exe), path.Dir(path.Dir(exe)) // python3.11, /usr
	lib := prefix + "/lib/" + version
	places := [][]string{
		{}, {lib, "/"}, {lib, "/site-packages/"}, {lib, "/dist-packages/"}, {"/usr/local/lib/", version, "/dist-packages/"},
		{prefix, "/lib64/", version, "/"}, {prefix, "/lib64/", version, "/site-packages/"}, {prefix, "/lib/python3/dist-packages/"},
	}
	if strings.HasPrefix(arg0, "/") {
		places = append(places, []string{path.Dir(path.Dir(arg0)), "/lib/", version, "/site-packages/"})
	}
	for _, place := range places {
		for _, ending := range []string{".py", "/__main__.py", "/__init__.py"} {
			if s.exists(append(place, slashed(name, ending)...)...) {
				return true
			}
		}
	}
	return false
}

// npmPackage reports whether a package is installed for the program: beside its
// working directory, or globally for its node.
func (s sight) npmPackage(name string) bool {
	global := path.Dir(path.Dir(s.exe)) + "/lib/node_modules/"
	for _, place := range []string{"node_modules/", "../node_modules/", global, "/usr/local/lib/node_modules/", "/usr/share/nodejs/"} {
		if s.exists(place, name, "/package.json") {
			return true
		}
	}
	return false
}

// slashed converts a dotted name to the parts of a path.
func slashed(name, ending string) []string {
	var parts []string
	for part := range strings.SplitSeq(name, ".") {
		parts = append(parts, part, "/")
	}
	parts[len(parts)-1] = ending
	return parts
}

// class reports whether a Java class exists on a class path.
func (s sight) class(name, classPath string) bool {
	parts := slashed(name, ".class")
	jars := jarReader{sight: s, left: maxJars, name: make([]byte, 0, len(name)+len(".class"))}
	for _, part := range parts {
		jars.name = append(jars.name, part...)
	}
	defer clear(jars.name[:cap(jars.name)])
	for entry := range strings.SplitSeq(classPath, ":") {
		if entry == "" {
			entry = "."
		}
		if s.exists(append([]string{entry, "/"}, parts...)...) || jars.has(entry) {
			return true
		}
	}
	return false
}

var _ cmdline.Files = patient{}

// patient implements cmdline.Files. It waits for file systems as long as patience
// allows.
type patient struct {
	source source
	pid    int
	exe    string
}

// ask returns what look finds out with copies of the arguments, which may have to outlive
// their buffer; the zero value if a file system does not answer in time.
func ask[T any](p patient, lost string, look func(s sight, words []string) T, words ...string) T {
	call := p.source.call(p.pid, patience.Root, lost)
	own := copies.Get().(*copied)
	own.write(words)
	var used atomic.Bool
	found, ok := patience.Ask(p.source.calls, call, func() (none T) {
		if used.Swap(true) {
			return none
		}
		defer copies.Put(own)
		defer own.wipe()
		return look(sight{source: p.source, pid: p.pid, exe: p.exe, path: &own.path}, own.words)
	})
	if !ok && !used.Swap(true) { // the call was not made
		own.wipe()
		copies.Put(own)
	}
	return found
}

// scriptExists is what is not known if a look-up hangs.
const scriptExists = "whether the script that it runs exists"

func (p patient) File(arg string, endings []string) bool {
	return ask(p, scriptExists, func(s sight, words []string) bool { return s.file(words[0], endings) }, arg)
}

func (p patient) Package(name string) bool {
	return ask(p, scriptExists, func(s sight, words []string) bool { return s.npmPackage(words[0]) }, name)
}

func (p patient) Home(arg string, endings []string) cmdline.Home {
	return ask(p, "which package its script is in", func(s sight, words []string) cmdline.Home { return s.home(words[0], endings) }, arg)
}

func (p patient) Module(name, arg0 string) bool {
	return ask(p, scriptExists, func(s sight, words []string) bool { return s.module(words[0], words[1]) }, name, arg0)
}

func (p patient) Class(name, classPath string) bool {
	return ask(p, scriptExists, func(s sight, words []string) bool { return s.class(words[0], words[1]) }, name, classPath)
}

// copied is a buffer for arguments that is reused and cleared.
type copied struct {
	bytes [maxRead]byte
	n     int
	words []string // in bytes
	path  pathBuffer
}

var copies = sync.Pool{New: func() any { return new(copied) }}

func (c *copied) write(words []string) {
	for _, w := range words {
		at := c.bytes[c.n:]
		n := copy(at, w)
		c.words = append(c.words, unsafe.String(unsafe.SliceData(at), n))
		c.n += n
	}
}

func (c *copied) wipe() {
	clear(c.bytes[:c.n])
	c.n, c.words = 0, c.words[:0]
}

// argvOf splits arguments without copying them: the strings refer to the buffer and
// are valid as long as it is.
func argvOf(b []byte) []string {
	var argv []string
	for len(b) > 0 {
		n := 0
		for n < len(b) && b[n] != 0 {
			n++
		}
		argv = append(argv, unsafe.String(unsafe.SliceData(b), n))
		b = b[min(n+1, len(b)):]
	}
	return argv
}

// readAt fills b from an offset on, up to the end of the file.
func readAt(f *os.File, b []byte, at int64) []byte {
	n, err := f.ReadAt(b, at)
	if err != nil && err != io.EOF {
		return nil
	}
	return b[:n]
}
