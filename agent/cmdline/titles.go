// SPDX-License-Identifier: Apache-2.0

package cmdline

import "strings"

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
