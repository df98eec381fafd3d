// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// endLimit is how long an agent may take to exit: about two seconds, and more on an
// emulated CPU.
const endLimit = 4 * time.Second

// TestGuestNFS runs processes on a hard NFS mount whose server stops: diagnose and
// the agent must observe everything else, name the mount and the fix, and exit on
// time.
func TestGuestNFS(t *testing.T) {
	server := startNFS(t)
	mountpoint := mountNFS(t)
	for range 3 {
		startWorker(t, filepath.Join(mountpoint, workerName), "/")
	}
	startWorker(t, filepath.Join(server.export, workerName), mountpoint)
	server.stop(t)

	file := recording(t)
	r := diagnose(t, "--duration", "4s", "--save", file)
	r.answers(t, []string{blockedLoop, saturated, "memory-growth", "oom-killed", "fd-exhaustion"}, nil)
	namesMount(t, r.Gaps, mountpoint)
	replays(t, file, r)

	a := startAgent(t, "window: 4s\nevery: 2s\n")
	a.await(t, "a window is judged", func() bool { return a.metric(t, "headroom_judgements_total") != "0" })
	_, text := a.get("/api/v1/findings")
	namesMount(t, parse(t, []byte(text)).Gaps, mountpoint)
	if code, body := a.get("/readyz"); code != http.StatusOK {
		t.Errorf("readyz = %d: %s", code, body)
	}
	a.ends(t)
}

// namesMount expects a Gap with the hanging mount, a process and a fix.
func namesMount(t *testing.T, gaps []gap, mountpoint string) {
	t.Helper()
	if !slices.ContainsFunc(gaps, func(g gap) bool {
		return strings.Contains(g.Reason, "the nfs4 file system at "+mountpoint+" does not answer") &&
			strings.Contains(g.Reason, "process "+workerName) && strings.Contains(g.Cure, "umount -f -l "+mountpoint)
	}) {
		t.Errorf("gaps = %+v, want the mount at %s with its fix", gaps, mountpoint)
	}
}

// ends expects that the agent exits with status 0 soon after SIGTERM.
func (a *agent) ends(t *testing.T) {
	t.Helper()
	began := time.Now()
	outside.Must(t, a.cmd.Process.Signal(syscall.SIGTERM))
	kill := time.AfterFunc(agentLimit, func() { _ = a.cmd.Process.Kill() })
	defer kill.Stop()
	err := a.cmd.Wait()
	took := time.Since(began)
	t.Logf("SIGTERM: %.1f s", took.Seconds())
	if err != nil || took > endLimit {
		t.Errorf("after SIGTERM the agent exits with %v in %v, want success within %v:\n%s", err, took, endLimit, &a.log)
	}
}

// workerName is the program that runs from the mount.
const workerName = "worker"

// startWorker starts a program that sleeps, in a directory.
func startWorker(t *testing.T, program, dir string) {
	t.Helper()
	cmd := exec.Command(program, "600")
	cmd.Args[0], cmd.Dir = "sleep", dir // busybox chooses its applet by this name
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(endLimit): // it waits for the server until the mount is gone, which is next
		}
	})
}

// An nfsServer is the NFS server of the kernel, which serves a tmpfs.
type nfsServer struct{ export string }

const (
	nfsdControl = "/proc/fs/nfsd"
	nfsdThreads = nfsdControl + "/threads"
)

// startNFS starts the server for NFS 4 on loopback. It writes the files that
// rpc.nfsd, exportfs and rpc.mountd write (nfsd(7), exportfs(8)).
func startNFS(t *testing.T) nfsServer {
	t.Helper()
	s := nfsServer{export: t.TempDir()}
	mountFor(t, "tmpfs", s.export, "tmpfs", "")
	copyProgram(t, "/bin/busybox", filepath.Join(s.export, workerName))
	mountFor(t, "nfsd", nfsdControl, "nfsd", "")
	// With a delegation, a client opens files without a request to the server.
	setSysctl(t, "fs/leases-enable", "0")

	_ = os.WriteFile(nfsdControl+"/versions", []byte("-2\n"), 0) // newer kernels have no version 2 to disable
	tell(t, nfsdControl+"/versions", "-3\n")
	// The answers of rpc.mountd to the kernel: the name of the client, the root of its
	// exports, and their options.
	const (
		always      = "2147483647"
		insecure    = 0x0002
		async       = 0x0010
		noSubtree   = 0x0400
		hasFSID     = 0x2000
		fsidNumeric = "1"
	)
	tell(t, "/proc/net/rpc/auth.unix.ip/channel", "nfsd 127.0.0.1 "+always+" guest\n")
	tell(t, "/proc/net/rpc/nfsd.export/channel", strings.Join([]string{"guest", s.export, always, strconv.Itoa(insecure | async | noSubtree | hasFSID), "65534", "65534", "0"}, " ")+"\n")
	tell(t, "/proc/net/rpc/nfsd.fh/channel", strings.Join([]string{"guest", fsidNumeric, `\x00000000`, always, s.export}, " ")+"\n")
	// During a grace period after its start a server lets only clients from before the
	// start open files. A server with a record of its clients can end it early; since
	// 7.2 Debian's kernels keep this record only with nfsdcld, and the first open waits
	// for the shortest possible grace period.
	outside.Must(t, os.MkdirAll("/var/lib/nfs/v4recovery", 0o700))
	tell(t, nfsdControl+"/nfsv4gracetime", "10\n")
	tell(t, nfsdControl+"/portlist", "tcp 2049\n")
	tell(t, nfsdThreads, "2\n")
	t.Cleanup(func() { s.stop(t) })
	_ = os.WriteFile(nfsdControl+"/v4_end_grace", []byte("Y\n"), 0)
	return s
}

// stop ends the threads of the server.
func (s nfsServer) stop(t *testing.T) {
	t.Helper()
	threads, err := os.ReadFile(nfsdThreads)
	outside.Must(t, err)
	if strings.TrimSpace(string(threads)) != "0" { // writing 0 to a stopped server would start it
		tell(t, nfsdThreads, "0\n")
	}
}

// mountNFS mounts the export as mount(8) does without options: hard.
func mountNFS(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mountFor(t, "127.0.0.1:/", dir, "nfs4", "vers=4.1,hard,proto=tcp,addr=127.0.0.1,clientaddr=127.0.0.1")
	return dir
}

// mountFor mounts a file system during the test.
func mountFor(t *testing.T, source, dir, kind, options string) {
	t.Helper()
	if err := unix.Mount(source, dir, kind, 0, options); err != nil {
		t.Fatalf("mounting %s at %s: %v", source, dir, err)
	}
	t.Cleanup(func() { outside.Must(t, unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH)) })
}

func tell(t *testing.T, file, text string) {
	t.Helper()
	began := time.Now()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	outside.Must(t, err)
	_, err = io.WriteString(f, text)
	if took := time.Since(began); took > time.Second {
		t.Logf("%s: %.1f s", file, took.Seconds())
	}
	if err != nil {
		t.Fatalf("writing %q to %s: %v", text, file, err)
	}
	outside.Must(t, f.Close())
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	outside.Must(t, err)
	outside.Must(t, os.WriteFile(to, b, 0o755))
}
