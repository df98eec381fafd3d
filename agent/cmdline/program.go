// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"cmp"
	"path"
	"strings"

	"github.com/headroom-project/headroom/agent/printable"
)

// Program returns the name of the program that a process runs, if its script is in a
// package of npm, or if it serves an application of Python: node shop/server.js, gunicorn
// shop.wsgi. Unlike the command it is the same however the script was started, and
// different for two packages with a server.js. It is "" for all other processes, whose
// program is their command. command is the result of [Namer.Command] for the same process.
func (n Namer) Program(executable string, argv []string, command string) string {
	interpreter, script, ok := strings.Cut(command, " ")
	if runtimes[unversioned(executable)] == "python" {
		return n.served(argv, path.Base(strings.TrimPrefix(script, "-m ")), command)
	}
	if !ok || runsAs(executable) != "node" && unversioned(executable) != "bun" {
		return ""
	}
	home := n.home(executable, argv, script)
	if !IsPackage(home.Package) {
		return ""
	}
	name := script
	if !home.Installed {
		name = cmp.Or(fileName(home.Path), script)
	}
	return printable.Name(interpreter+" "+inPackage(home.Package, name), maxCommand)
}

// pythonServers are programs that are told which application they serve: module:variable.
var pythonServers = words("gunicorn uvicorn hypercorn daphne")

// served returns the server and the module of its application, if that is a file in the
// working directory. gunicorn writes its title over its arguments.
//
//	python3 /usr/bin/gunicorn -w 4 shop.wsgi:app
//	gunicorn: master [shop.wsgi:app]
func (n Namer) served(argv []string, server, command string) string {
	args := argv[min(1, len(argv)):]
	if role, ok := strings.CutPrefix(command, "gunicorn: "); ok {
		title := strings.TrimPrefix(argv[0], "gunicorn: "+role+" [")
		server, args = "gunicorn", []string{strings.TrimSuffix(strings.TrimSpace(title), "]")}
	}
	if !pythonServers[server] {
		return ""
	}
	for _, a := range args {
		module, variable, ok := strings.Cut(a, ":")
		if ok && isDotted(module, "") && isDotted(strings.TrimSuffix(variable, "()"), "") &&
			n.Files.File(strings.ReplaceAll(module, ".", "/"), []string{".py", "/__init__.py"}) {
			return printable.Name(server+" "+strings.Clone(module), maxCommand)
		}
	}
	return ""
}

// home returns the package of the script in argv, or of the package that a title names.
func (n Namer) home(executable string, argv []string, script string) Home {
	if sameProgram(executable, argv[0]) {
		t := interpreters[unversioned(executable)](argv[1:])
		return n.Files.Home(t.text, t.endings)
	}
	if _, file, ok := strings.Cut(argv[0], " "); ok && strings.HasPrefix(file, "/") {
		return n.Files.Home(file, nil)
	}
	return n.Files.Home("node_modules/"+script+"/package.json", nil)
}

// A Home is the package that a script is in. The zero value is none.
type Home struct {
	Package string // the name in its package.json
	Path    string // the path of the script in the package
	// Installed is set for a script of a dependency, in node_modules: Package is the one
	// that depends on it.
	Installed bool
}

// inPackage joins the name of a package and of a script, without repeating one of them.
//
//	shop            server.js        shop/server.js
//	@acme/shop      shop/server.js   @acme/shop/server.js
//	http-server     http-server      http-server
func inPackage(pkg, script string) string {
	last := path.Base(pkg)
	if script == last {
		return pkg
	}
	return pkg + "/" + strings.TrimPrefix(script, last+"/")
}

// maxPackage is the maximum length of the name of a package, so that the name of its
// script has room beside it. npm's own limit is 214.
const maxPackage = 64

// IsPackage reports whether s is a name of a package by npm's rules, and not longer than
// other names.
func IsPackage(s string) bool {
	if len(s) > maxPackage || s == "node_modules" || s == "favicon.ico" {
		return false
	}
	scope, name, scoped := strings.Cut(s, "/")
	if !scoped {
		return isPackagePart(s)
	}
	scope, ok := strings.CutPrefix(scope, "@")
	return ok && isPackagePart(scope) && isPackagePart(name)
}

func isPackagePart(s string) bool {
	if s == "" || s[0] == '.' || s[0] == '_' {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-._", c) {
			return false
		}
	}
	return true
}
