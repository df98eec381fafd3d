// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
)

// A recording is a file that appears complete or not at all.
type recording struct {
	path      string
	temporary *os.File
	writer    *archive.Writer
	snapshots int
}

// createRecording makes the file that becomes path: who cannot write there is
// told before the observation.
func createRecording(path string, on observe.Host) (*recording, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("creating the recording %s: %w", path, err)
	}
	w, err := archive.NewWriter(f, archive.Header{Tool: host.Version(), Host: on, Start: time.Now().UTC()})
	r := &recording{path: path, temporary: f, writer: w}
	if err != nil {
		r.discard()
		return nil, fmt.Errorf("writing the recording %s: %w", path, err)
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

// recordingMode lets a user read what root recorded; it holds names of
// commands and no arguments.
const recordingMode = 0o644

// keep completes the file and gives it its name.
func (r *recording) keep() error {
	for _, step := range []func() error{
		r.writer.Close,
		func() error { return r.temporary.Chmod(recordingMode) },
		r.temporary.Sync,
		r.temporary.Close,
		func() error { return os.Rename(r.temporary.Name(), r.path) },
	} {
		if err := step(); err != nil {
			r.discard()
			return fmt.Errorf("completing the recording %s: %w", r.path, err)
		}
	}
	return nil
}

// discard removes what was not kept. Errors change nothing for the caller,
// who reports why it is not kept.
func (r *recording) discard() {
	_ = r.temporary.Close()
	_ = os.Remove(r.temporary.Name())
}
