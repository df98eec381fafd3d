// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"path"
	"strings"
)

// maxCommand bounds what is shown of one process.
const maxCommand = 128

// commandOf names what a process runs: its executable and, for interpreters,
// the script. Other arguments may be secrets and never leave this function.
func commandOf(executable string, argv []string) string {
	if len(argv) == 0 {
		return executable
	}
	if role := roleOf(executable, argv[0]); role != "" {
		return role
	}
	name := unversioned(executable)
	find, ok := interpreters[name]
	if !ok || !sameProgram(executable, argv[0]) {
		return executable
	}
	script := find(argv[1:])
	if script == "" {
		return called(executable, argv[0])
	}
	return printable(called(executable, argv[0])+" "+script, maxCommand)
}

// sameProgram tells argv from a title that the process wrote over it.
func sameProgram(executable, arg0 string) bool {
	base := strings.TrimPrefix(path.Base(arg0), "-") // a login shell
	return base != "" && runsAs(base) == runsAs(executable)
}

// runsAs is the one name of a program that has several.
func runsAs(executable string) string {
	name := unversioned(executable)
	switch name {
	case "nodejs":
		return "node"
	case "dash", "bash", "busybox":
		return "sh"
	}
	return name
}

// called prefers the name that people typed (python3) to what it is a link
// to (python3.11), where one extends the other.
func called(executable, arg0 string) string {
	base := path.Base(arg0)
	if base != "" && strings.HasPrefix(executable, base) {
		return base
	}
	return executable
}

// A finder returns what an interpreter was told to run, "" when that was a
// program text or standard input.
type finder func(args []string) string

var interpreters = map[string]finder{
	"node":   script(flags{taking: nodeFlags, text: words("-e --eval -p --print -pe -i --interactive")}),
	"nodejs": script(flags{taking: nodeFlags, text: words("-e --eval -p --print -pe -i --interactive")}),
	"bun":    script(flags{verbs: words("run x"), taking: words("-r --preload -c --config --cwd --env-file -d --define"), text: words("-e --eval -p --print")}),
	"deno":   script(flags{verbs: words("run serve"), taking: words("-c --config -L --log-level --import-map --location --seed --cert --port --host"), text: words("eval repl")}),
	"python": python,
	"pypy":   python,
	"ruby":   script(flags{taking: words("-I -r -C -E -F -K -x --encoding"), text: words("-e")}),
	"perl":   script(flags{taking: words("-I"), text: words("-e -E")}),
	"php":    script(flags{taking: words("-c -d -z -t"), text: words("-r -B -R -E -S -a"), file: "-f"}),
	"java":   java,
	"dotnet": dotnet,
	"bash":   shell, "sh": shell, "dash": shell, "zsh": shell, "ksh": shell,
}

func words(s string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(s) {
		set[w] = true
	}
	return set
}

// flags says how an interpreter's own flags end.
type flags struct {
	verbs  map[string]bool // words before the script
	taking map[string]bool // flags whose value is the next argument
	text   map[string]bool // flags after which comes a program, not a file
	file   string          // the flag that names the script, if any
}

var nodeFlags = words("-r --require --import --loader --experimental-loader -C --conditions --env-file --env-file-if-exists --title " +
	"--max-http-header-size --icu-data-dir --openssl-config --input-type --experimental-default-type --redirect-warnings --report-dir " +
	"--report-directory --report-filename --report-signal --diagnostic-dir --heapsnapshot-signal --trace-event-categories " +
	"--trace-event-file-pattern --unhandled-rejections --secure-heap --secure-heap-min --disable-warning --dns-result-order --stack-trace-limit " +
	"--inspect-port --debug-port --cpu-prof-dir --cpu-prof-name --heap-prof-dir --heap-prof-name --watch-path --experimental-config-file")

func script(f flags) finder {
	return func(args []string) string {
		for i := 0; i < len(args); i++ {
			a := args[i]
			switch {
			case f.text[a]:
				return ""
			case f.file != "" && a == f.file && i+1 < len(args):
				return fileName(args[i+1])
			case a == "--" && i+1 < len(args):
				return fileName(args[i+1])
			case f.taking[a]:
				i++
			case strings.HasPrefix(a, "-"):
			case f.verbs[a] && i == 0:
			default:
				return fileName(a)
			}
		}
		return ""
	}
}

