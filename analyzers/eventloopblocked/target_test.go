// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// blockedOn returns a host with a loop whose long ticks were blocked in one call on
// a target with these attributes.
func blockedOn(h *handmade.Host, loop observe.ID, call string, attrs ...string) {
	h.Ticks(loop, 5, 0.2, burn(blockingCall))
	on := h.Add(observe.Call, "1:1/"+call, loop, append([]string{catalog.AttrCall, call}, attrs...)...)
	h.Pair(catalog.LongBlockedOn, loop, on, 0.99)
	h.Pair(catalog.LongBlockedBy, loop, h.Add(observe.Syscall, call, observe.None), 0.99)
}

// TestCallIsNamedByItsTarget checks that the target of a call determines its name in
// the text, and the advice.
func TestCallIsNamedByItsTarget(t *testing.T) {
	for _, tt := range []struct {
		name  string
		call  string
		attrs []string
		says  []string
		not   string
	}{
		{"stdout is a full pipe", "write", []string{catalog.AttrTarget, catalog.TargetPipe, catalog.AttrFD, "1", catalog.AttrPeerName, "logdrv"},
			[]string{"write (its stdout, a pipe that logdrv reads slowly)", "QueueHandler", "make logdrv read the pipe faster"}, "file access"},
		{"a pipe whose reader is not known", "write", []string{catalog.AttrTarget, catalog.TargetPipe, catalog.AttrFD, "7"},
			[]string{"a pipe whose reader is slow"}, "stdout"},
		{"a child's output", "read", []string{catalog.AttrTarget, catalog.TargetPipe, catalog.AttrFD, "9", catalog.AttrPeerName, "convert"},
			[]string{"read (a pipe that convert writes slowly)", "create_subprocess_exec"}, "file access"},
		{"a TCP server elsewhere", "read", []string{catalog.AttrTarget, catalog.TargetInet, catalog.AttrDestination, "10.0.0.7", catalog.AttrDestPort, "5432"},
			[]string{"a synchronous network call: it waits for 10.0.0.7:5432", "asyncio client"}, "file access"},
		{"a client of its own", "recvfrom", []string{catalog.AttrTarget, catalog.TargetInet, catalog.AttrServed, "true", catalog.AttrPort, "8080"},
			[]string{"a connection of a client to its port 8080"}, "network call"},
		{"a Unix socket", "recvfrom", []string{catalog.AttrTarget, catalog.TargetUnix, catalog.AttrPeerName, "postgres"},
			[]string{"it waits for postgres"}, "file access"},
		{"a file", "read", []string{catalog.AttrTarget, catalog.TargetFile, catalog.AttrFile, "/data/big.json", catalog.AttrFilesystem, "nfs4"},
			[]string{"synchronous file access: /data/big.json on nfs4", "aiofiles"}, "pipe"},
		{"a flush", "fsync", []string{catalog.AttrTarget, catalog.TargetFile, catalog.AttrFile, "/log/access.log", catalog.AttrFilesystem, "ext4"},
			[]string{"a flush to disk: /log/access.log on ext4"}, "synchronous file access"},
		{"a terminal", "write", []string{catalog.AttrTarget, catalog.TargetDevice, catalog.AttrFD, "2"},
			[]string{"its stderr, a terminal"}, "file access"},
		{"an unknown target", "read", nil, []string{"a file, a pipe or a socket"}, "file access"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, _, loop := server(t, "python")
			blockedOn(h, loop, tt.call, tt.attrs...)
			f := h.One(Analyzer)
			want(t, f, analysis.Warning, blockingCall, analysis.MakeAsync)
			text := f.Summary + " " + f.Recommendations[0].Action
			for _, s := range tt.says {
				if !strings.Contains(text, s) {
					t.Errorf("%q does not say %q", text, s)
				}
			}
			if strings.Contains(text, tt.not) {
				t.Errorf("%q says %q", text, tt.not)
			}
		})
	}
}

// TestLocalServerIsNamed checks that the peer of a connection over loopback is the
// process that listens on its port, unless several owners do.
func TestLocalServerIsNamed(t *testing.T) {
	for _, others := range []int{0, 1} {
		h, _, loop := server(t, "python")
		redis := h.Add(observe.Process, "77:1", observe.None, catalog.AttrPID, "77", catalog.AttrCommand, "redis-server")
		h.Set(catalog.ListenerQueue, h.Add(observe.Listener, "redis", redis, catalog.AttrAddress, "127.0.0.1", catalog.AttrPort, "6379"), 0)
		if others > 0 {
			other := h.Add(observe.Process, "78:1", observe.None, catalog.AttrPID, "78", catalog.AttrCommand, "redis-server")
			h.Set(catalog.ListenerQueue, h.Add(observe.Listener, "other", other, catalog.AttrAddress, "127.0.0.1", catalog.AttrPort, "6379"), 0)
		}
		blockedOn(h, loop, "recvfrom", catalog.AttrTarget, catalog.TargetInet, catalog.AttrDestination, "127.0.0.1", catalog.AttrDestPort, "6379")
		f := h.One(Analyzer)
		want(t, f, analysis.Warning, blockingCall, analysis.MakeAsync)
		if named := strings.Contains(f.Summary, "redis-server (pid 77) at 127.0.0.1:6379"); named != (others == 0) {
			t.Errorf("with %d other listeners, summary = %q", others, f.Summary)
		}
	}
}

// TestCallsOnManyTargets checks that no target is named if none took most of the time.
func TestCallsOnManyTargets(t *testing.T) {
	h, _, loop := server(t, "python")
	h.Ticks(loop, 5, 0.2, burn(blockingCall))
	for _, port := range []string{"1001", "1002", "1003"} {
		on := h.Add(observe.Call, "1:1/read/"+port, loop, catalog.AttrCall, "read", catalog.AttrTarget, catalog.TargetInet, catalog.AttrDestination, "10.0.0.7", catalog.AttrDestPort, port)
		h.Pair(catalog.LongBlockedOn, loop, on, 0.33)
	}
	f := h.One(Analyzer)
	want(t, f, analysis.Warning, blockingCall, analysis.MakeAsync)
	if !strings.Contains(f.Summary, "a synchronous network call)") {
		t.Errorf("summary = %q", f.Summary)
	}
}

// TestPageFaultsOnAFile checks that a slow file is named, unless the host was short
// of memory: then its pages had been evicted.
func TestPageFaultsOnAFile(t *testing.T) {
	for name, pressure := range map[string]float64{"slow file system": 0, "short of memory": 0.9} {
		t.Run(name, func(t *testing.T) {
			h, _, loop := server(t, "node")
			h.Ticks(loop, 5, 0.2, burn(pageFault))
			on := h.Add(observe.Call, "1:1/page fault", loop, catalog.AttrCall, "page fault", catalog.AttrTarget, catalog.TargetFile,
				catalog.AttrFile, "/mnt/model.bin", catalog.AttrFilesystem, "fuse.sshfs")
			h.Pair(catalog.LongBlockedOn, loop, on, 0.95)
			h.Set(catalog.HostMemorySome, h.Node(), pressure)
			f := h.One(Analyzer)
			verb, says := analysis.MakeAsync, "in page faults that read /mnt/model.bin on fuse.sshfs"
			if pressure > 0 {
				verb, says = analysis.AddMemory, "waiting for memory in page faults"
			}
			want(t, f, analysis.Warning, pageFault, verb)
			if !strings.Contains(f.Summary, says) {
				t.Errorf("summary = %q, want %q", f.Summary, says)
			}
		})
	}
}
