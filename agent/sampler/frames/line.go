// SPDX-License-Identifier: Apache-2.0

package frames

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/bpf/tick"
)

const (
	// maxSource is the maximum size of a file in which lines are counted: a bundle.
	maxSource = 16 << 20
	// maxLines is the maximum number of lines remembered of one process.
	maxLines = 1000
	// nameBefore is how far before its parameters a function's name is: const NAME =
	// async function, or a key of an object.
	nameBefore = 256
)

// A place is a position in a file.
type place struct {
	file  string
	start uint32
}

// line returns the line at which a function is defined, 0 if it is not known.
func (r *reader) line(p *process, f tick.Function, file string) int {
	if f.Line != 0 || f.End == 0 {
		return int(f.Line)
	}
	at := place{file, f.Start}
	if n, known := p.lines[at]; known {
		return n
	}
	ask := patience.Call{Source: name, PID: p.pid, File: patience.Root, Lost: "the lines of its functions"}
	root := r.host.Proc + "/" + strconv.Itoa(p.pid) + "/" + patience.Root
	started := p.started
	n, ok := patience.Ask(r.host.Patience, ask, func() int {
		text := readSource(root+file, started)
		return lineOf(text, f)
	})
	if ok && len(p.lines) < maxLines {
		p.lines[at] = n
	}
	return n
}

// readSource reads a file as it was when the process started, since boot: nil if it has
// changed since, so that its lines may be others than those that run.
func readSource(path string, started time.Duration) []byte {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd) //nolint:errcheck // opened with O_PATH, nothing to flush
	var st unix.Stat_t
	var now unix.Timespec
	if unix.Fstat(fd, &st) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return nil
	}
	changed := time.Since(time.Unix(st.Ctim.Unix()))
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxSource || changed < time.Duration(now.Nano())-started {
		return nil
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(io.LimitReader(f, maxSource))
	if err != nil {
		return nil
	}
	return text
}

// lineOf returns the line of a function in its file, 0 if the function is not there.
func lineOf(text []byte, f tick.Function) int {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // node drops a byte order mark
	start, ok := offset(text, f.Start)
	if !ok || !defines(text, start, f) {
		return 0
	}
	return 1 + bytes.Count(text[:start], []byte("\n"))
}

// offset returns the position in bytes of a position in UTF-16 units.
func offset(text []byte, units uint32) (int, bool) {
	at := 0
	for n := uint32(0); n < units; n++ {
		if at >= len(text) {
			return 0, false
		}
		r, size := utf8.DecodeRune(text[at:])
		at += size
		if r >= 0x10000 {
			n++ // a surrogate pair
		}
	}
	return at, at < len(text)
}

// defines reports whether the parameters of a function begin at start, and its name is
// near, if it has one.
func defines(text []byte, start int, f tick.Function) bool {
	first, _ := utf8.DecodeRune(text[start:])
	if first != '(' && first != '_' && first != '$' && !unicode.IsLetter(first) {
		return false
	}
	if f.Name == "" || f.Guessed {
		return true
	}
	words := strings.Fields(f.Name) // get NAME
	short := words[len(words)-1]
	return strings.Contains(string(text[max(0, start-nameBefore):start])+string(first), short)
}
