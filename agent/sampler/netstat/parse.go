// SPDX-License-Identifier: Apache-2.0

package netstat

import (
	"bytes"
	"errors"
	"strconv"
)

var errTruncated = errors.New("truncated")

// counter returns one number of a table with two lines for each protocol. It ignores
// negative numbers and those that do not parse: MaxConn can be -1. procfs takes 1.3
// times as long, and makes 260 allocations instead of 10 (BenchmarkProcfs).
//
//	Tcp: RtoAlgorithm RtoMin … OutSegs RetransSegs InErrs
//	Tcp: 1 200 … 8219 12 0
func counter(b []byte, protocol, name string) (uint64, bool) {
	names, b, ok := lineOf(b, protocol)
	if !ok {
		return 0, false
	}
	values, _, ok := lineOf(b, protocol)
	if !ok {
		return 0, false
	}
	for {
		var n, v []byte
		n, names = word(names)
		v, values = word(values)
		if len(n) == 0 || len(v) == 0 {
			return 0, false
		}
		if string(n) == name {
			if number, err := strconv.ParseUint(string(v), 10, 64); err == nil {
				return number, true
			}
			return 0, false
		}
	}
}

// lineOf returns the rest of the first line that starts with "protocol:",
// and the lines after it.
func lineOf(b []byte, protocol string) (line, rest []byte, ok bool) {
	for len(b) > 0 {
		line, b, _ = bytes.Cut(b, []byte("\n"))
		if key, values, found := bytes.Cut(line, []byte(":")); found && string(key) == protocol {
			return values, b, true
		}
	}
	return nil, nil, false
}

// word splits off the first word of a line.
func word(line []byte) (first, rest []byte) {
	line = bytes.TrimLeft(line, " ")
	if end := bytes.IndexByte(line, ' '); end >= 0 {
		return line[:end], line[end:]
	}
	return line, nil
}

// cpuPackets is one CPU's line of softnet_stat.
type cpuPackets struct {
	cpu                          int
	processed, dropped, squeezed uint32
}

// columnCPU has the number of the CPU since Linux 5.10 (7d58e6555870). On older
// kernels the position of the line is used, and an offline CPU shifts the lines
// after it.
const columnCPU = 12

// parseSoftnet yields the line of each CPU. Numbers are hexadecimal, 32 bits wide,
// and wrap around to 0 (softnet_seq_show in net/core/net-procfs.c). procfs opens
// the file each time: with reading it takes 5 times as long, and makes 23
// allocations instead of none (BenchmarkProcfsSoftnet).
//
//	00006dcb 00000000 00000002 00000000 … 00000000 00000001
func parseSoftnet(b []byte, yield func(cpuPackets)) error {
	for number := 0; len(b) > 0; number++ {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		c := cpuPackets{cpu: number}
		fields := 0
		for len(line) > 0 {
			var w []byte
			if w, line = word(line); len(w) == 0 {
				break
			}
			v, err := strconv.ParseUint(string(w), 16, 32)
			if err != nil {
				return err
			}
			c.set(fields, uint32(v))
			fields++
		}
		if fields < 3 {
			return errTruncated
		}
		yield(c)
	}
	return nil
}

func (c *cpuPackets) set(column int, v uint32) {
	switch column {
	case 0:
		c.processed = v
	case 1:
		c.dropped = v
	case 2:
		c.squeezed = v
	case columnCPU:
		c.cpu = int(v)
	}
}
