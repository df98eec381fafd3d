// SPDX-License-Identifier: Apache-2.0

package facts

import "slices"

// A kindOfCall explains system calls to developers who write JavaScript or Python,
// and names alternatives.
type kindOfCall struct {
	names []string
	means string
	// instead holds the alternative by runtime; "" is for the others.
	instead map[string]string
}

var kindsOfCalls = []kindOfCall{
	{
		FlushCalls,
		"a flush to disk",
		map[string]string{"node": "fs.promises", "python": "asyncio.to_thread", "redis": "appendfsync everysec", "": "a separate thread"},
	},
	{
		[]string{"read", "readv", "write", "writev", "close", "sendfile"},
		"a file, a pipe or a socket",
		map[string]string{"node": "fs.promises instead of the …Sync functions, and streams for pipes and sockets", "python": "asyncio.to_thread, and streams of asyncio for pipes and sockets", "": "a separate thread"},
	},
	{
		FileCalls,
		"synchronous file access",
		map[string]string{"node": "fs.promises instead of the …Sync functions", "python": "asyncio.to_thread or aiofiles", "nginx": "aio threads", "": "a separate thread"},
	},
	{
		[]string{"futex"},
		"a lock held by another thread, or Atomics.wait",
		map[string]string{"node": "Atomics.waitAsync or a message instead of Atomics.wait", "python": "asyncio.Lock or asyncio.to_thread", "": "a wait that notifies the loop"},
	},
	{
		[]string{"wait4", "waitid", "epoll_wait", "epoll_pwait", "epoll_pwait2"},
		"waiting for a child process",
		map[string]string{"node": "exec or spawn instead of execSync and spawnSync", "python": "asyncio.create_subprocess_exec", "": "a wait that notifies the loop"},
	},
	{
		[]string{"poll", "ppoll", "select", "pselect6", "connect", "accept", "accept4", "recvfrom", "recvmsg", "sendto", "sendmsg"},
		"a synchronous network call",
		map[string]string{"node": "a client with promises", "python": "an asyncio client instead of a blocking one", "": "a client that does not block"},
	},
	{
		[]string{"clock_nanosleep", "nanosleep"},
		"a sleep",
		map[string]string{"python": "asyncio.sleep instead of time.sleep", "node": "setTimeout", "": "a timer of the loop"},
	},
	{
		[]string{"flock", "fcntl"},
		"a file lock",
		map[string]string{"": "a separate thread"},
	},
}

// kindOf explains a system call of which only the name is known.
func kindOf(syscall string) kindOfCall {
	for _, k := range kindsOfCalls {
		if slices.Contains(k.names, syscall) {
			return k
		}
	}
	return kindOfCall{means: "a blocking system call", instead: map[string]string{"": "a separate thread"}}
}

func (k kindOfCall) insteadFor(runtime string) string { return byRuntime(k.instead, runtime) }
