// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"debug/elf"
	"strings"
)

// runtimes maps an executable's name, without its version, to the runtime
// that it is.
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

// runtimeOf names the runtime of an executable, "" for any other program.
func runtimeOf(executable string) string {
	if r, ok := runtimes[executable]; ok {
		return r
	}
	return runtimes[unversioned(executable)]
}

// unversioned cuts off a version, as of python3.11, php-fpm8.2 and ruby3.1, and the
// ending that npm's package of Bun gives it on Linux too: bun.exe.
func unversioned(executable string) string {
	executable = strings.TrimSuffix(executable, ".exe")
	return strings.TrimRight(strings.TrimRight(executable, "0123456789."), "-")
}

// builtByGo reports whether an executable carries Go's build information. The
// section is loaded with the program, so stripping leaves it.
func builtByGo(executable string) bool {
	f, err := elf.Open(executable)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	return f.Section(".go.buildinfo") != nil
}