// python reads single letters, which may be joined (-um), until -c or -m.
func python(args []string) string {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if !strings.HasPrefix(a, "-") {
			return fileName(a)
		}
		if strings.HasPrefix(a, "--") || a == "-" {
			if a == "--check-hash-based-pycs" {
				i++
			}
			continue
		}
		for j, c := range a[1:] {
			value := a[1+j+1:]
			next := value == ""
			if !strings.ContainsRune("cmWXQ", c) {
				continue
			}
			if c == 'c' {
				return ""
			}
			if next && i+1 < len(args) {
				i++
				value = args[i]
			}
			if c == 'm' {
				return "-m " + safe(value)
			}
			break
		}
	}
	return ""
}

var javaFlags = words("-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules --add-exports --add-opens --add-reads " +
	"--limit-modules --patch-module --source --describe-module -d --enable-native-access")

// java returns the jar's name or the main class.
func java(args []string) string {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case (a == "-jar" || a == "-m" || a == "--module") && i+1 < len(args):
			return safe(path.Base(args[i+1]))
		case javaFlags[a]:
			i++
		case strings.HasPrefix(a, "-"), strings.HasPrefix(a, "@"):
		default:
			return safe(path.Base(a))
		}
	}
	return ""
}

func dotnet(args []string) string {
	for _, a := range args {
		if strings.HasSuffix(a, ".dll") && !strings.HasPrefix(a, "-") {
			return safe(path.Base(a))
		}
	}
	return ""
}

func shell(args []string) string {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-o" || a == "+o" || a == "-O" || a == "--rcfile" || a == "--init-file":
			i++
		case strings.HasPrefix(a, "--"):
		case strings.HasPrefix(a, "-") && strings.ContainsAny(a, "cs"):
			return ""
		case strings.HasPrefix(a, "-"), strings.HasPrefix(a, "+"):
		default:
			return fileName(a)
		}
	}
	return ""
}

// fileName keeps a script's name and the folder that tells one main.py or
// index.js from another.
func fileName(arg string) string {
	arg = path.Clean(arg)
	if strings.HasPrefix(arg, "/dev/") || strings.HasPrefix(arg, "/proc/") {
		return "" // a descriptor
	}
	name := path.Base(arg)
	if name == "." || name == "/" || name == ".." {
		return ""
	}
	switch dir := path.Base(path.Dir(arg)); dir {
	case ".", "/", "..", "bin", "sbin", ".bin", "src":
		return safe(name)
	default:
		return safe(dir + "/" + name)
	}
}

// maxName bounds a script's name: the kernel's own NAME_MAX is 255, and a
// token that long is no name that anybody chose.
const maxName = 100

// safe lets only what looks like a file's or a module's name pass: an
// argument in its place (a flag's value that was not expected) is dropped.
func safe(s string) string {
	if s == "" || len(s) > maxName || strings.HasPrefix(s, "-") {
		return ""
	}
	for _, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("._-/@+$", c) && c < 0x80 {
			return ""
		}
	}
	return printable(s, maxName)
}

// roles are the titles that servers write over their argv, as far as they
// hold no names, addresses or options.
var roles = map[string][]string{
	"nginx": {"nginx: master process", "nginx: worker process", "nginx: cache manager process", "nginx: cache loader process"},
	"postgres": {"postgres: checkpointer", "postgres: background writer", "postgres: walwriter", "postgres: autovacuum launcher",
		"postgres: autovacuum worker", "postgres: logical replication launcher", "postgres: logical replication worker", "postgres: archiver",
		"postgres: startup", "postgres: walsender", "postgres: walreceiver", "postgres: stats collector", "postgres: logger", "postgres: parallel worker",
		"postgres: io worker"},
	"php-fpm": {"php-fpm: master process", "php-fpm: pool"},
	"python":  {"gunicorn: master", "gunicorn: worker"},
}

func roleOf(executable, title string) string {
	name := unversioned(executable)
	if name == "postgres" {
		title = withoutCluster(title)
	}
	for _, role := range roles[name] {
		if strings.HasPrefix(title, role) {
			return role
		}
	}
	if name == "postgres" && strings.HasPrefix(title, "postgres: ") {
		return "postgres: backend" // user, database and address follow
	}
	return ""
}

// withoutCluster cuts the cluster_name that Debian sets:
//
//	postgres: 15/main: checkpointer
func withoutCluster(title string) string {
	parts := strings.SplitN(title, ": ", 3)
	if len(parts) == 3 && parts[0] == "postgres" {
		return "postgres: " + parts[2]
	}
	return title
}
