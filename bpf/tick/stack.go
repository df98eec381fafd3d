// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf16"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/headroom-project/headroom/bpf/support"
)

// StackHz is how often the running threads are looked at. It is not a multiple of usual
// timers, so that no work is always or never sampled.
const StackHz = 99

// A V8Layout is where a build of V8 keeps what is read of a function. The offsets are in
// bytes, the types are V8's instance types.
type V8Layout struct {
	FirstFunction, LastFunction, Shared, ScopeInfo, Script uint16
	FunctionShared, SharedScope, SharedScript              uint16
	// FirstVars is the number of words in ScopeInfo before the names of locals, and
	// PositionsFirst is set if the last two of them are the positions.
	FirstVars      uint16
	PositionsFirst bool
	// FlagsShift is the position of the flags in their word of ScopeInfo.
	FlagsShift, FunctionScope       uint8
	EntryFrame, ConstructEntryFrame uint8
	// Fields of the isolate, from the address that V8 keeps in a register: c_entry_fp,
	// fast_c_call_caller_fp, js_entry_sp, its pointer to itself, and current_vm_state.
	ExitFrame, FastCaller, EntryFrameAt, Self, VMState uint16
}

// A PythonLayout is where a build of CPython keeps what is read of a function: offsets in
// bytes, and the addresses of three variables in the process.
type PythonLayout struct {
	Interpreter, CodeType, TextType                               uint64
	Threads, ThreadNext, ThreadInterpreter, ThreadID, ThreadFrame uint16
	// CFrame is 1 + the offset of the frame in what ThreadFrame leads to; 0 if that is the
	// frame. StackTop is 0 if frames are always valid.
	CFrame, StackTop, StackLimit               uint16
	FrameCode, FramePrevious, FrameOwner       uint16
	CodeFile, CodeName, CodeQualname, CodeLine uint16
	ASCIIText, OtherText, COwner               uint8
}

// StackKind says when a stack was read.
type StackKind uint8

// The kinds of stacks.
const (
	StackOnCPU     = StackKind(tickStackKindSTACK_ON_CPU)    // at a hit of the clock in a long tick
	StackBlocked   = StackKind(tickStackKindSTACK_BLOCKED)   // before a sleep
	StackUnblocked = StackKind(tickStackKindSTACK_UNBLOCKED) // after that sleep: only its length
	StackBusy      = StackKind(tickStackKindSTACK_BUSY)      // at a hit of the clock on a busy thread, in no long tick
)

// A Stack has the functions that a thread was in: that of a loop in a long tick, or a busy
// one, which the clock found running in half of the second before.
type Stack struct {
	Tgid, Tid   uint32
	ThreadStart uint64 // ns since boot, as Loop.Start
	Kind        StackKind
	At          uint64 // CLOCK_MONOTONIC, ns
	TickStart   uint64
	Sleep       uint64 // ns, of StackUnblocked
	// StandsFor is how many hits of the clock on a busy thread the stack stands for. 0: it is
	// not a sample of those, but only of a long tick.
	StandsFor uint16
	// Collector tells whether the runtime's garbage collector ran, if that is known.
	Collector Collector
	// Known is false if the stack could not be read. If it is true and there are no
	// functions, the thread was outside of JavaScript or Python.
	Known bool
	// Functions are those of the program and of its runtime, innermost first. A function
	// that calls itself is there once. The outermost ones of a deep stack are missing.
	Functions []Function
}

// Collector is the state of a garbage collector.
type Collector uint8

// The states of collectors.
const (
	CollectorUnknown = Collector(tickCollectorCOLLECTOR_UNKNOWN)
	CollectorRests   = Collector(tickCollectorCOLLECTOR_RESTS)
	CollectorRuns    = Collector(tickCollectorCOLLECTOR_RUNS)
)

// A Function is one of a stack.
type Function struct {
	Name string
	// Guessed is set if the function has no name, and Name is the runtime's guess.
	Guessed bool
	// Script is set if the function was read from a script; File is "" if that has no
	// name, such as the argument of eval.
	Script bool
	File   string
	// Start and End are the position in the file, in UTF-16 units; both 0 if not known.
	Start, End uint32
	// Line is that of the definition; 0 if the runtime has a position instead.
	Line uint32
}

// stacks are the programs that read functions. They are a collection of their own, on
// the maps of the first: where the kernel refuses them, the rest still works.
type stacks struct {
	objs    *ebpf.Collection
	refused error
	on      atomic.Bool
	record  ringbuf.Record
	links   []io.Closer
	blocks  link.Link // of the program on switches, nil if it is not attached
	reader  *ringbuf.Reader
	stack   Stack
}

// stackPrograms and stackMaps are only used by stacks.
var (
	stackPrograms = []string{tickProgOnClock, tickProgOnBlock}
	stackMaps     = []string{tickMapStacks, tickMapStackScratch, tickMapLayouts, tickMapPyLayouts, tickMapHotThreads}
)

