// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
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

// Tests that use up the memory of a whole machine, which is only possible in a guest,
// and tests with page cache that fills the memory or a v2 limit. bpf/kernels gives
// each guest these disks.
const (
	swapDisk  = "/dev/vda"
	filesDisk = "/dev/vdb" // with a file larger than the memory
)

const (
	memoryGrowth = "memory-growth"
	cacheThrash  = "page-cache-thrash"
)

// memoryAnalyzers are the analyzers that must not warn because of page cache.
var memoryAnalyzers = []string{saturated, memoryPressure, memoryGrowth, cacheThrash, oomKilled}

// quiet checks that there is no warning about memory.
func (r *report) quiet(t *testing.T) {
	t.Helper()
	for i := range r.Findings {
		f := &r.Findings[i]
		if slices.Contains(memoryAnalyzers, f.ID) && f.Severity != "info" && f.Cause != "cpu" {
			t.Errorf("%s/%s: %s", f.ID, f.Cause, f.Summary)
		}
	}
}

// TestGuestHostShortOfMemory runs a program that allocates more memory than there is,
// and then accesses all of it, so that pages are swapped out and in all the time.
func TestGuestHostShortOfMemory(t *testing.T) {
	swapOn(t)
	setAside(t)
	total, available := meminfo(t, "MemTotal"), meminfo(t, "MemAvailable")
	size := available + 96*mib
	work := worker(t, size)
	file := recording(t)
	// headroom takes long to start while the guest thrashes.
	r := diagnoseBeside(t, func() {
		if err := work(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * seenFor)
	}, "--save", file)

	f := r.find(t, saturated, "memory", func(s subject) bool { return s.Kind == "host" })
	if !strings.Contains(f.Summary, fmt.Sprintf("of %.0f MiB are left", float64(total)/mib)) || !strings.Contains(f.Summary, "pages per second are swapped in or out") {
		t.Errorf("summary = %q, want the memory of %.0f MiB and its swap", f.Summary, float64(total)/mib)
	}
	spreads(t, f, total-available+size)
	if f.SymptomOf != nil {
		t.Errorf("the host's memory is a symptom of %s, want it as the cause", f.SymptomOf.ID)
	}
	replays(t, file, r)
}

// spreads expects a recommendation of one more node for the memory of the programs.
func spreads(t *testing.T, f *finding, held int) {
	t.Helper()
	if len(f.Recommendations) == 0 {
		t.Fatal("no recommendation")
	}
	rec := f.Recommendations[0]
	if rec.Verb != "add-nodes" || rec.Quantity == nil || *rec.Quantity != 1 {
		t.Errorf("recommendation = %+v, want one more node", rec)
	}
	_, amount, _ := strings.Cut(rec.Action, "spread over them the ")
	said := 0
	if _, err := fmt.Sscanf(amount, "%d MiB that its programs hold", &said); err != nil {
		t.Fatalf("action = %q: %v", rec.Action, err)
	}
	if least, most := held*9/10/mib, held*6/5/mib; said < least || said > most {
		t.Errorf("its programs use %d MiB, want %d plus the memory of headroom", said, held/mib)
	}
}

// TestGuestFullOfPageCache reads a large file: fast until the page cache fills the
// memory, and then slowly.
func TestGuestFullOfPageCache(t *testing.T) {
	setAside(t)
	little := meminfo(t, "MemTotal") / 5
	copier(t, "", meminfo(t, "MemFree"))
	outside.Eventually(t, startLimit, "page cache fills the memory", func() bool { return meminfo(t, "MemFree") < little })
	file := recording(t)
	r := diagnose(t, "--duration", "4s", "--save", file)
	if now := meminfo(t, "MemFree"); now >= little {
		t.Errorf("the scenario does not hold: %d MiB are free", now/mib)
	}
	r.answers(t, []string{saturated, cacheThrash, memoryGrowth}, nil)
	r.quiet(t)
	replays(t, file, r)
}

