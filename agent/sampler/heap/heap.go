// SPDX-License-Identifier: Apache-2.0

// Package heap samples the heap limit of a runtime, set by a flag, by the
// environment, or derived from the memory that the process saw when it started. It
// reads arguments and environments, and only that number leaves this package.
package heap

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/prometheus/procfs"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/refusal"
	"github.com/headroom-project/headroom/agent/sampler"
)

const name = "heap"

// Sampler reads heap limits.
var Sampler = &sampler.Sampler{
	Name:     name,
	Doc:      "Reads the heap limit of Node.js, Java and Go processes from flags, the environment or the default of the runtime. Only the number is kept.",
	Provides: []*observe.Metric{catalog.ProcessHeapLimit, catalog.ProcessHeapLimitDefault},
	Every:    time.Minute,
	Open:     open,
}

const (
	// maxProcesses is the maximum number of processes cached: half of a full node.
	maxProcesses = 5_000
	// maxText is the maximum size read of one file: twice the length that Linux allows
	// for one string of an environment (MAX_ARG_STRLEN).
	maxText = 256 << 10
)

type reader struct {
	host  *sampler.Host
	total float64 // memory of the host in bytes
	known map[observe.ID]ceilings
	// unknown names the missing capability that is needed to read the programs of
	// other users' processes, and so their runtimes; "" if nothing is missing.
	unknown string
	round   int
	refused int // processes whose environment cannot be read
	full    bool
	nodes   nodes
}

// ceilings holds the limits of one process, 0 if there is none or it is not known.
type ceilings struct {
	configured, byDefault float64
	round                 int
}

func open(h *sampler.Host) (sampler.Reader, error) {
	total, err := hostMemory(h.Proc)
	if err != nil {
		return nil, sampler.Unreadable(h.Proc+"/meminfo", err, sampler.NotSupported("mount /proc, in a container the host's", "no memory to be seen in %s", h.Proc))
	}
	if total == 0 {
		return nil, sampler.Empty(h.Proc + "/meminfo")
	}
	return &reader{host: h, total: total, unknown: strings.Join(refusal.Own().Missing(refusal.Ptrace), ""), known: make(map[observe.ID]ceilings), nodes: nodes{major: make(map[patience.FileID]int)}}, nil
}

// Read implements sampler.Reader.
func (r *reader) Read(s *observe.Snapshot) error {
	entries, err := os.ReadDir(r.host.Proc)
	if err != nil {
		return err
	}
	r.round++
	r.refused, r.full = 0, false
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			r.process(s, pid)
		}
	}
	for id, c := range r.known {
		if c.round != r.round {
			delete(r.known, id)
		}
	}
	r.gaps(s)
	return nil
}

func (r *reader) gaps(s *observe.Snapshot) {
	if r.unknown != "" {
		s.Gap(name, "without "+r.unknown+" the programs that other users' processes run are not known: heap limits are read only for processes of headroom's user",
			"run as root, or grant "+r.unknown)
	}
	if r.refused > 0 {
		s.Gap(name, "permission denied for the environment of "+strconv.Itoa(r.refused)+" processes: a heap limit that is set there, or by default, is not known",
			"run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")
	}
	if r.full {
		s.Gap(name, "heap limits of some processes are not read: the limit of "+strconv.Itoa(maxProcesses)+" processes was reached", "")
	}
}

// process writes the limits of one process, and reads them the first time.
func (r *reader) process(s *observe.Snapshot, pid int) {
	id, ok := r.host.Identity.Current(pid)
	if !ok {
		return
	}
	limits := limitsOf[r.host.Index.Attr(id, catalog.AttrRuntime)]
	if limits == nil {
		return
	}
	c, seen := r.known[id]
	if !seen {
		if len(r.known) >= maxProcesses {
			r.full = true
			return
		}
		if c, ok = r.look(pid, limits); !ok {
			return
		}
	}
	c.round = r.round
	r.known[id] = c
	if c.configured > 0 {
		s.Set(catalog.ProcessHeapLimit, id, c.configured)
	}
	if c.byDefault > 0 {
		s.Set(catalog.ProcessHeapLimitDefault, id, c.byDefault)
	}
}

