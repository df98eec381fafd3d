// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// actionTime is how long most actions of a helper take.
const actionTime = 200 * time.Millisecond

// init keeps the helper's loop on the first thread, whose tid is the pid.
func init() {
	if os.Getenv(helperMode) != "" {
		runtime.LockOSThread()
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

func runHelper(mode string) {
	switch mode {
	case "burn":
		for {
			burn(time.Hour)
		}
	case "go-server":
		goServer()
	case "shared":
		shared()
	case "late":
		sleep(actionTime)
		loop(waiter("poll2"))
	default:
		loop(waiter(mode))
	}
}

// waiter returns a function that waits for stdin with the system call that mode names.
func waiter(mode string) func() {
	_, _ = unix.Pread(0, nil, 0)
	switch mode {
	case "epoll":
		fd := epollOn(0)
		return func() { epollWait(fd, -1) }
	case "poll2":
		return func() { poll([]unix.PollFd{{Fd: 0, Events: unix.POLLIN}, {Fd: 1, Events: 0}}, -1) }
	case "poll1":
		return func() { poll([]unix.PollFd{{Fd: 0, Events: unix.POLLIN}}, -1) }
	case "select1", "select2":
		other, err := unix.Eventfd(0, 0)
		must(err)
		return func() {
			var set unix.FdSet
			set.Set(0)
			if mode == "select2" {
				set.Set(other)
			}
			sel(other+1, &set)
		}
	}
	panic("no such mode: " + mode)
}

// loop waits, runs the action that the byte on stdin names, answers, and waits again.
func loop(wait func()) {
	answer(took{})
	for {
		wait()
		var b [1]byte
		n, err := unix.Read(0, b[:])
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		if n == 0 || b[0] == 'q' {
			return
		}
		answer(measure(b[0]))
	}
}

func measure(action byte) took {
	wall, cpu := clock(unix.CLOCK_MONOTONIC), clock(unix.CLOCK_THREAD_CPUTIME_ID)
	act(action)
	return took{clock(unix.CLOCK_MONOTONIC) - wall, clock(unix.CLOCK_THREAD_CPUTIME_ID) - cpu}
}

func act(action byte) {
	switch action {
	case 'c':
		burn(actionTime)
	case 'C':
		burn(4 * time.Second)
	case 's':
		sleep(actionTime)
	case 'S':
		sleep(4 * time.Second)
	case 'm': // a mixture
		burn(actionTime / 4)
		sleep(actionTime / 4)
		burn(actionTime / 4)
		fault(actionTime / 4)
	case 'f':
		fault(actionTime)
	case 'n': // a nested loop on another epfd, as with execSync
		inner := epollOn()
		for range 4 {
			epollWait(inner, int(actionTime/4/time.Millisecond))
		}
		must(unix.Close(inner))
	case 'e': // exec another program
		must(os.Setenv(helperMode, "late"))
		must(unix.Exec("/proc/self/exe", os.Args, os.Environ()))
	case 'r', 'o', 't', 'u', 'w':
		blockOn(action)
	case 'M':
		readMapped()
	case 'p':
		poll([]unix.PollFd{{Fd: 0, Events: 0}}, int(actionTime/time.Millisecond))
	}
}

func answer(t took) {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:], uint64(t.wall))
	binary.NativeEndian.PutUint64(b[8:], uint64(t.cpu))
	_, err := unix.Write(1, b[:])
	must(err)
}

func clock(id int32) time.Duration {
	var ts unix.Timespec
	must(unix.ClockGettime(id, &ts))
	return time.Duration(ts.Nano())
}

// burn uses d of CPU.
func burn(d time.Duration) {
	for end := clock(unix.CLOCK_THREAD_CPUTIME_ID) + d; clock(unix.CLOCK_THREAD_CPUTIME_ID) < end; {
	}
}

func sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&ts, &ts) == unix.EINTR {
	}
}