// loadStacks loads the programs that read functions. They run once a process is watched.
func (p *Probe) loadStacks(opts Options, types *btf.Cache) {
	p.stacks.objs, p.stacks.refused = loadStacks(opts, types, map[string]*ebpf.Map{tickMapLoops: p.objs.Loops, bss: p.bss})
}

// bss is the name of the map of variables.
const bss = ".bss"

func loadStacks(opts Options, types *btf.Cache, shared map[string]*ebpf.Map) (*ebpf.Collection, error) {
	spec, err := loadTick()
	if err != nil {
		return nil, fmt.Errorf("parsing programs: %w", err)
	}
	keep := make(map[string]*ebpf.ProgramSpec)
	for _, name := range stackPrograms {
		keep[name] = spec.Programs[name]
	}
	spec.Programs = keep
	for name := range spec.Maps {
		if shared[name] == nil && name != rodata && !slices.Contains(stackMaps, name) {
			delete(spec.Maps, name)
		}
	}
	if err := setDuration(spec, tickVarLongTickNs, opts.LongTick, DefaultLongTick); err != nil {
		return nil, err
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types, MapReplacements: shared})
	if err != nil {
		return nil, support.Failed("the kernel refuses the programs that read functions, which need Linux 5.17", err)
	}
	return c, nil
}

// rodata is the name of the map of constants.
const rodata = ".rodata"

// WatchV8 makes ReadStacks yield the functions of a process that runs V8: those that run,
// and those that block while CaptureBlocks is on.
func (p *Probe) WatchV8(tgid uint32, l V8Layout) error {
	if err := p.startStacks(); err != nil {
		return err
	}
	v := tickV8Layout{
		FirstFunction: l.FirstFunction, LastFunction: l.LastFunction, Shared: l.Shared, ScopeInfo: l.ScopeInfo, Script: l.Script,
		FunctionShared: l.FunctionShared, SharedScope: l.SharedScope, SharedScript: l.SharedScript,
		FirstVars: l.FirstVars, FlagsShift: l.FlagsShift, FunctionScope: l.FunctionScope,
		EntryFrame: l.EntryFrame, ConstructEntryFrame: l.ConstructEntryFrame,
		ExitFrame: l.ExitFrame, FastCaller: l.FastCaller, EntryFrameAt: l.EntryFrameAt, Self: l.Self, VmState: l.VMState,
	}
	if l.PositionsFirst {
		v.PositionsFirst = 1
	}
	if err := p.stacks.objs.Maps[tickMapLayouts].Put(tgid, &v); err != nil {
		return fmt.Errorf("watching process %d: %w", tgid, err)
	}
	return nil
}

// WatchPython does the same for a process that runs CPython.
func (p *Probe) WatchPython(tgid uint32, l PythonLayout) error {
	if err := p.startStacks(); err != nil {
		return err
	}
	v := tickPyLayout{
		Interpreter: l.Interpreter, CodeType: l.CodeType, TextType: l.TextType,
		Threads: l.Threads, ThreadNext: l.ThreadNext, ThreadInterpreter: l.ThreadInterpreter, ThreadId: l.ThreadID, ThreadFrame: l.ThreadFrame,
		C_frame: l.CFrame, StackTop: l.StackTop, StackLimit: l.StackLimit,
		FrameCode: l.FrameCode, FramePrevious: l.FramePrevious, FrameOwner: l.FrameOwner,
		CodeFile: l.CodeFile, CodeName: l.CodeName, CodeQualname: l.CodeQualname, CodeLine: l.CodeLine,
		AsciiText: l.ASCIIText, OtherText: l.OtherText, C_owner: l.COwner,
	}
	if err := p.stacks.objs.Maps[tickMapPyLayouts].Put(tgid, &v); err != nil {
		return fmt.Errorf("watching process %d: %w", tgid, err)
	}
	return nil
}

// Unwatch ends what WatchV8 or WatchPython began.
func (p *Probe) Unwatch(tgid uint32) {
	if !p.stacks.on.Load() {
		return
	}
	for _, name := range []string{tickMapLayouts, tickMapPyLayouts} {
		_ = p.stacks.objs.Maps[name].Delete(tgid) // it may be gone already, or be in the other
	}
}

// startStacks attaches the programs for the first process.
func (p *Probe) startStacks() error {
	s := &p.stacks
	if s.refused != nil || s.on.Load() {
		return s.refused
	}
	if err := s.attach(); err != nil {
		s.refused = errors.Join(err, s.detach())
		if u := (*support.Unsupported)(nil); errors.As(err, &u) {
			s.refused = u
		}
		return s.refused
	}
	s.on.Store(true)
	return nil
}

