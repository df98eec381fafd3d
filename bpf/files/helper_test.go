// SPDX-License-Identifier: Apache-2.0

package files

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Numbers of descriptors that helpers hold open.
const (
	heldPipes   = 7 // two descriptors each
	heldFiles   = 11
	heldEvents  = 5
	heldServed  = 4
	heldClosed  = 3 // CLOSE_WAIT
	heldWaiting = 2 // in the accept queue
	heldMany    = 700
)

// held keeps open files reachable: the garbage collector would close them.
var held []any

func init() {
	if os.Getenv(helperMode) == "leaderless" {
		runtime.LockOSThread() // so that main is the leader, which exits
	}
}

func runHelper(mode string) {
	switch mode {
	case "kinds":
		holdKinds()
	case "connections":
		holdConnections()
	case "many":
		for range heldMany {
			keep(net.Listen("tcp", "127.0.0.1:0"))
		}
	case "own-netns":
		keep(net.Listen("tcp", "0.0.0.0:8080"))
	case "waited-for":
		holdWaitedFor()
	case "leaderless":
		holdKinds()
		go answer()
		// Not RawSyscall, which would block the only P of a guest.
		_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	}
	answer()
}

// answer reports that everything is open, and waits for the end.
func answer() {
	time.Sleep(50 * time.Millisecond) // until the leader of "leaderless" has exited
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func keep(v any, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
	held = append(held, v)
}

func holdKinds() {
	for range heldPipes {
		var fds [2]int
		keep(nil, unix.Pipe2(fds[:], 0))
	}
	for range heldFiles {
		keep(os.Open("/proc/self/stat"))
	}
	for range heldEvents {
		keep(unix.Eventfd(0, 0))
	}
	keep(net.Listen("unix", fmt.Sprintf("@headroom-files-%d", os.Getpid())))
}

func holdConnections() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	keep(l, err)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		keep(c, err)
		return c
	}
	accept := func() {
		c, err := l.Accept()
		keep(c, err)
	}
	for range heldServed {
		dial()
		accept()
	}
	for range heldClosed {
		c := dial()
		accept()
		keep(nil, c.Close())
	}
	for range heldWaiting {
		dial()
	}
	holdSynSent()
}

// brokerPort is one of those in is_broker.
const brokerPort = 11300

// holdWaitedFor holds sockets of each kind on which clients or messages wait for a
// process, and of the client's end. No other process is in its network namespace.
func holdWaitedFor() {
	lo, err := unix.NewIfreq("lo")
	keep(lo, err)
	lo.SetUint16(unix.IFF_UP)
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	keep(s, err)
	keep(nil, unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo))

	both := func(network, address string) {
		l, err := net.Listen(network, address)
		keep(l, err)
		keep(net.Dial(network, l.Addr().String()))
		keep(l.Accept())
	}
	both("unix", "@headroom-files-waited-for")
	both("tcp", fmt.Sprintf("127.0.0.1:%d", brokerPort))

	keep(net.ListenPacket("udp", "127.0.0.1:5353"))
	keep(net.ListenPacket("udp", "127.0.0.1:0")) // a port that the kernel chose: a client's
	keep(net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5354}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5353}))
}

// holdSynSent connects to a listener whose queue is full, so that the kernel
// drops the first packet.
func holdSynSent() {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	keep(l, err)
	keep(nil, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	keep(nil, unix.Listen(l, 0))
	to, err := unix.Getsockname(l)
	keep(to, err)
	for range 2 { // one fills the queue
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		keep(c, err)
		_ = unix.Connect(c, to) //nolint:errcheck // in progress
		time.Sleep(50 * time.Millisecond)
	}
}
