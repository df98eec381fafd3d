// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"unicode"
)

// ByShape returns the command of a recorded process without names that may be
// arguments. It is for recordings from versions that did not check whether such a
// name is a file. It decides by the form of the names, and returns the executable
// if the form is not clear.
func ByShape(executable, command string) string {
	if command == executable || slices.Contains(roles[unversioned(executable)], command) || command == postgresBackend {
		return command
	}
	program, script, _ := strings.Cut(command, " ")
	executable = cmp.Or(executable, program)
	if program == "" || !strings.HasPrefix(executable, program) && runsAs(program) != runsAs(executable) {
		return executable
	}
	if script = scriptByShape(unversioned(program), script); script == "" {
		return program
	}
	return program + " " + script
}

// scriptByShape returns a script's name without its folder, which may be a part
// of a URL.
func scriptByShape(interpreter, script string) string {
	if module, ok := strings.CutPrefix(script, "-m "); ok {
		if knownModules[module] {
			return script
		}
		return ""
	}
	name := path.Base(script)
	switch {
	case strings.ContainsAny(script, ":@ ") || safe(script) == "":
		return ""
	case interpreter == "java" && isClassByShape(script):
		return script
	case launchers[name], hasEnding(interpreter, name):
		return name
	}
	return ""
}

// isClassByShape reports whether s is a class in a package, org.acme.Main.
func isClassByShape(s string) bool {
	dot := strings.LastIndexByte(s, '.')
	return dot > 0 && dot+1 < len(s) && isDotted(s, "$") && unicode.IsUpper(rune(s[dot+1])) && s[:dot] == strings.ToLower(s[:dot])
}

func hasEnding(interpreter, name string) bool {
	for _, ending := range endings[runsAs(interpreter)] {
		if before, ok := strings.CutSuffix(name, ending); ok && before != "" {
			return true
		}
	}
	return false
}

var javaScript = []string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx"}

// endings are the file endings of each interpreter's scripts.
var endings = map[string][]string{
	"node": javaScript, "bun": javaScript, "deno": javaScript,
	"python": {".py", ".pyz", ".pyc"}, "pypy": {".py", ".pyz"},
	"ruby": {".rb", ".ru"}, "perl": {".pl", ".pm", ".psgi"}, "php": {".php", ".phar"},
	"java": {".jar", ".java"}, "dotnet": {".dll"},
	"sh": {".sh", ".bash"}, "zsh": {".zsh", ".sh"}, "ksh": {".ksh", ".sh"},
}

// launchers are common scripts without an ending.
var launchers = words("artisan bundle celery certbot daphne django-admin flask gunicorn hypercorn jupyter-lab jupyter-notebook nest next npm npx nuxt " +
	"pip pip3 pm2 pnpm puma rackup rails rake rq sidekiq supervisord ts-node tsx unicorn uvicorn vite yarn")
