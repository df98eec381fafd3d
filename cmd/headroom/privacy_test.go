// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/internal/testutil/private"
)

// holdsFiles is the environment variable that makes this binary a program that waits
// with nearly as many open files as its limit allows, under any name and with any
// arguments, so that there is a finding about it.
const holdsFiles = "HEADROOM_TEST_HOLDS_FILES"

func holdFiles() {
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: heldFiles, Max: heldFiles}) //nolint:errcheck // no finding then
	for {
		if _, err := syscall.Dup(0); err != nil {
			break
		}
	}
	time.Sleep(10 * time.Minute) // the test kills it
}

// heldFiles is the number of files that such a program opens, and its limit.
const heldFiles = 80

// startPrivate starts the command lines whose marked word must not be shown.
func startPrivate(t *testing.T) {
	t.Helper()
	programs, _ := private.Start(t, holdsFiles+"=1", "GOMAXPROCS=1")
	for _, p := range programs {
		outside.Eventually(t, time.Minute, "the programs hold their files", func() bool {
			files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
			return err != nil || len(files) == 0 || len(files) >= heldFiles // or it has ended
		})
	}
}

// TestPrivateLines runs commands of headroom while command lines with a marked word
// run, and searches for the word in all output, in files, and in memory.
func TestPrivateLines(t *testing.T) {
	startPrivate(t)
	clean := func(what string, text []byte) {
		if at := bytes.Index(text, []byte(private.Marked)); at >= 0 {
			t.Errorf("%s has the marked word: …%q…", what, text[max(0, at-80):min(len(text), at+80)])
		}
	}
	var received sync.Map
	receiver, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) //nolint:errcheck // what arrived is looked at
		clean("OTLP "+r.URL.Path, body)
		received.Store(r.URL.Path, true)
	})}
	go s.Serve(receiver) //nolint:errcheck // it ends by Close
	defer s.Close()      //nolint:errcheck // the test is over

	a := &runningAgent{t: t, dir: t.TempDir()}
	a.write("headroom.yml", "window: 4s\nevery: 2s\notlp: {endpoint: 'http://"+receiver.Addr().String()+"', interval: 2s}\n")
	a.start()
	recording := filepath.Join(t.TempDir(), "x.hr")
	for _, args := range [][]string{
		{"record", "--duration", "3s", recording},
		{"diagnose", "--from", recording},
		{"diagnose", "--from", recording, "-o", "json"},
		{"diagnose", "--from", recording, "-o", "html"},
		{"diagnose", "--from", recording, "-o", "markdown"},
	} {
		out, _ := exec.Command("headroom", args...).CombinedOutput() //nolint:errcheck // findings have a status
		clean("headroom "+strings.Join(args, " "), out)
		if args[0] == "diagnose" && !bytes.Contains(out, []byte("node")) {
			t.Errorf("headroom %v says nothing of the programs:\n%s", args, out)
		}
	}
	clean("the recording", unpacked(t, recording))
	a.await("the programs are findings", func() bool {
		_, body := a.get("http", "/api/v1/findings", "")
		return strings.Contains(body, "fd-exhaustion") && strings.Contains(body, "node")
	})
	a.await("findings and numbers are sent", func() bool {
		_, logs := received.Load("/v1/logs")
		_, metrics := received.Load("/v1/metrics")
		return logs && metrics
	})
	checkEnding(t, a, clean)
}

// checkEnding checks what an agent serves, has in its memory, and leaves in its log and its
// state when it ends.
func checkEnding(t *testing.T, a *runningAgent, clean func(what string, text []byte)) {
	t.Helper()
	for _, path := range []string{"/", "/metrics", "/api/v1/findings", "/api/v1/services", "/api/v1/status"} {
		_, body := a.get("http", path, "")
		clean("GET "+path, []byte(body))
	}
	clean("the agent's memory", memory(t, a.cmd.Process.Pid))
	a.signal(syscall.SIGTERM)
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v, want 0", err)
	}
	clean("the log", []byte(a.log()))
	err := filepath.WalkDir(filepath.Join(a.dir, "state"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			clean(path, unpacked(t, path))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// unpacked returns the content of a file, compressed and decompressed.
func unpacked(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if z, err := zstd.NewReader(bytes.NewReader(b)); err == nil {
		defer z.Close()
		plain, _ := io.ReadAll(z) //nolint:errcheck // no zstd
		b = append(b, plain...)
	}
	return b
}

// memory returns the writable memory of a process, as in a core dump.
func memory(t *testing.T, pid int) []byte {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close() //nolint:errcheck // read only
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close() //nolint:errcheck // read only
	var all []byte
	page := make([]byte, os.Getpagesize())
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		for ; from < to; from += int64(len(page)) {
			if n, err := mem.ReadAt(page, from); err == nil && len(bytes.Trim(page[:n], "\x00")) > 0 {
				all = append(all, page[:n]...)
			}
		}
	}
	if len(all) < 1<<20 {
		t.Fatalf("the memory of %d has %d bytes", pid, len(all))
	}
	return all
}
