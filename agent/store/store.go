// SPDX-License-Identifier: Apache-2.0

// Package store saves the agent's state on disk, in files of records. Each file is
// written completely under another name and then renamed, so that a crash at any
// moment leaves the old file or the new one. Every record has a checksum: of a file
// that was damaged later, the records before the damage are read.
//
// The directory must be one that other users cannot change: see files.OpenOwn.
//
// It does not interpret the content of records.
package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/files"
)

var (
	// ErrInUse is returned for a directory that another agent uses.
	ErrInUse = errors.New("another agent uses it")
	// ErrDamaged is returned for a file of which a part could not be read.
	ErrDamaged = errors.New("a part of the file is damaged")
	// ErrNewer is returned for a file that a newer version wrote.
	ErrNewer = errors.New("a newer version wrote it")
	// ErrTooLarge is returned for more than MaxFile.
	ErrTooLarge = errors.New("it is larger than a file may be")
)

const (
	// MaxFile is the maximum size of a file. The old file, a new one and one that was
	// set aside can exist at the same time: at most 60 MiB for two files.
	MaxFile = 10 << 20
	// MaxRecord is the maximum size of a record, which is read into memory.
	MaxRecord = 4 << 20
	// lockName is the lock file of the directory.
	lockName = "lock"
	// unfinished is the suffix of a file that is being written.
	unfinished = ".tmp"
)

// A Store is a directory, for one process at a time.
type Store struct {
	dir  *files.Dir
	lock *os.File
}

// Open opens and locks the directory, and creates the last part of its path if that
// is missing. It rejects a directory that other users can change, and a lock file
// that does not belong to this user.
func Open(path string) (*Store, error) {
	dir, err := files.OpenOwn(path)
	if err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	lock, err := dir.Open(lockName, os.O_CREATE|os.O_RDWR)
	if err != nil {
		_ = dir.Close() // nothing was written
		return nil, fmt.Errorf("locking the directory: %w", err)
	}
	s := &Store{dir: dir, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = s.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking the directory: %w", ErrInUse)
		}
		return nil, fmt.Errorf("locking the directory: %w", err)
	}
	s.tidy()
	return s, nil
}

// tidy removes files that a crash left incomplete.
func (s *Store) tidy() {
	names, _ := s.dir.Names() // remaining files are replaced by the next save
	for _, name := range names {
		if strings.HasSuffix(name, unfinished) {
			_ = s.dir.Remove(name)
		}
	}
}

// Close releases the directory for another process.
func (s *Store) Close() error { return errors.Join(s.lock.Close(), s.dir.Close()) }

// magic is the start of every file; the version of its records follows.
const magic = "headroom store\n"

// sums is CRC-32C, as in ext4, Btrfs and Prometheus.
var sums = crc32.MakeTable(crc32.Castagnoli)

// Save writes a file of records. On an error the old file stays.
func (s *Store) Save(name string, version uint32, records func(each func([]byte) error) error) (err error) {
	f, err := s.dir.Create(name + unfinished)
	if err != nil {
		return fmt.Errorf("saving %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()                       // the first error is the relevant one
			_ = s.dir.Remove(name + unfinished) // it takes space that may be what is missing
			err = fmt.Errorf("saving %s: %w", name, err)
		}
	}()
	w := newWriter(f)
	w.begin(version)
	if err := records(w.record); err != nil {
		return err
	}
	if err := w.end(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := s.dir.Rename(name+unfinished, name); err != nil {
		return err
	}
	return s.dir.Sync()
}

// A writer writes records. It keeps the first error.
type writer struct {
	out   *bufio.Writer
	size  int
	count uint32
	err   error
}

func newWriter(f io.Writer) *writer { return &writer{out: bufio.NewWriterSize(f, 64<<10)} }

func (w *writer) write(b []byte) {
	if w.err != nil {
		return
	}
	if w.size += len(b); w.size > MaxFile {
		w.err = fmt.Errorf("%w, %d MiB", ErrTooLarge, MaxFile>>20)
		return
	}
	_, w.err = w.out.Write(b)
}

func (w *writer) begin(version uint32) {
	w.write([]byte(magic))
	w.write(binary.LittleEndian.AppendUint32(nil, version))
}

// record writes length, checksum and text.
func (w *writer) record(text []byte) error {
	if len(text) == 0 || len(text) > MaxRecord {
		return fmt.Errorf("a record of %d bytes", len(text))
	}
	w.write(binary.LittleEndian.AppendUint32(nil, uint32(len(text))))
	w.write(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(text, sums)))
	w.write(text)
	w.count++
	return w.err
}