func (s *stacks) attach() error {
	clocks, refused := support.OpenClock(StackHz)
	if refused != nil {
		return refused
	}
	for _, c := range clocks {
		s.links = append(s.links, c)
		if err := c.Run(s.objs.Programs[tickProgOnClock]); err != nil {
			return support.Failed("attaching to the clock", err)
		}
	}
	var err error
	s.reader, err = ringbuf.NewReader(s.objs.Maps[tickMapStacks])
	if err != nil {
		return fmt.Errorf("opening the ring of stacks: %w", err)
	}
	s.reader.SetDeadline(time.Unix(1, 0)) // in the past: reading never blocks
	return nil
}

// CaptureBlocks switches on or off that the functions of watched processes that block are
// read. While it is on, each switch of the host takes 0.3 µs longer.
func (p *Probe) CaptureBlocks(on bool) error {
	s := &p.stacks
	if !s.on.Load() || on == (s.blocks != nil) {
		return nil // if the programs were refused, WatchV8 and WatchPython say so
	}
	if !on {
		return s.releaseBlocks()
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: s.objs.Programs[tickProgOnBlock]})
	if err != nil {
		return support.Failed("attaching to switches", err)
	}
	s.blocks = l
	return nil
}

func (s *stacks) releaseBlocks() error {
	if s.blocks == nil {
		return nil
	}
	err := s.blocks.Close()
	s.blocks = nil
	return err
}

func (s *stacks) detach() error {
	errs := []error{s.releaseBlocks()}
	for _, l := range s.links {
		errs = append(errs, l.Close())
	}
	s.links = nil
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	s.reader = nil
	return errors.Join(errs...)
}

func (s *stacks) close() error {
	err := s.detach()
	if s.objs != nil {
		s.objs.Close()
	}
	return err
}

// LostStacks counts the stacks that were dropped because the ring buffer was full.
func (p *Probe) LostStacks() uint64 {
	var n uint64
	if p.stacks.objs == nil || p.stacks.objs.Variables[tickVarLostStacks].Get(&n) != nil {
		return 0
	}
	return n
}

// ReadStacks yields the stacks since the last call, in the order of each thread. The
// Stack is reused.
func (p *Probe) ReadStacks(yield func(*Stack)) error {
	s := &p.stacks
	for s.on.Load() && s.reader.AvailableBytes() > 0 {
		err := s.reader.ReadInto(&s.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading stacks: %w", err)
		}
		if err := s.stack.fill(s.record.RawSample); err != nil {
			return err
		}
		yield(&s.stack)
	}
	return nil
}

// fill decodes a record: a head, and only those functions that were read.
func (s *Stack) fill(raw []byte) error {
	var v tickStackSample
	frame := int(unsafe.Sizeof(v.Frames[0]))
	head := int(unsafe.Sizeof(v)) - len(v.Frames)*frame
	if len(raw) < head {
		return fmt.Errorf("reading stacks: a record of %d bytes", len(raw))
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), raw)
	h := &v.Head
	*s = Stack{
		Tgid: h.Tgid, Tid: h.Tid, ThreadStart: h.StartBoottime, Kind: StackKind(h.Kind), At: h.At, TickStart: h.Tick, Sleep: h.Ns,
		StandsFor: h.StandsFor, Collector: Collector(h.Collector),
		Known: tickStackResult(h.Result) != tickStackResultSTACK_UNREADABLE, Functions: s.Functions[:0],
	}
	n := min(int(h.Count), len(v.Frames), (len(raw)-head)/frame)
	for i := range n {
		s.Functions = append(s.Functions, makeFunction(v.Frames[i].Flags, v.Frames[i].Name[:], v.Frames[i].NameLength, v.Frames[i].File[:], v.Frames[i].FileLength, v.Frames[i].Start, v.Frames[i].End))
	}
	return nil
}

func makeFunction(flags uint8, name []int8, nameLength uint8, file []int8, fileLength uint8, start, end uint32) Function {
	has := func(f tickCodeFlags) bool { return tickCodeFlags(flags)&f != 0 }
	f := Function{
		Guessed: has(tickCodeFlagsCODE_INFERRED), Script: has(tickCodeFlagsCODE_SCRIPT),
		File: text(file, fileLength, has(tickCodeFlagsCODE_FILE_WIDE)),
	}
	if has(tickCodeFlagsCODE_NAMED) || f.Guessed {
		f.Name = text(name, nameLength, has(tickCodeFlagsCODE_NAME_WIDE))
	}
	if has(tickCodeFlagsCODE_POSITION) {
		f.Start, f.End = start, end
	}
	if has(tickCodeFlagsCODE_LINE) {
		f.Line = start
	}
	return f
}

// text converts the characters of a string, which are Latin-1 or UTF-16.
func text(b []int8, length uint8, wide bool) string {
	n := min(int(length), len(b))
	var units []uint16
	for i := 0; i < n; i++ {
		if !wide {
			units = append(units, uint16(uint8(b[i])))
		} else if i%2 == 1 {
			units = append(units, uint16(uint8(b[i-1]))|uint16(uint8(b[i]))<<8)
		}
	}
	return string(utf16.Decode(units))
}
