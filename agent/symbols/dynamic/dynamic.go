// SPDX-License-Identifier: Apache-2.0

// Package dynamic finds dynamic symbols of an executable or a library, and the numbers at
// them. It reads a file and never a process.
package dynamic

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Table finds symbols of a shared object by their hash, as the dynamic linker does.
// node exports 100,000 of them, so that reading all takes 10 MB.
// https://sourceware.org/gnu-gabi/program-loading-and-dynamic-linking.txt
type Table struct {
	file                  *elf.File
	hash, symbols, names  io.ReaderAt
	buckets, first, bloom uint32
}

const (
	gnuHash    = elf.SectionType(0x6ffffff6) // SHT_GNU_HASH
	symbolSize = 24                          // Elf64_Sym
	// maxChain limits the search of one bucket: it has four symbols on average.
	maxChain = 1000
	// maxName is longer than the names that are looked for.
	maxName = 128
)

var errNoSymbols = errors.New("it has no table of dynamic symbols")

// New returns the symbols of a file.
func New(f *elf.File) (*Table, error) {
	t := &Table{file: f}
	hash, symbols := section(f, gnuHash), section(f, elf.SHT_DYNSYM)
	if hash == nil || symbols == nil || int(symbols.Link) >= len(f.Sections) || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return nil, errNoSymbols
	}
	t.hash, t.symbols, t.names = hash, symbols, f.Sections[symbols.Link]
	var head [12]byte
	if _, err := t.hash.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("reading its symbols: %w", err)
	}
	t.buckets = binary.LittleEndian.Uint32(head[0:])
	t.first = binary.LittleEndian.Uint32(head[4:])
	t.bloom = binary.LittleEndian.Uint32(head[8:])
	if t.buckets == 0 {
		return nil, errNoSymbols
	}
	return t, nil
}

func section(f *elf.File, kind elf.SectionType) *elf.Section {
	for _, s := range f.Sections {
		if s.Type == kind {
			return s
		}
	}
	return nil
}

func word(r io.ReaderAt, at int64) (uint32, bool) {
	var b [4]byte
	_, err := r.ReadAt(b[:], at)
	return binary.LittleEndian.Uint32(b[:]), err == nil
}

func hashOf(name string) uint32 {
	h := uint32(5381)
	for _, c := range []byte(name) {
		h = h*33 + uint32(c)
	}
	return h
}

// Number returns the number that the symbol called name is at: 0 in a part of the program
// that the file does not have.
func (t *Table) Number(name string) (int32, bool) {
	address, ok := t.Address(name)
	if !ok {
		return 0, false
	}
	b, ok := t.Bytes(address, 4)
	if !ok {
		return 0, false
	}
	return int32(binary.LittleEndian.Uint32(b)), true
}

// Address returns the address of the symbol called name, before the file is relocated.
func (t *Table) Address(name string) (uint64, bool) {
	h := hashOf(name)
	buckets := 16 + 8*int64(t.bloom)
	i, ok := word(t.hash, buckets+4*int64(h%t.buckets))
	if !ok || i < t.first {
		return 0, false
	}
	chains := buckets + 4*int64(t.buckets)
	for range maxChain {
		c, ok := word(t.hash, chains+4*int64(i-t.first))
		if !ok {
			return 0, false
		}
		if c|1 == h|1 && t.isNamed(i, name) {
			return t.address(i)
		}
		if c&1 == 1 {
			return 0, false
		}
		i++
	}
	return 0, false
}

func (t *Table) isNamed(symbol uint32, name string) bool {
	at, ok := word(t.symbols, symbolSize*int64(symbol))
	if !ok || len(name) >= maxName {
		return false
	}
	b := make([]byte, len(name)+1)
	_, err := t.names.ReadAt(b, int64(at))
	return err == nil && string(b) == name+"\x00"
}

func (t *Table) address(symbol uint32) (uint64, bool) {
	var b [8]byte
	_, err := t.symbols.ReadAt(b[:], symbolSize*int64(symbol)+8)
	return binary.LittleEndian.Uint64(b[:]), err == nil
}

// Bytes returns the bytes at an address: zeros in a part of the program that the file does
// not have.
func (t *Table) Bytes(address uint64, n int) ([]byte, bool) {
	b := make([]byte, n)
	for _, p := range t.file.Progs {
		if p.Type != elf.PT_LOAD || address < p.Vaddr || address-p.Vaddr >= p.Memsz {
			continue
		}
		if address-p.Vaddr >= p.Filesz {
			return b, true
		}
		_, err := p.ReadAt(b, int64(address-p.Vaddr))
		return b, err == nil
	}
	return nil, false
}