// end writes a length of 0 and the number of records, so that a file that was
// truncated between two records is detected.
func (w *writer) end() error {
	w.write(binary.LittleEndian.AppendUint32(nil, 0))
	w.write(binary.LittleEndian.AppendUint32(nil, w.count))
	if w.err != nil {
		return w.err
	}
	return w.out.Flush()
}

// Load calls each with the records of a file, in order. For a damaged file it reads
// the records before the damage and returns ErrDamaged. A record for which each
// returns an error counts as damage, and the next one is read. A missing file is
// fs.ErrNotExist. A file that cannot be read is set aside and not overwritten: see
// aside.
func (s *Store) Load(name string, version uint32, each func([]byte) error) error {
	f, err := s.dir.Open(name, os.O_RDONLY)
	if errors.Is(err, files.ErrUnsafe) {
		return errors.Join(fmt.Errorf("reading %s: %w", name, err), s.aside(name))
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // read only
	if err := read(bufio.NewReaderSize(f, 64<<10), version, each); err != nil {
		err = fmt.Errorf("reading %s: %w", name, err)
		if !errors.Is(err, errRecord) {
			return errors.Join(err, s.aside(name))
		}
		return err
	}
	return nil
}

// errRecord is returned for an intact file with a record that was rejected.
var errRecord = fmt.Errorf("%w: a record was refused", ErrDamaged)

func read(r io.Reader, version uint32, each func([]byte) error) error {
	head := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(r, head); err != nil || !strings.HasPrefix(string(head), magic) {
		return fmt.Errorf("%w: it does not begin like one of headroom's", ErrDamaged)
	}
	if v := binary.LittleEndian.Uint32(head[len(magic):]); v > version {
		return fmt.Errorf("%w: its format is %d, this program's %d", ErrNewer, v, version)
	}
	var refused error
	for n := uint32(0); ; n++ {
		text, last, err := next(r)
		if err != nil {
			return fmt.Errorf("%w after %d records: %w", ErrDamaged, n, err)
		}
		if last != nil {
			if *last != n {
				return fmt.Errorf("%w: %d records of %d", ErrDamaged, n, *last)
			}
			return refused
		}
		if err := each(text); err != nil && refused == nil {
			refused = fmt.Errorf("%w: number %d: %w", errRecord, n+1, err)
		}
	}
}

// next reads a record, or the number of records at the end.
func next(r io.Reader) (text []byte, last *uint32, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, err
	}
	length, sum := binary.LittleEndian.Uint32(head[:4]), binary.LittleEndian.Uint32(head[4:])
	if length == 0 {
		return nil, &sum, nil
	}
	if length > MaxRecord {
		return nil, nil, fmt.Errorf("a record of %d bytes", length)
	}
	text = make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, nil, err
	}
	if crc32.Checksum(text, sums) != sum {
		return nil, nil, errors.New("its checksum is another one")
	}
	return text, nil, nil
}

// asideName is the suffix of a file that could not be read.
const asideName = ".unread"

// aside keeps a file that could not be read for later inspection, and replaces an
// earlier one.
func (s *Store) aside(name string) error {
	if err := s.dir.Rename(name, name+asideName); err != nil {
		return fmt.Errorf("putting it aside: %w", err)
	}
	return nil
}
