// SPDX-License-Identifier: Apache-2.0

// Package v8 finds out where a build of V8 keeps what is known of a function, from the
// symbols that V8 has for debuggers (v8dbg_…). It reads a file and never a process.
//
// What V8 changes without a symbol, the order inside ScopeInfo, is in a list of the
// versions for which it was checked. A version that is not in it is not known: a wrong
// layout gives plausible wrong names.
package v8

import (
	"debug/elf"
	"fmt"
	"io"

	"github.com/headroom-project/headroom/agent/symbols/dynamic"
)

// A Layout is where V8 keeps what is read of a function: offsets in bytes, and V8's
// instance types. bpf/tick has what the fields mean.
type Layout struct {
	FirstFunction, LastFunction, Shared, ScopeInfo, Script uint16
	FunctionShared, SharedScope, SharedScript              uint16
	FirstVars                                              uint16
	PositionsFirst                                         bool
	FlagsShift, FunctionScope                              uint8
	EntryFrame, ConstructEntryFrame                        uint8
	ExitFrame, FastCaller, EntryFrameAt, Self, VMState     uint16
}

// An Unknown error says why the functions of a program cannot be read.
type Unknown struct{ Reason string }

// Error implements error.
func (u *Unknown) Error() string { return u.Reason }

// An order is what is in no symbol: the order inside ScopeInfo, and inside the isolate, from
// the address in kRootRegister. Builtins_JSEntry shows the latter: it saves exitFrame and
// compares entryFrame with 0.
type order struct {
	positionsFirst                    bool
	flagsShift, functionScope         uint8
	exitFrame, fastCaller, entryFrame uint16
	self                              uint16 // ThreadLocalTop::isolate_
}

// vmState is where ThreadLocalTop has current_vm_state_, after js_entry_sp_: the pointer to
// the scope of an external callback is between them (src/execution/thread-local-top.h).
const vmState = 16

// checked has the versions of V8 for which the tests compared names: those of node 18,
// 20, 22 and 24. In V8 13, the flags are a plain number, and the positions precede the
// locals (src/objects/scope-info.tq).
var checked = map[[2]int32]order{
	{10, 2}: {flagsShift: 32, functionScope: 2, exitFrame: 0x44b8, fastCaller: 0x80, entryFrame: 0x44d8, self: 0x4448},
	{11, 3}: {flagsShift: 32, functionScope: 2, exitFrame: 0x100, fastCaller: 0x68, entryFrame: 0x120, self: 0x90},
	{12, 4}: {flagsShift: 32, functionScope: 2, exitFrame: 0x90, fastCaller: 0x70, entryFrame: 0x128, self: 0xf0},
	{13, 6}: {positionsFirst: true, functionScope: 4, exitFrame: 0xc0, fastCaller: 0xa8, entryFrame: 0x158, self: 0x120},
}

// Read returns the layout of the V8 in an executable or a library. The error is an Unknown
// if it has none that is known.
func Read(r io.ReaderAt) (Layout, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return Layout{}, &Unknown{"it is no ELF file"}
	}
	t, err := dynamic.New(f)
	if err != nil {
		return Layout{}, &Unknown{err.Error()}
	}
	if f.Machine != elf.EM_X86_64 {
		return Layout{}, &Unknown{"on " + f.Machine.String() + " functions are not read yet"}
	}
	return read(t)
}

func read(t *dynamic.Table) (Layout, error) {
	major, ok := t.Number("_ZN2v88internal7Version6major_E")
	minor, also := t.Number("_ZN2v88internal7Version6minor_E")
	if !ok || !also {
		return Layout{}, &Unknown{"its symbols do not name a version of V8"}
	}
	order, ok := checked[[2]int32{major, minor}]
	if !ok {
		return Layout{}, &Unknown{fmt.Sprintf("V8 %d.%d is not one of the versions whose objects headroom knows, those of Node.js 18, 20, 22 and 24", major, minor)}
	}
	n := &numbers{table: t}
	if !n.usual() {
		return Layout{}, &Unknown{"this build of V8 lays out its objects in another way"}
	}
	l := Layout{
		PositionsFirst: order.positionsFirst, FlagsShift: order.flagsShift, FunctionScope: order.functionScope,
		ExitFrame: order.exitFrame, FastCaller: order.fastCaller, EntryFrameAt: order.entryFrame, Self: order.self, VMState: order.entryFrame + vmState,
		Shared:         uint16(n.of("type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE")),
		ScopeInfo:      uint16(n.of("type_ScopeInfo__SCOPE_INFO_TYPE")),
		Script:         uint16(n.of("type_Script__SCRIPT_TYPE")),
		FunctionShared: uint16(n.of("class_JSFunction__shared__SharedFunctionInfo")),
		SharedScope: uint16(n.of("class_SharedFunctionInfo__name_or_scope_info__Object",
			"class_SharedFunctionInfo__name_or_scope_info__Tagged_Object_", "class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_")),
		SharedScript: uint16(n.of("class_SharedFunctionInfo__script_or_debug_info__HeapObject", "class_SharedFunctionInfo__script__Tagged_HeapObject_")),
		FirstVars:    uint16(n.of("scopeinfo_idx_first_vars")),
		EntryFrame:   uint8(n.of("frametype_EntryFrame")), ConstructEntryFrame: uint8(n.of("frametype_ConstructEntryFrame")),
	}
	l.FirstFunction, l.LastFunction = n.functions()
	if n.missing != "" {
		return Layout{}, &Unknown{"this build of V8 has no symbol v8dbg_" + n.missing}
	}
	return l, nil
}

// numbers are those of the symbols for debuggers.
type numbers struct {
	table   *dynamic.Table
	missing string
}

// of returns the number of the first of these symbols that exists.
func (n *numbers) of(names ...string) int32 {
	for _, name := range names {
		if v, ok := n.table.Number("v8dbg_" + name); ok {
			return v
		}
	}
	n.missing = names[0]
	return 0
}

// functions returns the range of instance types of functions. Before V8 12, only the first
// has a symbol: the others follow it, up to those of classes and of typed arrays.
func (n *numbers) functions() (first, last uint16) {
	const kinds = 16
	first = uint16(n.of("type_JSFunction__JS_FUNCTION_TYPE"))
	if v, ok := n.table.Number("v8dbg_LastJSFunctionType"); ok {
		return first, uint16(v)
	}
	return first, first + kinds
}

// usual reports whether objects are laid out as bpf/tick expects: with pointers of 64 bits,
// which the official builds of node have.
func (n *numbers) usual() bool {
	for name, want := range map[string]int32{
		"SmiShiftSize": 31, "SmiTag": 0, "SmiTagMask": 1, "HeapObjectTagMask": 3, "FirstNonstringType": 128,
		"StringRepresentationMask": 7, "SeqStringTag": 0, "ConsStringTag": 1, "ThinStringTag": 5, "OneByteStringTag": 8,
		"class_HeapObject__map__Map": 0, "class_Map__instance_type__uint16_t": 12, "class_String__length__int32_t": 12,
		"class_SeqOneByteString__chars__char": 16, "class_SeqTwoByteString__chars__char": 16, "class_ConsString__first__String": 16,
		"class_ConsString__second__String": 24, "class_ThinString__actual__String": 16, "class_Script__name__Object": 16,
		"off_fp_function": -16, "off_fp_context": -8, "scopeinfo_idx_ncontextlocals": 2,
	} {
		if n.of(name) != want {
			return false
		}
	}
	return n.missing == ""
}
