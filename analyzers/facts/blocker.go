// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Blocker explains the calls that block a loop.
type Blocker struct {
	// Means completes "blocked in write (…)".
	Means string
	// Instead completes "asynchronous: use …".
	Instead string
	// Other is the action at the other end, "" for none.
	Other string
}

// Blocker explains a call of a program on this runtime, and its alternative: by the
// type of its descriptor, or by its name if that is not known.
func (p *Pass) Blocker(by BlockedBy, runtime string) Blocker {
	switch by.Kind {
	case catalog.TargetPipe:
		return p.pipeBlocker(by, runtime)
	case catalog.TargetInet, catalog.TargetUnix:
		return p.socketBlocker(by, runtime)
	case catalog.TargetDevice:
		return Blocker{Means: p.standard(by, "a terminal or another device"), Instead: "a separate thread"}
	case catalog.TargetFile:
		return p.fileBlocker(by, runtime)
	}
	kind := kindOf(by.Syscall)
	return Blocker{Means: kind.means, Instead: kind.insteadFor(runtime)}
}

// standard returns "its stdout, a pipe" for a standard descriptor.
func (p *Pass) standard(by BlockedBy, what string) string {
	if name := p.standardFD(by); name != "" {
		return "its " + name + ", " + what
	}
	return what
}

// standardFD returns the name of a standard descriptor, "" for any other.
func (p *Pass) standardFD(by BlockedBy) string {
	return map[string]string{"0": "stdin", "1": "stdout", "2": "stderr"}[p.callAttr(by, catalog.AttrFD)]
}

// reads reports whether a call waits for data from the other end.
func reads(syscall string) bool {
	return strings.HasPrefix(syscall, "read") || strings.HasPrefix(syscall, "recv") || syscall == "poll" || syscall == "ppoll"
}

var (
	asyncLogs = map[string]string{
		"node":   "a logger that writes asynchronously (pino.destination({sync: false}), or a worker thread)",
		"python": "a QueueHandler and QueueListener of the logging module",
		"":       "a thread that writes, with a bounded queue",
	}
	asyncChildren = map[string]string{
		"node": "exec or spawn instead of execSync and spawnSync", "python": "asyncio.create_subprocess_exec",
		"": "a pipe that does not block, in the loop",
	}
)

func byRuntime(fixes map[string]string, runtime string) string {
	if fix := fixes[runtime]; fix != "" {
		return fix
	}
	return fixes[""]
}

func (p *Pass) pipeBlocker(by BlockedBy, runtime string) Blocker {
	peer := p.PeerOf(by)
	pipe := "a pipe"
	if path := p.callAttr(by, catalog.AttrFile); path != "" {
		pipe = "the named pipe " + path
	}
	if reads(by.Syscall) {
		if peer == "" {
			peer = "another process, such as a child,"
		}
		return Blocker{Means: fmt.Sprintf("%s that %s writes slowly", p.standard(by, pipe), peer), Instead: byRuntime(asyncChildren, runtime)}
	}
	b := Blocker{Instead: byRuntime(asyncLogs, runtime), Other: "make the process that reads the pipe faster"}
	if peer == "" {
		b.Means = p.standard(by, pipe) + " whose reader is slow"
		return b
	}
	b.Means = fmt.Sprintf("%s that %s reads slowly", p.standard(by, pipe), peer)
	b.Other = fmt.Sprintf("make %s read the pipe faster", peer)
	return b
}

func (p *Pass) socketBlocker(by BlockedBy, runtime string) Blocker {
	network := kindOf("recvfrom")
	b := Blocker{Instead: network.insteadFor(runtime)}
	peer := p.PeerOf(by)
	switch {
	case by.Kind == catalog.TargetUnix && p.standardFD(by) != "" && !reads(by.Syscall):
		return p.logSocket(by, runtime)
	case p.callAttr(by, catalog.AttrServed) != "":
		b.Means = "a connection of a client to its port " + p.callAttr(by, catalog.AttrPort)
		b.Instead = "a socket that does not block"
	case peer == "" && by.Kind == catalog.TargetUnix:
		b.Means = "a synchronous call over a Unix socket"
	case peer == "":
		b.Means = "a synchronous network call"
	case reads(by.Syscall):
		b.Means = "a synchronous network call: it waits for " + peer
	default:
		b.Means = "a synchronous network call to " + peer
	}
	return b
}

// logSocket explains a program that waits for the reader of its output, such as journald.
func (p *Pass) logSocket(by BlockedBy, runtime string) Blocker {
	peer := p.PeerOf(by)
	if peer == "" {
		peer = "its reader"
	}
	return Blocker{
		Means:   fmt.Sprintf("%s that %s reads slowly", p.standard(by, "a Unix socket"), peer),
		Instead: byRuntime(asyncLogs, runtime),
		Other:   fmt.Sprintf("make %s read faster", peer),
	}
}

func (p *Pass) fileBlocker(by BlockedBy, runtime string) Blocker {
	kind := kindOf("openat")
	if p.Flushes(by) {
		kind = kindOf("fsync")
	} else if by.Syscall == "flock" || by.Syscall == "fcntl" {
		kind = kindOf("flock")
	}
	b := Blocker{Means: kind.means, Instead: kind.insteadFor(runtime)}
	if flag := p.OpenFlag(by); flag != "" {
		b.Means = "a write that waits for the disk, because of " + flag
	}
	if name := p.FileName(by); name != "" {
		b.Means += ": " + name
	}
	return b
}

// FileName returns a path with the type of its file system, as far as they are
// known.
func (p *Pass) FileName(by BlockedBy) string {
	path, fs := p.callAttr(by, catalog.AttrFile), p.callAttr(by, catalog.AttrFilesystem)
	switch {
	case path != "" && fs != "":
		return fmt.Sprintf("%s on %s", path, fs)
	case fs != "":
		return "a file on " + fs
	}
	return path
}

func (p *Pass) callAttr(by BlockedBy, key string) string {
	if by.On == observe.None {
		return ""
	}
	return p.Attr(by.On, key)
}
