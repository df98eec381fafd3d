// SPDX-License-Identifier: Apache-2.0

// Package libuv finds out where a build of libuv keeps its pool of threads, from the
// symbols of its file. It reads a file and never a process.
//
// The pool is in static variables of src/threadpool.c, which are in the table of symbols
// of an executable that is not stripped, as the official builds of Node.js are not.
package libuv

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Layout is the addresses of the variables of src/threadpool.c, and of the functions
// that run work of each kind.
type Layout struct {
	// Relocated is set if the addresses are relative to the address of the program: then
	// Headers is that of its program headers, which the kernel tells (AT_PHDR).
	Relocated bool
	Headers   uint64
	// Threads, Idle and Slow are counters of 32 bits: of all threads, of those that wait
	// for work, and of those in slow work, of which half of the threads do at most.
	Threads, Idle, Slow uint64
	// Queue and SlowQueue are the lists of work that waits. Slow work is in the second.
	Queue, SlowQueue uint64
	// SlowMessage and ExitMessage are entries of Queue that are no work.
	SlowMessage, ExitMessage uint64
	// Kinds are the functions that run work.
	Kinds map[uint64]Kind
}

// A Kind is what a piece of work does.
type Kind int

// The kinds of work.
const (
	Other  Kind = iota // crypto, zlib and addons
	File               // calls of the file system
	Lookup             // names of hosts
)

var works = map[string]Kind{
	"uv__fs_work": File, "uv__getaddrinfo_work": Lookup, "uv__getnameinfo_work": Lookup, "uv__queue_work": Other, "uv__random_work": Other,
}

// ErrUnknown is returned for a file without these symbols.
var ErrUnknown = errors.New("it has no symbols of libuv's pool of threads")

const (
	symbolSize = 24 // Elf64_Sym
	// chunk is how many symbols are read at a time.
	chunk = 4096
	// maxSymbols limits the search: node has 110,000.
	maxSymbols = 2_000_000
	// longest is longer than the names that are looked for.
	longest = 32
)

// files are the source files of these symbols. The local symbols of a file follow its
// name, so that no other name needs to be read.
var files = map[string]bool{"threadpool.c": true, "fs.c": true, "getaddrinfo.c": true, "getnameinfo.c": true, "random.c": true}

// Read returns the layout of the libuv in an executable. The error is ErrUnknown if it
// has none, or is stripped.
func Read(r io.ReaderAt) (Layout, error) {
	f, err := elf.NewFile(r)
	if err != nil || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return Layout{}, ErrUnknown
	}
	l := Layout{Relocated: f.Type == elf.ET_DYN, Kinds: make(map[uint64]Kind)}
	for _, p := range f.Progs {
		if p.Type == elf.PT_PHDR {
			l.Headers = p.Vaddr
		}
	}
	if err := l.find(f); err != nil {
		return Layout{}, err
	}
	return l, nil
}

// find finds the symbols.
func (l *Layout) find(f *elf.File) error {
	table := f.SectionByType(elf.SHT_SYMTAB)
	if table == nil || int(table.Link) >= len(f.Sections) {
		return ErrUnknown
	}
	names := f.Sections[table.Link]
	variables := map[string]*uint64{
		"nthreads": &l.Threads, "idle_threads": &l.Idle, "slow_io_work_running": &l.Slow, "wq": &l.Queue,
		"slow_io_pending_wq": &l.SlowQueue, "run_slow_work_message": &l.SlowMessage, "exit_message": &l.ExitMessage,
	}
	b := make([]byte, chunk*symbolSize)
	inside := false // one of the files
	for at := int64(0); at < min(int64(table.Size), maxSymbols*symbolSize); at += int64(len(b)) {
		n, err := table.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading symbols: %w", err)
		}
		for s := b[:n]; len(s) >= symbolSize; s = s[symbolSize:] {
			name, value, kind := binary.LittleEndian.Uint32(s), binary.LittleEndian.Uint64(s[8:]), elf.SymType(s[4]&0xf)
			switch {
			case kind == elf.STT_FILE:
				inside = files[text(names, name)]
			case inside && kind == elf.STT_OBJECT && variables[text(names, name)] != nil:
				*variables[text(names, name)] = value
			case inside && kind == elf.STT_FUNC:
				if work, ok := works[text(names, name)]; ok {
					l.Kinds[value] = work
				}
			}
		}
	}
	return l.check(variables)
}

func text(names io.ReaderAt, at uint32) string {
	var b [longest]byte
	n, _ := names.ReadAt(b[:], int64(at))
	name, _, _ := bytes.Cut(b[:n], []byte{0})
	return string(name)
}

// together is the number of bytes in which the variables are: those of one file follow one
// another.
const together = 1024

func (l *Layout) check(variables map[string]*uint64) error {
	for _, v := range variables {
		if *v == 0 {
			return ErrUnknown
		}
	}
	if from, to := l.Span(); to-from > together || len(l.Kinds) == 0 || l.Relocated && l.Headers == 0 {
		return ErrUnknown
	}
	return nil
}

// Span returns the addresses between which the variables are.
func (l *Layout) Span() (from, to uint64) {
	const largest = 16
	from = l.Threads
	for _, v := range []uint64{l.Threads, l.Idle, l.Slow, l.Queue, l.SlowQueue, l.SlowMessage, l.ExitMessage} {
		from, to = min(from, v), max(to, v+largest)
	}
	return from, to
}
