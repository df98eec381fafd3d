// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A recording may come from anywhere, so its decompressed size is limited.
const (
	// maxHeader limits the first line, maxLine those of snapshots: a full description
	// of 10,000 processes has 5 MB.
	maxHeader = 64 << 10
	maxLine   = 64 << 20
	// maxBlank limits the empty lines that are skipped.
	maxBlank = 100
	// maxObjects, maxMembers and maxValues limit the memory of a decoded line: a
	// process is one object of ten members, and has fifty values.
	maxObjects = 1 << 20
	maxMembers = 4 << 20
	maxValues  = 16 << 20
	// maxUnpacked limits the decompressed size of a recording: a day of 1,000
	// processes.
	maxUnpacked = 64 << 30
	// maxRatio limits the compression ratio, from ratioFrom bytes on. Recordings have
	// a ratio of 10 to 30.
	maxRatio  = 500
	ratioFrom = 128 << 20
	// maxWindow limits the memory of the decoder; the window of the writer is 1 MiB,
	// that of zstd -19 is 8 MiB.
	maxWindow = 8 << 20
)

// zstdMagic is at the start of every compressed recording (RFC 8878 §3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// lines reads a recording line by line.
type lines struct {
	in       *bufio.Reader
	line     []byte
	unpacked int64
	packed   *counter // nil for a plain recording
}

// A counter counts the bytes read through it.
type counter struct {
	from io.Reader
	n    int64
}

// Read implements io.Reader.
func (c *counter) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.n += int64(n)
	return n, err
}

func newLines(r io.Reader) (*lines, error) {
	packed := &counter{from: r}
	in := bufio.NewReaderSize(packed, 64<<10)
	if magic, err := in.Peek(len(zstdMagic)); err != nil || !bytes.Equal(magic, zstdMagic) {
		return &lines{in: in}, nil
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return &lines{in: bufio.NewReaderSize(z, 64<<10), packed: packed}, nil
}

// next returns the next line of at most limit bytes, or io.EOF. The last line
// may have no line feed.
func (l *lines) next(limit int) ([]byte, error) {
	l.line = l.line[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		l.unpacked += int64(len(part))
		if tooLarge := l.bounded(limit, len(part)); tooLarge != nil {
			return nil, tooLarge
		}
		l.line = append(l.line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.line) > 0:
			return l.line, nil
		case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return nil, fmt.Errorf("%w: unpacking it takes more than %d MiB of memory", ErrTooLarge, maxWindow>>20)
		default:
			return l.line, err
		}
	}
}

// bounded returns an error if more bytes exceed the limits.
func (l *lines) bounded(limit, more int) error {
	switch {
	case len(l.line)+more > limit:
		return fmt.Errorf("%w: a line has more than %d KiB", ErrTooLarge, limit>>10)
	case l.unpacked > maxUnpacked:
		return fmt.Errorf("%w: it unpacks to more than %d GiB", ErrTooLarge, maxUnpacked>>30)
	case l.packed != nil && l.unpacked > ratioFrom && l.unpacked > maxRatio*l.packed.n:
		return fmt.Errorf("%w: it unpacks to more than %d times its size", ErrTooLarge, maxRatio)
	}
	return nil
}

// endsEarly reports whether the end of a line is missing.
func endsEarly(line []byte, err error) bool {
	var syntax *json.SyntaxError
	return !bytes.HasSuffix(line, []byte("\n")) || errors.As(err, &syntax) && syntax.Offset >= int64(len(bytes.TrimSpace(line)))
}

// checkSize returns an error for a line that becomes too large in memory. It counts
// characters, including those in texts, which have few of them.
func checkSize(line []byte) error {
	for _, c := range []struct {
		of   string
		most int
		what string
	}{{"{", maxObjects, "objects"}, {":", maxMembers, "members"}, {",", maxValues, "values"}} {
		if bytes.Count(line, []byte(c.of)) > c.most {
			return fmt.Errorf("%w: a line has more than %d %s", ErrTooLarge, c.most, c.what)
		}
	}
	return nil
}
