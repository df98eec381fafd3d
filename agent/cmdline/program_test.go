// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"strings"
	"testing"
)

// packages is a host on which every file exists, with the packages of some scripts.
type packages struct {
	anything
	homes map[string]Home
}

func (p packages) Home(arg string, _ []string) Home { return p.homes[arg] }

func TestProgram(t *testing.T) {
	host := packages{homes: map[string]Home{
		"x.js":                                  {Package: "shop", Path: "x.js"},
		"/srv/a/x.js":                           {Package: "shop", Path: "x.js"},
		"/srv/shop/api/x.js":                    {Package: "shop", Path: "api/x.js"},
		"dist/main":                             {Package: "@acme/shop", Path: "dist/main.js"},
		"bin/shop":                              {Package: "shop", Path: "bin/shop"},
		"deep/in/shop/x.js":                     {Package: "shop", Path: "deep/in/shop/x.js"},
		".bin/next":                             {Package: "shop", Path: "node_modules/next/dist/bin/next", Installed: true},
		"bad.js":                                {Package: "a b", Path: "bad.js"},
		"upper.js":                              {Package: "Shop", Path: "upper.js"},
		"long.js":                               {Package: strings.Repeat("a", maxPackage+1), Path: "long.js"},
		"dots.js":                               {Package: "..", Path: "dots.js"},
		"slashes.js":                            {Package: "@a/b/c", Path: "slashes.js"},
		"odd.js":                                {Package: "shop", Path: "a b/c d.js"},
		"node_modules/http-server/package.json": {Package: "docs", Path: "node_modules/http-server/package.json", Installed: true},
	}}
	bare := Namer{Files: nothing{}}
	if got := bare.Program("python3.11", []string{"python3", "gunicorn", "hunter2:app"}, "python3 gunicorn"); got != "" {
		t.Errorf("the program is %q, of an application that is no file", got)
	}
	for _, tt := range []struct{ exe, argv, want string }{
		{"node", "node|x.js|--password=hunter2", "node shop/x.js"},
		{"node", "node|/srv/a/x.js", "node shop/x.js"},
		{"bun", "bun|run|x.js", "bun shop/x.js"},
		{"node", "node|/srv/shop/api/x.js", "node shop/api/x.js"},
		{"node", "node|dist/main", "node @acme/shop/dist/main.js"},
		{"node", "node|bin/shop", "node shop"},
		{"node", "node|deep/in/shop/x.js", "node shop/x.js"},
		{"node", "node|.bin/next|start", "node shop/next"},
		{"node", "node /srv/a/x.js", "node shop/x.js"},
		{"node", "http-server", "node docs/http-server"},
		{"node", "node-red", ""},
		{"node", "node|absent.js", ""},
		{"node", "node|bad.js", ""},
		{"node", "node|upper.js", ""},
		{"node", "node|long.js", ""},
		{"node", "node|dots.js", ""},
		{"node", "node|slashes.js", ""},
		{"node", "node|odd.js", "node shop/odd.js"},
		{"node", "node|-e|x.js", ""},
		{"python3", "python3|x.js", ""},
		{"python3.11", "/usr/bin/python3|/usr/bin/gunicorn|-b|db:80|-w|4|shop.wsgi:app|hunter2", "gunicorn shop.wsgi"},
		{"python3.11", "gunicorn: master [shop.wsgi:app]", "gunicorn shop.wsgi"},
		{"python3.11", "gunicorn: worker [shop.wsgi:create()]", "gunicorn shop.wsgi"},
		{"python3.11", "gunicorn: worker [hunter2]", ""},
		{"python3.11", "gunicorn: worker [a b:hunter2]", ""},
		{"python3.11", "python3|-m|uvicorn|main:app", "uvicorn main"},
		{"python3.11", "python3|-m|http.server|main:app", ""},
		{"python3.11", "python3|uvicorn|http://hunter2:8000", ""},
		{"python3.11", "python3", ""},
		{"nginx", "nginx: worker process", ""},
		{"node", "PM2 v6.0.8: God Daemon (/home/secret/.pm2)", ""},
		{"node", "", ""},
	} {
		var argv []string
		if tt.argv != "" {
			argv = strings.Split(tt.argv, "|")
		}
		n := Namer{Files: host}
		if got := n.Program(tt.exe, argv, n.Command(tt.exe, argv)); got != tt.want {
			t.Errorf("program of %s %q = %q, want %q", tt.exe, tt.argv, got, tt.want)
		}
	}
}