func epollOn(fds ...int) int {
	ep, err := unix.EpollCreate1(0)
	must(err)
	for _, fd := range fds {
		must(unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
	}
	return ep
}

func epollWait(ep, timeout int) {
	var ev [1]unix.EpollEvent
	for {
		if _, err := unix.EpollWait(ep, ev[:], timeout); err != unix.EINTR {
			must(err)
			return
		}
	}
}

func poll(fds []unix.PollFd, timeout int) {
	for {
		if _, err := unix.Poll(fds, timeout); err != unix.EINTR {
			must(err)
			return
		}
	}
}

func sel(n int, set *unix.FdSet) {
	if _, err := unix.Select(n, set, nil, nil, nil); err != unix.EINTR {
		must(err)
	}
}

// fault sleeps in a page fault. It uses userfaultfd, because no other method takes
// that long without a disk.
func fault(d time.Duration) {
	const (
		api, register, zero = 0xc018aa3f, 0xc020aa00, 0xc020aa04
		apiVersion          = 0xaa
		missing             = 1
	)
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		must(errno)
	}
	size := os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	must(err)
	addr := uint64(uintptr(unsafe.Pointer(&mem[0])))
	ioctl := func(req uintptr, arg *[4]uint64) {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, req, uintptr(unsafe.Pointer(arg))); errno != 0 {
			must(errno)
		}
	}
	ioctl(api, &[4]uint64{apiVersion})
	ioctl(register, &[4]uint64{addr, uint64(size), missing})
	go func() {
		time.Sleep(d)
		ioctl(zero, &[4]uint64{addr, uint64(size)})
	}()
	mem[0] = 1
	must(unix.Munmap(mem))
	must(unix.Close(int(fd)))
}

// blockOn sleeps in a call about a descriptor: read from a pipe, poll of a pipe, read
// from a TCP connection and from a Unix one, write to a full pipe.
func blockOn(action byte) {
	switch action {
	case 't', 'u':
		network, address := "tcp", "127.0.0.1:0"
		if action == 'u' {
			network, address = "unix", "@"+strconv.Itoa(os.Getpid())
		}
		l, err := net.Listen(network, address)
		must(err)
		client, err := net.Dial(network, l.Addr().String())
		must(err)
		server, err := l.Accept()
		must(err)
		f, err := client.(interface{ File() (*os.File, error) }).File()
		must(err)
		must(unix.SetNonblock(int(f.Fd()), false))
		later(func() { _, err := server.Write([]byte{1}); must(err) })
		readByte(int(f.Fd()))
		must(errors.Join(f.Close(), client.Close(), server.Close(), l.Close()))
		return
	}
	var fds [2]int
	must(unix.Pipe2(fds[:], unix.O_CLOEXEC))
	if action == 'w' {
		later(func() {
			for n := 1; n > 0; { // until the pipe is closed
				n, _ = unix.Read(fds[0], make([]byte, 1<<17))
			}
		})
		_, err := unix.Write(fds[1], make([]byte, 1<<17))
		must(err)
	} else {
		later(func() { _, err := unix.Write(fds[1], []byte{1}); must(err) })
		if action == 'o' {
			poll([]unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}, -1)
		}
		readByte(fds[0])
	}
	must(errors.Join(unix.Close(fds[0]), unix.Close(fds[1])))
}

// readMapped faults in pages of a file that was dropped from memory.
func readMapped() {
	f, err := os.CreateTemp("", "headroom-mapped")
	must(err)
	defer f.Close() //nolint:errcheck // it is removed
	must(os.Remove(f.Name()))
	_, err = f.Write(make([]byte, fileSize))
	must(errors.Join(err, f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)))
	must(touch(f))
}

// later calls f on another thread, once this one sleeps.
func later(f func()) {
	go func() {
		time.Sleep(actionTime)
		f()
	}()
}

func readByte(fd int) {
	var b [1]byte
	for {
		if _, err := unix.Read(fd, b[:]); err != unix.EINTR {
			must(err)
			return
		}
	}
}

// shared runs two threads that wait on one epfd, like the workers of an M:N scheduler.
func shared() {
	ep := epollOn()
	var up sync.WaitGroup
	up.Add(1)
	go func() {
		runtime.LockOSThread()
		epollWait(ep, 10)
		up.Done()
		for {
			epollWait(ep, 20)
		}
	}()
	up.Wait()
	epollWait(ep, 10)
	answer(took{})
	for {
		epollWait(ep, 20)
	}
}

// goServer answers HTTP; its port is the first number of its first answer.
func goServer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	answer(took{wall: time.Duration(l.Addr().(*net.TCPAddr).Port)})
	must(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		burn(time.Millisecond)
		fmt.Fprintln(w, "hello")
	})))
}
