// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/printable"
)

// anything is a host on which every file exists, and nothing is a host without files.
type (
	anything struct{}
	nothing  struct{}
)

func (anything) File(string, []string) bool { return true }
func (anything) Module(string, string) bool { return true }
func (anything) Class(string, string) bool  { return true }
func (anything) Package(name string) bool   { return name == "http-server" || name == "node-red" }
func (anything) Home(string, []string) Home { return Home{} }
func (nothing) File(string, []string) bool  { return false }
func (nothing) Module(string, string) bool  { return false }
func (nothing) Class(string, string) bool   { return false }
func (nothing) Package(string) bool         { return false }
func (nothing) Home(string, []string) Home  { return Home{} }

func TestCommand(t *testing.T) {
	for _, tt := range []struct{ exe, argv, want string }{
		{"node", "node|server.js", "node server.js"},
		{"node", "node|./server.js|--password=hunter2", "node server.js"},
		{"node", "/usr/bin/node|--max-old-space-size=512|-r|dotenv/config|/srv/shop/server.js|secret", "node shop/server.js"},
		{"node", "node|--inspect|dist/main.js", "node dist/main.js"},
		{"node", "node|-e|require('http')", "node"},
		{"node", "node|--token|a b", "node"},
		{"node", "node", "node"},
		{"node", "node|.", "node"},
		{"node", "my app title with secrets", "node"},
		{"node", "http-server", "node http-server"},
		{"node", "node-red", "node node-red"},
		{"node", "http-server --password=secret", "node http-server"},
		{"node", "secret http-server", "node"},
		{"node", "../http-server", "node"},
		{"node", "node /srv/shop/server.js", "node shop/server.js"},
		{"node", "node secret", "node"},
		{"node", "PM2 v6.0.8: God Daemon (/home/secret/.pm2)", "PM2"},
		{"python3.11", "http-server", "python3.11"},
		{"nodejs", "node|app.js", "node app.js"},
		{"bun", "bun|run|api/index.ts|x", "bun api/index.ts"},
		{"bun.exe", "bun|run|api/index.ts|x", "bun api/index.ts"},
		{"deno", "deno|run|-A|--allow-net=10.0.0.1|main.ts|secret", "deno main.ts"},
		{"python3.11", "python3|app.py|--key=1", "python3 app.py"},
		{"python3.11", "python|-m|http.server|8000", "python -m http.server"},
		{"python3.11", "/usr/bin/python3.11|-um|flask|run", "python3.11 -m flask"},
		{"python3.11", "python3|-W|ignore|-X|dev|web/main.py", "python3 web/main.py"},
		{"python3.11", "python3|-Wignore|manage.py|runserver", "python3 manage.py"},
		{"python3.11", "python3|-c|print('secret')", "python3"},
		{"python3.11", "python3|-Ic|print('secret')", "python3"},
		{"python3.11", "/usr/bin/python3|/usr/local/bin/gunicorn|app:app", "python3 gunicorn"},
		{"python3.11", "gunicorn: master [shop]", "gunicorn: master"},
		{"python3.11", "gunicorn: worker [shop]", "gunicorn: worker"},
		{"python3.11", "[celeryd: celery@secret-host:MainProcess]", "python3.11"},
		{"python3.11", "python3|-", "python3"},
		{"java", "java|-Xmx1g|-cp|a.jar:b.jar|org.acme.Main|secret", "java org.acme.Main"},
		{"java", "/opt/jdk/bin/java|-jar|/srv/shop/app.jar|--db.password=x", "java app.jar"},
		{"java", "java|-p|mods|-m|shop/org.acme.Main", "java org.acme.Main"},
		{"java", "java|@args", "java"},
		{"dotnet", "dotnet|/app/Shop.dll|secret", "dotnet Shop.dll"},
		{"dotnet", "dotnet|exec|--depsfile|x.json|Shop.dll", "dotnet Shop.dll"},
		{"ruby3.1", "ruby|-I|lib|bin/rails|server", "ruby rails"},
		{"ruby3.1", "puma 5.6 (tcp://10.0.0.1:3000) [shop]", "puma"},
		{"ruby3.1", "puma: cluster worker 0: 4242 [shop]", "puma: cluster worker"},
		{"php8.2", "php|artisan|queue:work", "php artisan"},
		{"php8.2", "php|-r|echo 1;", "php8.2"[:3]},
		{"php-fpm8.2", "php-fpm: pool www", "php-fpm: pool"},
		{"php-fpm8.2", "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)", "php-fpm: master process"},
		{"bash", "bash|-c|curl -H secret", "bash"},
		{"bash", "/bin/bash|/opt/run/start.sh|secret", "bash run/start.sh"},
		{"dash", "/bin/sh|-e|start.sh", "dash start.sh"},
		{"bash", "-bash", "bash"},
		{"bash", "bash|/dev/fd/3", "bash"},
		{"perl", "perl|-MCPAN|-e|x", "perl"},
		{"nginx", "nginx: master process /usr/sbin/nginx -g daemon off;", "nginx: master process"},
		{"nginx", "nginx: worker process", "nginx: worker process"},
		{"nginx", "nginx: worker process is shutting down", "nginx: worker process"},
		{"nginx", "nginx|-g|daemon off;", "nginx"},
		{"redis-server", "/usr/bin/redis-server 127.0.0.1:6379", "redis-server"},
		{"redis-server", "redis-server|--requirepass|secret", "redis-server"},
		{"postgres", "/usr/lib/postgresql/15/bin/postgres|-D|/var", "postgres"},
		{"postgres", "postgres: 15/main: checkpointer ", "postgres: checkpointer"},
		{"postgres", "postgres: walwriter ", "postgres: walwriter"},
		{"postgres", "postgres: 15/main: alice payroll 10.0.0.7(51234) SELECT", "postgres: backend"},
		{"postgres", "postgres: alice payroll [local] idle", "postgres: backend"},
		{"mysqld", "mysqld|--password=secret", "mysqld"},
		{"curl", "curl|-H|Authorization: secret", "curl"},
		{"node", "node|a\nb.js", "node"},
		{"node", "node|caf\xe9.js", "node caf?.js"},
		{"node", "", "node"},
	} {
		var argv []string
		if tt.argv != "" {
			argv = strings.Split(tt.argv, "|")
		}
		if got := (Namer{Files: anything{}}).Command(tt.exe, argv); got != tt.want {
			t.Errorf("command of %s %q = %q, want %q", tt.exe, tt.argv, got, tt.want)
		}
	}
}

