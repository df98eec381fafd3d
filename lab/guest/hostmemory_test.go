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

	"github.com/headroom-project/headroom/lab/outside"
)

// The memory of a whole machine, which only a guest can use up, and page cache
// that fills it or a limit of v2. bpf/kernels gives each guest these disks.
const (
	swapDisk  = "/dev/vda"
	filesDisk = "/dev/vdb" // with a file larger than the memory
)

const (
	memoryGrowth = "memory-growth"
	cacheThrash  = "page-cache-thrash"
)

// memoryQuestions are those that a page cache must not answer with a warning.
var memoryQuestions = []string{saturated, memoryPressure, memoryGrowth, cacheThrash, oomKilled}

// quiet wants no warning about memory.
func (r *report) quiet(t *testing.T) {
	t.Helper()
	for i := range r.Findings {
		f := &r.Findings[i]
		if slices.Contains(memoryQuestions, f.ID) && f.Severity != "info" && f.Cause != "cpu" {
			t.Errorf("%s/%s: %s", f.ID, f.Cause, f.Summary)
		}
	}
}

// TestGuestHostShortOfMemory has a program hold more than there is, and then
// work on all of it, so that pages go to swap and come back all the time.
func TestGuestHostShortOfMemory(t *testing.T) {
	swapOn(t)
	setAside(t)
	total, available := meminfo(t, "MemTotal"), meminfo(t, "MemAvailable")
	size := available + 96*mib
	work := worker(t, size)
	// A guest takes long to start headroom while it thrashes.
	timer := time.AfterFunc(time.Second, func() {
		if err := work(); err != nil {
			t.Error(err)
		}
	})
	defer timer.Stop()
	file := recording(t)
	r := diagnose(t, "--duration", "4s", "--save", file)

	f := r.find(t, saturated, "memory", func(s subject) bool { return s.Kind == "host" })
	if !strings.Contains(f.Summary, fmt.Sprintf("of %.0f MiB are left", float64(total)/mib)) || !strings.Contains(f.Summary, "pages per second are swapped in or out") {
		t.Errorf("summary = %q, want the memory of %.0f MiB and its swap", f.Summary, float64(total)/mib)
	}
	spreads(t, f, total-available+size)
	if f.SymptomOf != nil {
		t.Errorf("the host's memory is a symptom of %s, want it to be the root", f.SymptomOf.ID)
	}
	replays(t, file, r)
}

// spreads wants one more node for what is held, beside headroom itself.
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
		t.Errorf("its programs hold %d MiB, want %d and what headroom takes", said, held/mib)
	}
}

// TestGuestFullOfPageCache reads a large file: fast until it fills the memory,
// and then on.
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

// TestGuestPageCacheFillsLimit has a container of 64 MiB read a large file once:
// its limit is hit all the time, and nobody wants back what goes.
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
		t.Errorf("the scenario does not hold: its limit was hit %d times, and it holds %d MiB", hits, now/mib)
	}
	r.answers(t, []string{memoryPressure, cacheThrash, memoryGrowth, oomKilled}, nil)
	r.quiet(t)
	replays(t, file, r)
}

// TestGuestOOMOfHost has a process of a container without a limit take all that
// there is.
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
		t.Errorf("summary = %q, want %q, and that the host had no more", f.Summary, victim)
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

// meminfo is a line of /proc/meminfo, in bytes.
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

// setAside takes a third of the memory at once, as huge pages that nobody uses:
// there is less to fill, which an emulated CPU is slow at.
func setAside(t *testing.T) {
	t.Helper()
	setSysctl(t, "vm/nr_hugepages", "128")
}

// swapOn gives the guest swap for the time of the test.
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

// workerMode, set to a number of bytes in the environment, has this test binary
// take so much memory, and work on all of it once it is told to.
const workerMode = "HEADROOM_GUEST_WORKER"

// worker starts one, waits until it has its memory, and returns what tells it.
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
	area, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	// To find room for a huge page the kernel swaps out a multiple of it, so that
	// much would be free when the work begins; where there is room it is faster.
	const page = 4096
	last := size / 2 / page * page
	if err := unix.Madvise(area[last:], unix.MADV_NOHUGEPAGE); err != nil {
		return err
	}
	for at := 0; at < size; at += page {
		copy(area[at:], strconv.Itoa(at)) // pages that are all the same take no room in swap
	}
	touch := func() {
		for range 512 {
			area[rand.IntN(size/page)*page]++ //nolint:gosec // any page will do
		}
	}
	if err := untilSwapped(touch); err != nil {
		return err
	}
	if _, err := os.Stdout.Write([]byte{1}); err != nil {
		return err
	}
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		return err
	}
	for {
		touch()
		time.Sleep(5 * time.Millisecond) // its guest has one CPU for all
	}
}

// untilSwapped works until pages go to swap for it: to fill memory the kernel
// swaps out too much at once, and has room for a while.
func untilSwapped(work func()) error {
	const some = 2000 // pages
	first := -1
	for {
		out, err := swappedOut()
		if err != nil {
			return err
		}
		if first < 0 {
			first = out
		}
		if out >= first+some {
			return nil
		}
		work()
	}
}

// swappedOut is how many pages went to swap since boot.
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

// copierMode, set to a number of bytes and a path in the environment, has this
// test binary read the file: so many bytes as fast as it can, and the rest as a
// backup does that leaves the disk to others.
const copierMode = "HEADROOM_GUEST_COPIER"

// copier starts one on the large file, in a cgroup if one is named.
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
		// An emulated CPU takes long to copy what it read.
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

// helper starts this test binary in a mode until the test ends, in a cgroup if
// one is named, and returns its standard input and output.
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
