// SPDX-License-Identifier: Apache-2.0

package hungfs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Operations of include/uapi/linux/fuse.h.
const (
	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opOpen        = 14
	opRead        = 15
	opStatfs      = 17
	opRelease     = 18
	opInit        = 26
	opOpendir     = 27
	opReaddir     = 28
	opReleasedir  = 29
	opInterrupt   = 36
	opBatchForget = 42
)

const (
	rootNode    = 1
	programNode = 2
	directNode  = 3
	// openDirect is FOPEN_DIRECT_IO.
	openDirect = 1
	// protocol is the minor version of the protocol that the structs below implement.
	protocol = 31
	maxWrite = 64 << 10
)

var nodes = map[string]uint64{Program: programNode, direct: directNode}

type inHeader struct {
	Len, Opcode    uint32
	Unique, Nodeid uint64
	UID, GID, PID  uint32
	_              uint32
}

type outHeader struct {
	Len    uint32
	Error  int32
	Unique uint64
}

type initIn struct{ Major, Minor, MaxReadahead, Flags uint32 }

type initOut struct {
	Major, Minor, MaxReadahead, Flags  uint32
	MaxBackground, CongestionThreshold uint16
	MaxWrite, TimeGran                 uint32
	_                                  [9]uint32
}

type attr struct {
	Ino, Size, Blocks uint64
	_                 [3]uint64
	_                 [3]uint32
	Mode, Nlink       uint32
	_                 [5]uint32
}

type attrOut struct {
	_    [2]uint64 // never cached: each access sends a request
	Attr attr
}

type entryOut struct {
	Nodeid uint64
	_      [4]uint64
	Attr   attr
}

type openOut struct {
	_        uint64
	Flags, _ uint32
}

type readIn struct {
	_, Offset uint64
	Size      uint32
}

// A server answers the kernel until it gets the order to swallow its requests.
type server struct {
	fd       int
	program  *os.File
	size     uint64
	swallows atomic.Bool
}

// serve mounts the file system at dir and serves it.
func serve(dir, program string, orders io.Reader) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/fuse: %w", err)
	}
	s := &server{fd: fd}
	if s.program, err = os.Open(program); err != nil {
		return err
	}
	info, err := s.program.Stat()
	if err != nil {
		return err
	}
	s.size = uint64(info.Size())
	options := fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("hungfs", dir, "fuse.hungfs", 0, options); err != nil {
		return fmt.Errorf("mount FUSE at %s: %w", dir, err)
	}
	go s.obey(orders)
	fmt.Println("ready")
	return s.loop()
}

func (s *server) obey(orders io.Reader) {
	for lines := bufio.NewScanner(orders); lines.Scan(); {
		s.swallows.Store(true)
	}
	os.Exit(0) // the test has ended
}

func (s *server) loop() error {
	buf := make([]byte, maxWrite+4096)
	for {
		n, err := unix.Read(s.fd, buf)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) { // an interrupted request
			continue
		}
		if errors.Is(err, unix.ENODEV) { // the connection was aborted
			return nil
		}
		if err != nil {
			return err
		}
		if s.swallows.Load() {
			continue
		}
		if err := s.answer(buf[:n]); err != nil {
			return err
		}
	}
}

func (s *server) answer(request []byte) error {
	var h inHeader
	body := bytes.NewReader(request)
	if err := binary.Read(body, binary.NativeEndian, &h); err != nil {
		return err
	}
	var out any
	var failed unix.Errno
	switch h.Opcode {
	case opForget, opBatchForget, opInterrupt:
		return nil // these need no answer
	case opInit:
		var in initIn
		if err := binary.Read(body, binary.NativeEndian, &in); err != nil {
			return err
		}
		out = initOut{Major: in.Major, Minor: min(in.Minor, protocol), MaxReadahead: in.MaxReadahead, MaxWrite: maxWrite}
	case opGetattr:
		out = attrOut{Attr: s.attr(h.Nodeid)}
	case opLookup:
		name, _ := io.ReadAll(body)
		node, ok := nodes[string(bytes.TrimRight(name, "\x00"))]
		if !ok {
			failed = unix.ENOENT
			break
		}
		out = entryOut{Nodeid: node, Attr: s.attr(node)}
	case opOpen, opOpendir:
		open := openOut{}
		if h.Nodeid == directNode {
			open.Flags = openDirect
		}
		out = open
	case opRead:
		var in readIn
		if err := binary.Read(body, binary.NativeEndian, &in); err != nil {
			return err
		}
		piece := make([]byte, in.Size)
		n, _ := s.program.ReadAt(piece, int64(in.Offset)) // past the end there is nothing to read
		out = piece[:n]
	case opStatfs:
		out = [10]uint64{}
	case opReaddir, opRelease, opReleasedir:
	default:
		failed = unix.ENOSYS
	}
	return s.reply(h.Unique, failed, out)
}

func (s *server) attr(node uint64) attr {
	if node == rootNode {
		return attr{Ino: node, Mode: unix.S_IFDIR | 0o755, Nlink: 1}
	}
	return attr{Ino: node, Mode: unix.S_IFREG | 0o755, Nlink: 1, Size: s.size, Blocks: (s.size + 511) / 512}
}

func (s *server) reply(unique uint64, failed unix.Errno, out any) error {
	var body bytes.Buffer
	if out != nil {
		if err := binary.Write(&body, binary.NativeEndian, out); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	h := outHeader{Unique: unique, Error: -int32(failed)}
	h.Len = uint32(binary.Size(h) + body.Len())
	if err := binary.Write(&b, binary.NativeEndian, h); err != nil {
		return err
	}
	b.Write(body.Bytes())
	if _, err := unix.Write(s.fd, b.Bytes()); err != nil && !errors.Is(err, unix.ENOENT) { // ENOENT: the caller was interrupted
		return err
	}
	return nil
}
