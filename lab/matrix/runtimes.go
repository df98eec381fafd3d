// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// runtimes are the rows of the matrix. To add one, add an entry here and its program
// to lab/programs/matrix.
var runtimes = []runtime{
	{name: "node", needs: []string{"nodejs:node"},
		serve: func(s site) [][]string { return one("node", "on_node.mjs", s.portText()) }},
	{name: "pm2", needs: []string{"nodejs:node"},
		env: func(s site) []string { return []string{"PM2_HOME=" + s.dir, "PORT=" + s.portText()} },
		serve: func(s site) [][]string {
			return one(s.bin("pm2"), "start", "on_node.mjs", "--name", "shop", "--silent")
		}},
	{name: "bun", serve: func(s site) [][]string { return one(s.bin("bun"), "on_bun.mjs", s.portText()) }},
	{name: "deno", env: func(s site) []string { return []string{"DENO_DIR=" + s.dir} },
		serve: func(s site) [][]string { return one(s.bin("deno"), "run", "--allow-all", "on_deno.mjs", s.portText()) }},

	{name: "asyncio-select", needs: []string{"python3:" + python},
		serve: func(s site) [][]string { return one(python, "on_asyncio.py", s.portText(), "select") }},
	{name: "asyncio-poll", needs: []string{"python3:" + python},
		serve: func(s site) [][]string { return one(python, "on_asyncio.py", s.portText(), "poll") }},
	{name: "aiohttp", needs: []string{pythonPackage("aiohttp")},
		serve: func(s site) [][]string { return one(python, "on_aiohttp.py", s.portText()) }},
	{name: "tornado", needs: []string{pythonPackage("tornado")},
		serve: func(s site) [][]string { return one(python, "on_tornado.py", s.portText()) }},
	{name: "uvicorn", needs: []string{pythonPackage("uvicorn")},
		serve: func(s site) [][]string {
			return one(python, "-m", "uvicorn", "on_asgi:app", "--port", s.portText(), "--no-access-log")
		}},
	{name: "gevent", needs: []string{pythonPackage("gevent")},
		serve: func(s site) [][]string { return one(python, "on_gevent.py", s.portText()) }},

	{name: "redis", needs: []string{"redis-server"}, ask: redisAsks, onCPU: []string{"make-async"}, // SCAN for KEYS
		serve: func(s site) [][]string {
			return one("redis-server", "--bind", "127.0.0.1", "--port", s.portText(), "--save", "", "--appendonly", "no",
				"--dir", s.dir, "--enable-debug-command", "local")
		}},
	{name: "haproxy", needs: []string{"haproxy:/usr/sbin/haproxy"},
		prepare: func(s site) error { return fill(s, "haproxy.cfg") },
		serve:   func(s site) [][]string { return one("/usr/sbin/haproxy", "-db", "-f", s.dir+"/haproxy.cfg") }},
	{name: "nginx", needs: []string{"nginx:/usr/sbin/nginx", "libnginx-mod-http-perl:/usr/lib/nginx/modules/ngx_http_perl_module.so"},
		prepare: func(s site) error { return fill(s, "nginx-perl.conf") },
		serve: func(s site) [][]string {
			return one("/usr/sbin/nginx", "-p", s.dir, "-c", s.dir+"/nginx-perl.conf")
		}},

	{name: "c-epoll", needs: []string{"gcc"}, prepare: buildLoop, serve: runLoop("epoll")},
	{name: "c-poll", needs: []string{"gcc"}, prepare: buildLoop, serve: runLoop("poll")},
	{name: "c-select", needs: []string{"gcc"}, prepare: buildLoop, serve: runLoop("select")},
	{name: "c-io_uring", needs: []string{"gcc", "liburing-dev:/usr/include/liburing.h"},
		prepare: func(s site) error {
			return compile(s, "gcc", "-O1", "-o", filepath.Join(s.dir, "uring"), "uring.c", "server.c", "-luring")
		},
		serve: func(s site) [][]string { return one(filepath.Join(s.dir, "uring"), s.portText()) }},

	{name: "java-nio", needs: []string{"default-jdk-headless:javac"},
		prepare: func(s site) error { return compile(s, "javac", "-d", s.dir, "Nio.java", "Work.java") },
		serve:   func(s site) [][]string { return one("java", "-cp", s.dir, "Nio", s.portText()) }},
	{name: "netty", needs: []string{"default-jdk-headless:javac", "libnetty-java:" + netty},
		prepare: func(s site) error {
			return compile(s, "javac", "-cp", nettyPath(), "-d", s.dir, "OnNetty.java", "Work.java")
		},
		serve: func(s site) [][]string { return one("java", "-cp", nettyPath()+":"+s.dir, "OnNetty", s.portText()) }},

	{name: "gunicorn", pool: true, needs: []string{"gunicorn"},
		serve: func(s site) [][]string { return one("gunicorn", "-w", "4", "-b", s.addr(), "on_wsgi:app") }},
	{name: "puma", pool: true, needs: []string{"puma"},
		serve: func(s site) [][]string {
			return one("puma", "-w", "4", "-t", "1:1", "-b", "tcp://"+s.addr(), "-e", "production", "config.ru")
		}},
	{name: "php-fpm", pool: true, needs: []string{"nginx:/usr/sbin/nginx", "php-fpm:" + fpm()},
		prepare: func(s site) error { return fill(s, "fpm.conf", "fpm-nginx.conf") },
		serve: func(s site) [][]string {
			return [][]string{
				{fpm(), "-R", "-F", "-y", s.dir + "/fpm.conf"},
				{"/usr/sbin/nginx", "-p", s.dir, "-c", s.dir + "/fpm-nginx.conf"},
			}
		}},
}

const (
	// python is Debian's: the first python3 in PATH can lack Debian's packages.
	python = "/usr/bin/python3"
	netty  = "/usr/share/java/netty-transport.jar"
)

// nettyPath is the class path with all parts of netty: netty-all.jar has none.
func nettyPath() string {
	jars, _ := filepath.Glob("/usr/share/java/netty-*.jar")
	return strings.Join(jars, ":")
}

func pythonPackage(name string) string {
	return "python3-" + name + ":/usr/lib/python3/dist-packages/" + name
}

// fpm returns the path of php-fpm, whose name contains the version of PHP.
func fpm() string {
	if found, _ := filepath.Glob("/usr/sbin/php-fpm*"); len(found) > 0 {
		return found[0]
	}
	return "/usr/sbin/php-fpm"
}

func buildLoop(s site) error {
	return compile(s, "gcc", "-O1", "-o", filepath.Join(s.dir, "loop"), "loop.c", "server.c")
}

func runLoop(mode string) func(site) [][]string {
	return func(s site) [][]string { return one(filepath.Join(s.dir, "loop"), s.portText(), mode) }
}

// find returns the rows with these names, or all rows if names is empty.
func find(rows []runtime, names []string) ([]runtime, error) {
	if len(names) == 0 {
		return rows, nil
	}
	var found []runtime
	for _, name := range names {
		n := len(found)
		for _, r := range rows {
			if r.name == name {
				found = append(found, r)
			}
		}
		if len(found) == n {
			return nil, fmt.Errorf("nothing is named %q; for example, -only node,redis", name)
		}
	}
	return found, nil
}
