// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"path"
	"strings"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/printable"
)

// runtimes maps an executable's name, without its version, to its runtime.
var runtimes = map[string]string{
	"node": "node", "nodejs": "node",
	"bun": "bun", "deno": "deno",
	"python": "python", "pypy": "python", "uwsgi": "python", "uwsgi-core": "python",
	"java":         "jvm",
	"redis-server": "redis", "valkey-server": "redis", "keydb-server": "redis",
	"nginx":    "nginx",
	"postgres": "postgres",
	"beam.smp": "beam", "beam": "beam",
	"ruby": "ruby",
	"php":  "php", "php-fpm": "php", "php-cgi": "php",
	"dotnet": "dotnet",
}

// Runtime returns the runtime of an executable by its name, "" for other programs.
func Runtime(executable string) string {
	if r, ok := runtimes[executable]; ok {
		return r
	}
	return runtimes[unversioned(executable)]
}

// unversioned removes a version, as in python3.11, php-fpm8.2 and ruby3.1, and the
// ending in npm's package of Bun, which is bun.exe on Linux too.
func unversioned(executable string) string {
	executable = strings.TrimSuffix(executable, ".exe")
	return strings.TrimRight(strings.TrimRight(executable, "0123456789."), "-")
}

// Executable returns the name of a program. link is the path of its file, "" if
// that may not be read, comm the name of its main thread, arg0 the first argument.
// The result is the name of the file. Without a file (runc runs from memory), it is
// the name in arg0 if that is a runtime, otherwise comm.
func Executable(link, comm, arg0 string) string {
	called := calledBy(arg0)
	if link == "" || strings.HasPrefix(link, "/memfd:") {
		if Runtime(called) != "" {
			return strings.Clone(called)
		}
		return observe.ProgramName(comm)
	}
	file := path.Base(link)
	// One file with many names: Debian's redis-server is redis-check-rdb. The
	// kernel names the thread by the link that was executed.
	if Runtime(file) == "" && Runtime(called) != "" && called == comm {
		return comm
	}
	return printable.Name(file, MaxName)
}

// calledBy returns the name in argv, without a title that follows it.
func calledBy(arg0 string) string {
	if arg0 == "" {
		return ""
	}
	word, _, _ := strings.Cut(arg0, " ")
	return path.Base(strings.TrimSuffix(word, ":"))
}
