// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strconv"
)

var errTruncated = errors.New("truncated")

// digits reads a decimal number as far as it goes, and no further than 64
// bits hold.
func digits(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return n
		}
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return math.MaxUint64
		}
		n = n*10 + d
	}
	return n
}

// parseFileNr reads how many files are open and how many may be. The middle
// one has been 0 since Linux 2.6.
//
//	1856	0	9223372036854775807
func parseFileNr(b []byte) (used, limit uint64, err error) {
	f := bytes.Fields(b)
	if len(f) < 3 {
		return 0, 0, fmt.Errorf("file-nr: %w", errTruncated)
	}
	used, free := digits(f[0]), digits(f[1])
	return used - min(free, used), digits(f[2]), nil
}

// parseLimits reads the limits of open files; what is unlimited is 2^64-1.
//
//	Limit                     Soft Limit           Hard Limit           Units
//	Max open files            1024                 1048576              files
func parseLimits(b []byte) (soft, hard uint64, err error) {
	const label = "Max open files"
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(label))
		if !ok {
			continue
		}
		f := bytes.Fields(rest)
		if len(f) < 2 {
			break
		}
		return limit(f[0]), limit(f[1]), nil
	}
	return 0, 0, fmt.Errorf("limits: %w", errTruncated)
}

func limit(b []byte) uint64 {
	if string(b) == "unlimited" {
		return math.MaxUint64
	}
	return digits(b)
}

// stat is what is needed of /proc/PID/stat. Times are in clock ticks.
type stat struct {
	gone  bool // a zombie, or a kernel thread: it holds nothing
	cpu   uint64
	start uint64
}

// Numbers of the fields (man 5 proc_pid_stat).
const (
	fieldState = 3
	fieldFlags = 9
	fieldUTime = 14
	fieldSTime = 15
	fieldStart = 22
)

// flagKernel is PF_KTHREAD (include/linux/sched.h).
const flagKernel = 0x00200000

// parseStat reads one line of fields. The second is the name, which may hold
// anything: it ends at the last parenthesis.
//
//	4242 (node) S 4100 4242 4100 34816 4242 4194304 …
func parseStat(b []byte) (stat, error) {
	var s stat
	end := bytes.LastIndexByte(b, ')')
	if end < 0 || end+2 >= len(b) {
		return s, fmt.Errorf("stat: %w", errTruncated)
	}
	rest := b[end+2:]
	for field := fieldState; field <= fieldStart; field++ {
		word, after, more := bytes.Cut(rest, []byte(" "))
		if !more { // the line has more than twice as many fields
			return stat{}, fmt.Errorf("stat: %w", errTruncated)
		}
		rest = after
		switch field {
		case fieldState:
			s.gone = len(word) == 1 && (word[0] == 'Z' || word[0] == 'X')
		case fieldFlags:
			s.gone = s.gone || digits(word)&flagKernel != 0
		case fieldUTime, fieldSTime:
			s.cpu = sum(s.cpu, digits(word))
		case fieldStart:
			s.start = digits(word)
		}
	}
	return s, nil
}

// sum stops at the largest number instead of starting again from 0.
func sum(a, b uint64) uint64 {
	s, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return s
}

// parseAddress reads an address of a socket table: words of 32 bits in the
// byte order of the host, which is little endian wherever this is built for.
//
//	0100007F:1F90
//	00000000000000000000000001000000:1F90
func parseAddress(b []byte) (netip.AddrPort, error) {
	host, port, ok := bytes.Cut(b, []byte(":"))
	if !ok || len(host) != 8 && len(host) != 32 {
		return netip.AddrPort{}, fmt.Errorf("address: %w", errTruncated)
	}
	var bytes16 [16]byte
	n, err := hex.Decode(bytes16[:], host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address: %w", err)
	}
	for w := 0; w < n; w += 4 {
		bytes16[w], bytes16[w+1], bytes16[w+2], bytes16[w+3] = bytes16[w+3], bytes16[w+2], bytes16[w+1], bytes16[w]
	}
	number, err := strconv.ParseUint(string(port), 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port: %w", err)
	}
	addr, _ := netip.AddrFromSlice(bytes16[:n])
	return netip.AddrPortFrom(addr, uint16(number)), nil
}
