// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/headroom-project/headroom/lab/traffic"
)

// healthyPrograms are unmodified servers and frameworks from packages. No other
// part of the lab uses them. Each serves two loads below its capacity, so every
// warning on the host is false.
var healthyPrograms = []runtime{
	jsProgram("fastify"), jsProgram("koa"), jsProgram("hapi"), jsProgram("hono"), jsProgram("polka"), jsProgram("restify"),
	{name: "http-server", needs: []string{"nodejs:node"},
		serve: func(s site) [][]string {
			return one(s.bin("http-server"), s.healthy("www"), "-a", "127.0.0.1", "-p", s.portText(), "-s")
		}},
	{name: "serve", needs: []string{"nodejs:node"},
		serve: func(s site) [][]string {
			return one(s.bin("serve"), "-l", "tcp://"+s.addr(), "-L", "-n", s.healthy("www"))
		}},
	{name: "json-server", needs: []string{"nodejs:node"},
		prepare: func(s site) error { return fill(s, "healthy/db.json") },
		serve: func(s site) [][]string {
			return one(s.bin("json-server"), "--quiet", "--host", "127.0.0.1", "--port", s.portText(), s.dir+"/db.json")
		}},

	{name: "flask-waitress", needs: []string{"python3-flask:/usr/lib/python3/dist-packages/flask", "python3-waitress:/usr/bin/waitress-serve"},
		serve: func(s site) [][]string {
			return one("/usr/bin/waitress-serve", "--listen", s.addr(), "healthy.flask_app:app")
		}},
	{name: "cherrypy", needs: []string{"python3-cherrypy3:/usr/lib/python3/dist-packages/cherrypy"},
		serve: func(s site) [][]string { return one(python, s.healthy("cherrypy_app.py"), s.portText()) }},
	{name: "twisted", needs: []string{"python3-twisted:/usr/bin/twistd3"},
		serve: func(s site) [][]string {
			return one("/usr/bin/twistd3", "--nodaemon", "--pidfile=", "--logfile="+s.dir+"/log", "web",
				"--listen", "tcp:"+s.portText()+":interface=127.0.0.1", "--path", s.healthy("www"))
		}},
	{name: "sinatra-thin", needs: []string{"ruby-sinatra:/usr/share/rubygems-integration/all/specifications", "thin"},
		serve: func(s site) [][]string {
			return one("thin", "-a", "127.0.0.1", "-p", s.portText(), "-e", "production", "-q", "-R", s.healthy("sinatra.ru"), "start")
		}},
	{name: "starman", needs: []string{"starman"},
		serve: func(s site) [][]string {
			return one("starman", "--workers", "2", "--listen", s.addr(), "--disable-keepalive", s.healthy("app.psgi"))
		}},
	{name: "php-cli", needs: []string{"php-cli:php"},
		serve: func(s site) [][]string { return one("php", "-S", s.addr(), s.programs+"/index.php") }},

	{name: "apache2", needs: []string{"apache2-bin:apache2"},
		prepare: func(s site) error { return fill(s, "healthy/apache.conf") },
		serve: func(s site) [][]string {
			return one("apache2", "-d", s.dir, "-f", s.dir+"/apache.conf", "-DFOREGROUND")
		}},
	{name: "lighttpd", needs: []string{"lighttpd"},
		prepare: func(s site) error { return fill(s, "healthy/lighttpd.conf") },
		serve:   func(s site) [][]string { return one("lighttpd", "-D", "-f", s.dir+"/lighttpd.conf") }},
	{name: "caddy", needs: []string{"caddy"},
		serve: func(s site) [][]string {
			return one("caddy", "file-server", "--listen", s.addr(), "--root", s.healthy("www"))
		}},
	{name: "h2o", needs: []string{"h2o"},
		prepare: func(s site) error { return fill(s, "healthy/h2o.conf") },
		serve:   func(s site) [][]string { return one("h2o", "-c", s.dir+"/h2o.conf") }},
	{name: "varnish", needs: []string{"varnish:varnishd", "gcc"},
		prepare: func(s site) error { return fill(s, "healthy/varnish.vcl") },
		serve: func(s site) [][]string {
			return one("varnishd", "-F", "-n", s.dir+"/work", "-a", s.addr(), "-f", s.dir+"/varnish.vcl", "-s", "malloc,32m", "-j", "none")
		}},
	{name: "memcached", needs: []string{"memcached"}, ask: memcachedAsks,
		serve: func(s site) [][]string {
			return one("memcached", "-u", "root", "-l", "127.0.0.1", "-p", s.portText())
		}},
	{name: "etcd", needs: []string{"etcd-server:etcd"}, ask: pathAsks("/version"),
		serve: func(s site) [][]string {
			return one("etcd", "--data-dir", s.dir+"/etcd", "--listen-client-urls", "http://"+s.addr(),
				"--advertise-client-urls", "http://"+s.addr(), "--listen-peer-urls", "http://127.0.0.1:0", "--log-level", "error")
		}},
}

// healthy returns the path of a file of the healthy programs.
func (s site) healthy(name string) string { return filepath.Join(s.programs, "healthy", name) }

// jsProgram returns a server that uses a web framework from npm.
func jsProgram(name string) runtime {
	return runtime{name: name, needs: []string{"nodejs:node"},
		env: func(s site) []string { return []string{"NODE_PATH=" + s.modules} },
		serve: func(s site) [][]string {
			return one("node", s.healthy("framework.js"), name, s.portText())
		}}
}

// pathAsks returns HTTP requests for a path.
func pathAsks(path string) func(site) (*asks, error) {
	return func(s site) (*asks, error) {
		return &asks{light: traffic.HTTP("http://" + s.addr() + path), close: func() {}}, nil
	}
}

// memcachedAsks returns requests for a missing key. The inline commands of redis
// and the text protocol of memcached have the same form; its answer is one line.
func memcachedAsks(s site) (*asks, error) {
	conns, err := redisConnections(s)
	if err != nil {
		return nil, err
	}
	return &asks{light: conns.say("get price"), close: conns.close}, nil
}

// loads are the shares of the capacity at which a healthy program is observed.
var loads = []float64{0.3, 0.6}

// rounds is how often a program is observed at each load.
const rounds = 2

// healthyJobs returns the observations of each program at each load.
func (l *lab) healthyJobs(only []string) ([]job, error) {
	rows, err := find(healthyPrograms, only)
	if err != nil {
		return nil, err
	}
	var jobs []job
	for _, r := range rows {
		for _, share := range loads {
			for round := range rounds {
				s := healthyState(share, round)
				jobs = append(jobs, job{r.name + "/" + s.name, func(ctx context.Context) cell { return l.run(ctx, &r, &s) }})
			}
		}
	}
	return jobs, nil
}

func healthyState(share float64, round int) state {
	return state{
		name: fmt.Sprintf("%.0f%%-%d", 100*share, round+1),
		play: func(g *stage) error { return g.share(share) }, holds: (*stage).answers,
	}
}
