// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
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

// standardOutput is the name of a recording that goes to standard output.
const standardOutput = "-"

// A recording is a file that appears complete or not at all, or a stream.
type recording struct {
	path      string
	file      *files.Pending // nil for standard output
	writer    *archive.Writer
	snapshots int
	size      countingWriter
}

// A countingWriter counts what goes through it.
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

// createRecording begins the file that becomes path, or - for stdout. It fails
// before the observation where nothing can be written.
func createRecording(path string, stdout io.Writer, on observe.Host) (*recording, error) {
	r := &recording{path: path}
	if path == standardOutput {
		if _, ok := terminal(stdout); ok {
			return nil, errors.New("writing the recording to standard output: it is a terminal; redirect it, as in headroom record - > host.hr")
		}
		r.path, r.size.to = "standard output", stdout
	} else {
		f, err := files.Create(path)
		if err != nil {
			return nil, fmt.Errorf("creating the recording %s: %w", path, err)
		}
		r.file, r.size.to = f, f
	}
	var err error
	r.writer, err = archive.NewWriter(&r.size, archive.Header{Tool: host.Version(), Host: on, Start: time.Now().UTC(), Names: archive.NamesChecked})
	if err != nil {
		r.discard()
		return nil, fmt.Errorf("writing the recording %s: %w", r.path, err)
	}
	return r, nil
}

func (r *recording) write(s *observe.Snapshot) error {
	r.snapshots++
	if err := r.writer.Write(s); err != nil {
		return fmt.Errorf("writing the recording %s: %w", r.path, err)
	}
	return nil
}

// keep completes the file and gives it its name.
func (r *recording) keep() error {
	err := r.writer.Close()
	if r.file == nil {
		return err
	}
	if err != nil {
		r.discard()
	} else {
		r.giveToInvoker()
		err = r.file.Keep()
	}
	if err != nil {
		return fmt.Errorf("completing the recording %s: %w", r.path, err)
	}
	return nil
}

// giveToInvoker lets the user who ran sudo read the file: it is readable by its
// owner alone. Where that is refused it stays root's.
func (r *recording) giveToInvoker() {
	uid, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	_ = r.file.Chown(int(uid), -1)
}

// discard removes what was not kept.
func (r *recording) discard() {
	if r.file != nil {
		r.file.Discard()
	}
}