// TestGuestPageCacheFillsLimit reads a large file once in a container with 64 MiB:
// the limit is reached all the time, but the evicted pages are not needed again.
func TestGuestPageCacheFillsLimit(t *testing.T) {
	cgroup := makeContainer(t, podUID, containerID)
	const limit = 64 * mib
	set(t, cgroup, "memory.max", strconv.Itoa(limit))
	copier(t, cgroup, limit)
	outside.Eventually(t, startLimit, "page cache fills the container", func() bool { return events(t, cgroup, "max") > 0 })
	before := events(t, cgroup, "max")
	file := recording(t)
	r := diagnose(t, "--duration", "5s", "--save", file)
	if hits, now := events(t, cgroup, "max")-before, usage(t, cgroup); hits < 100 || now < limit*9/10 {
		t.Errorf("the scenario does not hold: its limit was reached %d times, and it uses %d MiB", hits, now/mib)
	}
	r.answers(t, []string{memoryPressure, cacheThrash, memoryGrowth, oomKilled}, nil)
	r.quiet(t)
	replays(t, file, r)
}

// TestGuestOOMOfHost runs a process in a container without a limit that allocates all
// memory.
func TestGuestOOMOfHost(t *testing.T) {
	c := oomCase{name: "no limit", cgroup: makeContainer(t, podUID, containerID)}
	total := meminfo(t, "MemTotal")
	eater, food, err := c.start()
	outside.Must(t, err)
	t.Cleanup(func() { _ = eater.Process.Kill() })
	var ended error
	file := recording(t)
	r := diagnoseBeside(t, func() {
		_, err := food.Write([]byte{1})
		ended = errorOf(err, eater.Wait())
	}, "--save", file)
	if !killed(eater) {
		t.Fatalf("the scenario does not hold: the eater ended with %v", ended)
	}

	f := r.find(t, oomKilled, "host", ourContainer)
	victim, more := fmt.Sprintf("(pid %d)", eater.Process.Pid), ": host "
	if !strings.Contains(f.Summary, victim) || !strings.Contains(f.Summary, more) || !strings.HasSuffix(f.Summary, " had no memory left") {
		t.Errorf("summary = %q, want %q, and that the host had no memory left", f.Summary, victim)
	}
	held := 0
	for _, rec := range f.Recommendations {
		if rec.Verb == "add-memory" && rec.Quantity != nil && rec.Unit == "bytes" {
			held = int(*rec.Quantity)
		}
	}
	if held < total/2 || held > 2*total {
		t.Errorf("recommendations = %+v, want about the %d MiB that the victim took", f.Recommendations, total/mib)
	}
	replays(t, file, r)
}

func errorOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// meminfo returns the value of a line of /proc/meminfo, in bytes.
//
//	MemAvailable:     612345 kB
func meminfo(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	outside.Must(t, err)
	_, rest, _ := strings.Cut(string(text), name+":")
	kb := 0
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return kb << 10
}

// setAside reserves a third of the memory at once, as unused huge pages, so that
// there is less to fill, which is slow on an emulated CPU.
func setAside(t *testing.T) {
	t.Helper()
	setSysctl(t, "vm/nr_hugepages", "128")
}

// swapOn enables swap during the test.
func swapOn(t *testing.T) {
	t.Helper()
	run(t, exec.Command("/bin/mkswap", swapDisk))
	run(t, exec.Command("/bin/swapon", swapDisk))
	t.Cleanup(func() { run(t, exec.Command("/bin/swapoff", swapDisk)) })
}

// mountFiles returns the path of a file that is larger than the memory.
func mountFiles(t *testing.T) string {
	t.Helper()
	const dir = "/tmp/files"
	outside.Must(t, os.MkdirAll(dir, 0o755))
	outside.Must(t, unix.Mount(filesDisk, dir, "ext4", unix.MS_RDONLY, ""))
	t.Cleanup(func() { outside.Must(t, unix.Unmount(dir, 0)) })
	return filepath.Join(dir, "large")
}

// workerMode, set to a number of bytes in the environment, makes this test binary
// allocate that much memory, and access all of it when it gets a byte on stdin. It
// pauses for half of the time that it works: a guest has one CPU and one disk, and
// headroom needs both to read its own pages back from disk.
const workerMode = "HEADROOM_GUEST_WORKER"

// worker starts a worker, waits until it has its memory, and returns a function that starts its work.
func worker(t *testing.T, size int) (work func() error) {
	t.Helper()
	in, out := helper(t, "", workerMode, strconv.Itoa(size))
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatalf("the scenario does not hold: the worker ended: %v", err)
	}
	return func() error {
		_, err := in.Write([]byte{1})
		return err
	}
}