// TestNamesThatAreKept checks names that stay the same when a release is removed while
// it runs, and when a daemon changes its directory.
func TestNamesThatAreKept(t *testing.T) {
	for _, tt := range []struct{ exe, argv, known, want string }{
		{"node", "node|/srv/shop/server.js", "node shop/server.js", "node shop/server.js"},
		{"node", "node|server.js", "node server.js", "node server.js"},
		{"node", "node|myserver.js", "node server.js", "node"},
		{"node", "node|worker.js", "node server.js", "node"},
		{"node", "node|-e|server.js", "node server.js", "node"},
		{"python3.11", "python3|-m|shop", "python3 -m shop", "python3 -m shop"},
		{"python3.11", "python3|-m|shop", "python3 shop", "python3"},
		{"python3.11", "python3|-m|http.server|8000", "", "python3 -m http.server"},
		{"java", "java|-cp|a.jar|org.acme.Main", "java org.acme.Main", "java org.acme.Main"},
		{"nginx", "nginx: worker process SECRET", "", "nginx: worker process"},
		{"node", "http-server", "node http-server", "node http-server"},
		{"node", "secret", "node http-server", "node"},
		{"node", "node /srv/shop/server.js", "node shop/server.js", "node shop/server.js"},
	} {
		if got := (Namer{Files: nothing{}, Known: tt.known}).Command(tt.exe, strings.Split(tt.argv, "|")); got != tt.want {
			t.Errorf("%q after %q = %q, want %q", tt.argv, tt.known, got, tt.want)
		}
	}
}

// TestArgumentsStayInside checks for every interpreter that arguments which must not be
// shown are not returned.
func TestArgumentsStayInside(t *testing.T) {
	const secret = "hunter2"
	for exe := range interpreters {
		for _, argv := range [][]string{
			{exe, "main.x", secret},
			{exe, "main.x", "--password", secret},
			{exe, "--password=" + secret, "main.x"},
			{exe + " " + secret},
			{exe, "main.x", "-m", secret},
			{exe, "main.x", "-jar", secret},
			{exe, "main.x", "-f", secret},
			{exe, "Main.dll", "https://" + secret + "@db"},
		} {
			if got := (Namer{Files: anything{}}).Command(exe, argv); strings.Contains(got, secret) {
				t.Errorf("command of %q = %q", argv, got)
			}
		}
	}
}

func FuzzCommand(f *testing.F) {
	f.Add("python3.11", "python3\x00-um\x00pkg")
	f.Add("java", "java\x00-jar\x00a.jar")
	f.Add("postgres", "postgres: a: b")
	f.Fuzz(func(t *testing.T, exe, argv string) {
		got := Namer{Files: anything{}}.Command(printable.Name(exe, MaxName), strings.Split(argv, "\x00"))
		if printable.Text(got) != got {
			t.Errorf("command = %q", got)
		}
	})
}

func TestExecutable(t *testing.T) {
	for _, tt := range []struct{ link, comm, argv, want string }{
		{"/usr/bin/node", "MainThread", "node|x.js", "node"},
		{"/usr/bin/redis-check-rdb", "redis-server", "/usr/bin/redis-server 127.0.0.1:6379", "redis-server"},
		{"/usr/bin/redis-check-rdb", "redis-check-rdb", "redis-check-rdb|dump.rdb", "redis-check-rdb"},
		{"/opt/shop", "node", "shop", "shop"},
		{"/opt/shop", "worker", "node", "shop"},
		{"", "MainThread", "node|x.js", "node"},
		{"", "nginx", "nginx: worker process", "nginx"},
		{"", "shop", "shop|--password=secret", "shop"},
		{"/memfd:runc_cloned:/proc/self/exe", "runc:[2:INIT]", "runc|init", "runc:[2:INIT]"},
		{"", "x", "", "x"},
	} {
		arg0, _, _ := strings.Cut(tt.argv, "|")
		if got := Executable(tt.link, tt.comm, arg0); got != tt.want {
			t.Errorf("executable of %+v = %q, want %q", tt, got, tt.want)
		}
	}
}

func TestRuntime(t *testing.T) {
	for exe, want := range map[string]string{
		"node": "node", "nodejs": "node", "bun": "bun", "bun.exe": "bun", "deno": "deno", "python3": "python", "python3.11": "python", "pypy3.10": "python",
		"uwsgi": "python", "java": "jvm", "redis-server": "redis", "valkey-server": "redis", "nginx": "nginx", "postgres": "postgres",
		"beam.smp": "beam", "ruby3.1": "ruby", "php-fpm8.2": "php", "php8.2": "php", "dotnet": "dotnet",
		"nodemon": "", "javac": "", "redis-cli": "", "bash": "", "": "", "7": "",
	} {
		if got := Runtime(exe); got != want {
			t.Errorf("runtime of %q = %q, want %q", exe, got, want)
		}
	}
}
