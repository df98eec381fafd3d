// SPDX-License-Identifier: Apache-2.0

// Package cpython finds out where a build of CPython keeps what is known of a function,
// from its version and, from 3.13 on, from the offsets that it has for debuggers
// (_Py_DebugOffsets). It reads a file and never a process.
//
// A version that is not in the list, or a build whose offsets are others, is not known.
package cpython

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/headroom-project/headroom/agent/symbols/dynamic"
)

// A Layout is where CPython keeps what is read of a function: offsets in bytes. bpf/tick
// has what the fields mean.
type Layout struct {
	Interpreter, CodeType, TextType                               uint64
	Threads, ThreadNext, ThreadInterpreter, ThreadID, ThreadFrame uint16
	CFrame                                                        uint16 // 1 + the offset, 0 if there is none
	StackTop, StackLimit                                          uint16
	FrameCode, FramePrevious, FrameOwner                          uint16
	CodeFile, CodeName, CodeQualname, CodeLine                    uint16
	ASCIIText, OtherText, COwner                                  uint8
}

// A File is a file that has CPython.
type File struct {
	layout    Layout
	relocated bool
	first     uint64 // the lowest address of its segments
}

// An Unknown error says why the functions of a program cannot be read.
type Unknown struct{ Reason string }

// Error implements error.
func (u *Unknown) Error() string { return u.Reason }

// noOwner is no owner of a frame: in 3.11 each frame is a function's.
const noOwner = 255

// checked has the layouts of the versions for which the tests compared names, as in
// Include/internal of the source: pycore_runtime.h, pycore_interp.h, pycore_frame.h,
// cpython/pystate.h and cpython/code.h. Interpreter is the offset in _PyRuntime.
var checked = map[byte]Layout{
	11: {
		Interpreter: 48, Threads: 16, ThreadNext: 8, ThreadInterpreter: 16, ThreadID: 152, ThreadFrame: 56, CFrame: 1 + 8,
		StackTop: 304, StackLimit: 312, FrameCode: 32, FramePrevious: 48, FrameOwner: 69,
		CodeFile: 112, CodeName: 120, CodeQualname: 128, CodeLine: 72, ASCIIText: 48, OtherText: 72, COwner: noOwner,
	},
	12: {
		Interpreter: 48, Threads: 72, ThreadNext: 8, ThreadInterpreter: 16, ThreadID: 136, ThreadFrame: 56, CFrame: 1,
		StackTop: 240, StackLimit: 248, FrameCode: 0, FramePrevious: 8, FrameOwner: 70,
		CodeFile: 112, CodeName: 120, CodeQualname: 128, CodeLine: 68, ASCIIText: 40, OtherText: 56, COwner: 3,
	},
	// The rest is published in the file.
	13: {ASCIIText: 40, OtherText: 56, COwner: 3},
}

// offsets is the first version, 3.13, with offsets for debuggers.
const offsets = 13

// Read reads the CPython in an executable or a library. The error is an Unknown if it has
// none that is known.
func Read(r io.ReaderAt) (File, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return File{}, &Unknown{"it is no ELF file"}
	}
	if f.Machine != elf.EM_X86_64 {
		return File{}, &Unknown{"on " + f.Machine.String() + " functions are not read yet"}
	}
	t, err := dynamic.New(f)
	if err != nil {
		return File{}, &Unknown{err.Error()}
	}
	l, err := read(t)
	return File{layout: l, relocated: f.Type == elf.ET_DYN, first: firstAddress(f)}, err
}

func firstAddress(f *elf.File) uint64 {
	const page = 4096
	for _, p := range f.Progs { // in the order of their addresses
		if p.Type == elf.PT_LOAD {
			return p.Vaddr &^ (page - 1)
		}
	}
	return 0
}

func read(t *dynamic.Table) (Layout, error) {
	runtime, ok := t.Address("_PyRuntime")
	if !ok {
		return Layout{}, &Unknown{"it has no symbol _PyRuntime of CPython"}
	}
	code, ok := t.Address("PyCode_Type")
	text, also := t.Address("PyUnicode_Type")
	version, has := t.Number("Py_Version") // 0x030b02f0 is 3.11.2
	if !ok || !also || !has {
		return Layout{}, &Unknown{"headroom reads functions of CPython 3.11, 3.12 and 3.13, and its symbols do not name such a version"}
	}
	major, minor := byte(version>>24), byte(version>>16)
	l, known := checked[minor]
	if !known || major != 3 {
		return Layout{}, &Unknown{fmt.Sprintf("CPython %d.%d is not one of the versions whose objects headroom knows, which are 3.11, 3.12 and 3.13", major, minor)}
	}
	if minor >= offsets {
		if l, ok = published(t, runtime, l); !ok {
			return Layout{}, &Unknown{"this build of CPython does not publish where its objects are, or has no lock of the interpreter"}
		}
	}
	l.Interpreter += runtime
	l.CodeType, l.TextType = code, text
	return l, nil
}

// published adds the offsets for debuggers, at the start of _PyRuntime. They are words, in
// the order of _Py_DebugOffsets (pycore_runtime.h).
func published(t *dynamic.Table, runtime uint64, l Layout) (Layout, bool) {
	const words = 48
	b, ok := t.Bytes(runtime, 8*words)
	if !ok || string(b[:8]) != "xdebugpy" {
		return l, false
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	const freeThreaded, head = 2, 5
	for i, to := range map[int]*uint16{
		9: &l.Threads, 21: &l.ThreadNext, 22: &l.ThreadInterpreter, 23: &l.ThreadFrame, 24: &l.ThreadID,
		29: &l.FramePrevious, 30: &l.FrameCode, 33: &l.FrameOwner,
		35: &l.CodeFile, 36: &l.CodeName, 37: &l.CodeQualname, 39: &l.CodeLine,
	} {
		if word(i) > math.MaxUint16 {
			return l, false
		}
		*to = uint16(word(i))
	}
	l.Interpreter = word(head) + 8 // the main interpreter follows the head of the list of all
	return l, word(freeThreaded) == 0 && word(head) < math.MaxUint16
}
