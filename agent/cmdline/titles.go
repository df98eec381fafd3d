// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"strings"

	"github.com/headroom-project/headroom/agent/printable"
)

// roles are the titles that servers write over their argv, as far as they contain
// no names, addresses or options.
var roles = map[string][]string{
	"nginx": {"nginx: master process", "nginx: worker process", "nginx: cache manager process", "nginx: cache loader process"},
	"postgres": {"postgres: checkpointer", "postgres: background writer", "postgres: walwriter", "postgres: autovacuum launcher",
		"postgres: autovacuum worker", "postgres: logical replication launcher", "postgres: logical replication worker", "postgres: archiver",
		"postgres: startup", "postgres: walsender", "postgres: walreceiver", "postgres: stats collector", "postgres: logger", "postgres: parallel worker",
		"postgres: io worker"},
	"php-fpm": {"php-fpm: master process", "php-fpm: pool"},
	"python":  {"gunicorn: master", "gunicorn: worker"},
	"ruby":    {"puma: cluster worker", "puma"},
	"node":    {"PM2"},
}

const (
	postgres        = "postgres: "
	postgresBackend = "postgres: backend"
)

// roleOf returns the title of a server, without the text that follows it: the names
// of a pool, a user, a database.
func roleOf(executable, title string) string {
	name := unversioned(executable)
	for _, role := range roles[name] {
		if strings.HasPrefix(title, role) {
			return role
		}
	}
	body, ok := strings.CutPrefix(title, postgres)
	if name != "postgres" || !ok {
		return ""
	}
	// Debian sets cluster_name: "postgres: 15/main: checkpointer".
	if _, process, named := strings.Cut(body, ": "); named {
		for _, role := range roles[name] {
			if strings.HasPrefix(process, role[len(postgres):]) {
				return role
			}
		}
	}
	return postgresBackend
}

// titled returns the name of a JavaScript program that wrote a title over its argv. A
// title can be anything. What is shown of it is the name of a package that is
// installed (http-server, node-red), or a script that exists: PM2 calls its workers node
// /srv/shop/server.js.
func (n Namer) titled(executable, title string) string {
	program := runsAs(executable)
	if program != "node" && program != "bun" {
		return executable
	}
	if script, ok := strings.CutPrefix(title, program+" "); ok && strings.HasPrefix(script, "/") {
		if name := n.script(target{text: script}, program, ""); name != "" {
			return printable.Name(program+" "+name, maxCommand)
		}
		return executable
	}
	word, _, _ := strings.Cut(title, " ")
	word = strings.TrimSuffix(word, ":")
	if word == "" || len(word) > MaxName || strings.ContainsAny(word, "/.@") {
		return executable
	}
	if was, ok := strings.CutPrefix(n.Known, program+" "); ok && was == word {
		return n.Known // a package that was updated while it runs
	}
	if safe(word) == "" || !n.Files.Package(word) {
		return executable
	}
	return printable.Name(program+" "+word, maxCommand)
}
