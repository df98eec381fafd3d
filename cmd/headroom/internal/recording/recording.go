// SPDX-License-Identifier: Apache-2.0

// Package recording writes the snapshots of an observation to a stream, or to a
// file that is created completely or not at all.
package recording

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/files"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// A Recording is open until Keep or Discard.
type Recording struct {
	name      string
	file      *files.Pending // nil for a stream
	writer    *archive.Writer
	snapshots int
	size      countingWriter
	failed    error // first error of Watch
}

// A countingWriter counts the bytes written to it.
type countingWriter struct {
	to io.Writer
	n  int64
}

// Write implements io.Writer.
func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

// Create starts a recording to the file path. It fails before the observation if
// the file cannot be written.
func Create(path string, of observe.Host) (*Recording, error) {
	f, err := files.Create(path)
	if err != nil {
		return nil, fmt.Errorf("creating the recording %s: %w", path, err)
	}
	return begin(&Recording{name: path, file: f, size: countingWriter{to: f}}, of)
}

// Stream starts a recording to w; name is for messages.
func Stream(w io.Writer, name string, of observe.Host) (*Recording, error) {
	return begin(&Recording{name: name, size: countingWriter{to: w}}, of)
}

func begin(r *Recording, of observe.Host) (*Recording, error) {
	var err error
	r.writer, err = archive.NewWriter(&r.size, archive.Header{Tool: host.Version(), Host: of, Start: time.Now().UTC(), Names: archive.NamesChecked})
	if err != nil {
		r.Discard()
		return nil, fmt.Errorf("writing the recording %s: %w", r.name, err)
	}
	return r, nil
}

// Write adds a snapshot.
func (r *Recording) Write(s *observe.Snapshot) error {
	r.snapshots++
	if err := r.writer.Write(s); err != nil {
		return fmt.Errorf("writing the recording %s: %w", r.name, err)
	}
	return nil
}

// Watch adds a snapshot without returning an error, so that a failed recording does
// not end the observation. After the first error it writes nothing, and Keep
// returns that error.
func (r *Recording) Watch(s *observe.Snapshot) error {
	if r.failed == nil {
		r.failed = r.Write(s)
	}
	return nil
}

// Keep completes the file and renames it to its path. After an error there is no
// file.
func (r *Recording) Keep() error {
	if r.failed != nil {
		r.Discard()
		return r.failed
	}
	err := r.writer.Close()
	switch {
	case err != nil:
		r.Discard()
	case r.file != nil:
		r.giveToInvoker()
		err = r.file.Keep()
	}
	if err != nil {
		return fmt.Errorf("completing the recording %s: %w", r.name, err)
	}
	return nil
}

// giveToInvoker makes the user who ran sudo the owner of the file, which only its
// owner can read. If that fails, root stays the owner.
func (r *Recording) giveToInvoker() {
	uid, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	_ = r.file.Chown(int(uid), -1)
}

// Discard removes a file that was not kept.
func (r *Recording) Discard() {
	if r.file != nil {
		r.file.Discard()
	}
}

// Name returns the path of the file, or the name of the stream.
func (r *Recording) Name() string { return r.name }

// Snapshots returns the number of snapshots added.
func (r *Recording) Snapshots() int { return r.snapshots }

// Size returns the number of bytes written.
func (r *Recording) Size() int64 { return r.size.n }