// look reads one process. ok is false if it should be read again: the process is
// gone, the environment needs more privileges, or a read hangs.
func (r *reader) look(pid int, limits limitsFunc) (ceilings, bool) {
	arguments, err := r.strings(pid, patience.Cmdline)
	if err != nil || len(arguments.words) == 0 {
		return ceilings{}, false
	}
	defer clear(arguments.bytes)
	environment, err := r.strings(pid, patience.Environ)
	defer clear(environment.bytes)
	args, env := arguments.words, environment.words
	if errors.Is(err, fs.ErrPermission) {
		r.refused++
		if l := limits(args, nil); l.bytes > 0 && !l.unclear {
			return ceilings{configured: l.bytes}, true
		}
		return ceilings{}, false
	}
	if err != nil {
		return ceilings{}, false
	}
	l := limits(args, env)
	switch {
	case l.unclear:
		return ceilings{}, true
	case l.bytes > 0:
		return ceilings{configured: l.bytes}, true
	case l.ofMemory == nil && l.standard == nil:
		return ceilings{}, true
	}
	return r.bySight(pid, l)
}

// bySight returns a limit that depends on the memory that the process saw. ok is
// false if it should be read again, because a read hangs.
func (r *reader) bySight(pid int, l limit) (c ceilings, ok bool) {
	seen, ok := patience.Ask(r.host.Patience, call(pid, patience.Root), func() sight { return r.memorySeen(pid, l.inherits) })
	switch {
	case !ok:
		return ceilings{}, false
	case l.hosts:
		seen.memory = r.total
	case !seen.ok:
		return ceilings{}, true
	}
	if l.ofMemory != nil {
		return ceilings{configured: l.ofMemory(seen.memory)}, true
	}
	if l.node {
		major, ok := r.nodes.version(r.host, pid)
		if !ok {
			return ceilings{}, false
		}
		if !follows(major, seen.unified) {
			return ceilings{}, true
		}
	}
	if usual := l.standard(seen.memory); usual >= l.least {
		return ceilings{byDefault: usual}, true
	}
	return ceilings{configured: l.least}, true
}

// call describes a read that can hang, and what is not known if it does.
func call(pid int, file string) patience.Call {
	return patience.Call{Source: name, PID: pid, File: file, Lost: "the ceiling of its heap"}
}

// errHangs is returned for a file whose read hangs.
var errHangs = errors.New("reading it hangs")

// texts holds buffers for files that can be long.
var texts = sync.Pool{New: func() any { return new([maxText]byte) }}

// A text holds the strings of a file. They refer to its bytes, which are cleared
// after use: they can contain secrets.
type text struct {
	bytes []byte
	words []string
}

// strings reads a file of zero-terminated strings. It fails if the read hangs.
func (r *reader) strings(pid int, file string) (text, error) {
	type answer struct {
		text
		err error
	}
	a, ok := patience.Ask(r.host.Patience, call(pid, file), func() answer {
		t, err := readStrings(r.host.Proc + "/" + strconv.Itoa(pid) + "/" + file)
		return answer{t, err}
	})
	if !ok {
		return text{}, errHangs
	}
	return a.text, a.err
}

func readStrings(path string) (text, error) {
	f, err := os.Open(path)
	if err != nil {
		return text{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	buf := texts.Get().(*[maxText]byte)
	defer texts.Put(buf)
	n, err := io.ReadFull(f, buf[:])
	defer clear(buf[:n]) // may contain secrets
	if err == nil {
		return text{}, errors.New("longer than is read")
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return text{}, err
	}
	t := text{bytes: bytes.Clone(buf[:n])}
	whole := unsafe.String(unsafe.SliceData(t.bytes), len(t.bytes))
	t.words = strings.Split(strings.TrimSuffix(whole, "\x00"), "\x00")
	return t, nil
}

// Close implements sampler.Reader.
func (r *reader) Close() error { return nil }

// hostMemory returns the memory of the host in bytes, 0 if meminfo has none.
func hostMemory(proc string) (float64, error) {
	mount, err := procfs.NewFS(proc)
	if err != nil {
		return 0, err
	}
	m, err := mount.Meminfo()
	if err != nil || m.MemTotalBytes == nil {
		return 0, err
	}
	return float64(*m.MemTotalBytes), nil
}

// parseLimit reads memory.max or memory.limit_in_bytes; no limit is infinite.
func parseLimit(text []byte) (float64, bool) {
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return math.Inf(1), true
	}
	n, err := strconv.ParseUint(word, 10, 64)
	return float64(n), err == nil && n > 0
}
