// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/cmd/headroom/internal/diagnosis"
)

var of = observe.Host{Name: "recorded", CPUs: 2}

// burn passes the snapshots of a real recording to see, and returns their number.
func burn(t *testing.T, see func(*observe.Snapshot) error) (snapshots int) {
	t.Helper()
	f, err := os.Open("../../testdata/burn.hr")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	from, err := diagnosis.Replay(f, "burn.hr")
	if err != nil {
		t.Fatal(err)
	}
	err = from.Each(context.Background(), func(s *observe.Snapshot) error {
		snapshots++
		return see(s)
	})
	if err != nil {
		t.Fatal(err)
	}
	return snapshots
}

// read returns the host and the number of snapshots of a recording.
func read(t *testing.T, text []byte) (observe.Host, int) {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		if _, err := r.Next(); err != nil {
			return r.Header().Host, n
		}
		n++
	}
}

// TestKeep checks that the file appears when it is kept, with everything that was
// added, and not before.
func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.hr")
	r, err := Create(path, of)
	if err != nil {
		t.Fatal(err)
	}
	want := burn(t, r.Write)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is kept the file is there (%v)", err)
	}
	if err := r.Keep(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if host, n := read(t, text); host.Name != of.Name || n != want {
		t.Errorf("the file has %d snapshots of %s, want %d of %s", n, host.Name, want, of.Name)
	}
	if r.Name() != path || r.Snapshots() != want || r.Size() != int64(len(text)) {
		t.Errorf("%s: %d snapshots, %d bytes; want %s, %d, %d", r.Name(), r.Snapshots(), r.Size(), path, want, len(text))
	}
}

// TestDiscard checks that the previous file is unchanged, and that no other file
// remains.
func TestDiscard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.hr")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Create(path, of)
	if err != nil {
		t.Fatal(err)
	}
	burn(t, r.Write)
	r.Discard()
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("the older file is %q, %v", text, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside it there are %v, %v", entries, err)
	}
}

// TestStream checks that the output is a recording, and that an error names the stream.
func TestStream(t *testing.T) {
	var out bytes.Buffer
	r, err := Stream(&out, "standard output", of)
	if err != nil {
		t.Fatal(err)
	}
	want := burn(t, r.Write)
	if err := r.Keep(); err != nil {
		t.Fatal(err)
	}
	if _, n := read(t, out.Bytes()); n != want || r.Size() != int64(out.Len()) {
		t.Errorf("the stream has %d snapshots, want %d; its size is %d, want %d", n, want, r.Size(), out.Len())
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close() //nolint:errcheck // nothing was written
	_, err = Stream(full, "standard output", of)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "writing the recording standard output") {
		t.Errorf("to a full device: %v", err)
	}
}

// A shortWriter accepts a limited number of bytes.
type shortWriter struct{ room int }

func (w *shortWriter) Write(b []byte) (int, error) {
	if w.room -= len(b); w.room < 0 {
		return 0, syscall.ENOSPC
	}
	return len(b), nil
}

// TestWatch checks that an error does not end the observation, and that Keep returns
// the first error.
func TestWatch(t *testing.T) {
	w := &shortWriter{room: 4 << 10} // the header fits
	r, err := Stream(w, "x", of)
	if err != nil {
		t.Fatal(err)
	}
	all := burn(t, r.Watch)
	if err := r.Keep(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Keep = %v, want no space", err)
	}
	if r.Snapshots() >= all {
		t.Errorf("after the error it went on: %d of %d snapshots", r.Snapshots(), all)
	}
}

// TestCreateFails checks that an error of Create occurs before the observation, and
// names the file.
func TestCreateFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "x.hr")
	if _, err := Create(path, of); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "creating the recording "+path) {
		t.Errorf("in a missing directory: %v", err)
	}
}

// TestSudo checks that the file belongs to the user who ran sudo.
func TestSudo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away takes root")
	}
	for invoker, want := range map[string]uint32{"1234": 1234, "": 0, "-1": 0, "x": 0} {
		t.Setenv("SUDO_UID", invoker)
		path := filepath.Join(t.TempDir(), "x.hr")
		r, err := Create(path, of)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Keep(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("with SUDO_UID=%q the file is of user %d, want %d", invoker, got, want)
		}
	}
}