func workOnMemory(bytes string) error {
	size, err := strconv.Atoi(bytes)
	if err != nil {
		return err
	}
	area, err := unix.Mmap(-1, 0, size+mostMore, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return err
	}
	// No huge pages: to get a free one the kernel swaps out several times its size, so
	// that much memory would be free when the work begins.
	const page = 4096
	last := size / 2 / page * page
	if err := unix.Madvise(area[last:], unix.MADV_NOHUGEPAGE); err != nil {
		return err
	}
	used := 0
	use := func(more int) {
		for end := used + more; used < end; used += page {
			copy(area[used:], strconv.Itoa(used)) // identical pages need no space in swap
		}
	}
	touch := func() {
		for range 64 {
			area[rand.IntN(used/page)*page]++ //nolint:gosec // a random page, not a secret
		}
	}
	use(size)
	if err := untilSwapped(touch, use); err != nil {
		return err
	}
	if _, err := os.Stdout.Write([]byte{1}); err != nil {
		return err
	}
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		return err
	}
	for {
		start := time.Now()
		touch()
		time.Sleep(time.Since(start) / 2)
	}
}

// mostMore limits what a worker allocates in addition, if the memory that it was told to
// use leaves nothing to swap out.
const mostMore = 96 * mib

// untilSwapped works until this causes pages to be swapped out: after memory was
// filled, some is free for a while because the kernel swaps out too much at once. If
// nothing is swapped out within a few seconds, it uses more memory.
func untilSwapped(work func(), use func(more int)) error {
	const (
		some     = 2000 // pages
		patience = 5 * time.Second
		step     = mostMore / 6
	)
	first, err := swappedOut()
	if err != nil {
		return err
	}
	more, grows := 0, time.Now().Add(patience)
	for {
		out, err := swappedOut()
		if err != nil {
			return err
		}
		if out >= first+some {
			return nil
		}
		if time.Now().After(grows) {
			if more == mostMore {
				return fmt.Errorf("with %d MiB more than was free, only %d pages were swapped out", mostMore/mib, out-first)
			}
			use(step)
			more, grows = more+step, time.Now().Add(patience)
		}
		work()
	}
}

// swappedOut returns how many pages were swapped out since boot.
//
//	pswpout 30035
func swappedOut() (n int, err error) {
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\npswpout ")
	_, err = fmt.Sscan(rest, &n)
	return n, err
}

// copierMode, set to a number of bytes and a path in the environment, makes this test
// binary read the file: that many bytes at full speed, and the rest slowly, like a
// backup with limited bandwidth.
const copierMode = "HEADROOM_GUEST_COPIER"

// copier starts a copier of the large file, in a cgroup if cgroup is not empty.
func copier(t *testing.T, cgroup string, fast int) {
	t.Helper()
	helper(t, cgroup, copierMode, fmt.Sprint(fast, " ", mountFiles(t)))
}

func copyFile(what string) error {
	var fast int64
	var path string
	if _, err := fmt.Sscan(what, &fast, &path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := int64(0); at < fast; at += mib {
		// Read ahead: an emulated CPU is slow at copying data.
		if err := unix.Fadvise(int(f.Fd()), at, mib, unix.FADV_WILLNEED); err != nil {
			return err
		}
	}
	if _, err := f.Seek(fast, io.SeekStart); err != nil {
		return err
	}
	const rate = 20 // MiB a second
	for buf := make([]byte, mib); err == nil; time.Sleep(time.Second / rate) {
		_, err = f.Read(buf)
	}
	return err
}

// helper starts this test binary in a mode, in a cgroup if cgroup is not empty, and
// returns its standard input and output. The process ends with the test.
func helper(t *testing.T, cgroup, mode, value string) (io.Writer, io.Reader) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), mode+"="+value)
	cmd.Stderr = &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if cgroup != "" {
		dir, err := os.Open(cgroup)
		outside.Must(t, err)
		defer dir.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	in, err := cmd.StdinPipe()
	outside.Must(t, err)
	out, err := cmd.StdoutPipe()
	outside.Must(t, err)
	outside.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); !killed(cmd) {
			t.Errorf("the scenario does not hold: %s ended with %v\n%s", mode, err, &errs)
		}
	})
	return in, out
}
