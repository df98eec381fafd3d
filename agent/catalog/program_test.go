// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"testing"

	"github.com/headroom-project/headroom/agent/observe"
)

func TestNamesOfAProgram(t *testing.T) {
	x := observe.NewIndex(observe.DefaultLimit)
	p := x.ID(observe.Entity{Kind: observe.Process, ID: "7:1"})
	box := x.ID(observe.Entity{Kind: observe.Cgroup, ID: "/docker/c0ffee"})
	x.Describe(box, observe.Info{Attrs: map[string]string{AttrContainerID: "c0ffee"}})
	for _, tt := range []struct{ executable, command, program, wantCommand, wantProgram string }{
		{"node", "node server.js", "node shop/server.js", "node shop/server.js", "node shop/server.js"},
		{"node", "node server.js", "", "node server.js", "node server.js"},
		{"python3.11", "python3 -m http.server", "", "python3 -m http.server", "python3 -m http.server"},
		{"java", "java org.acme.Main", "", "java org.acme.Main", "java org.acme.Main"},
		{"nginx", "nginx: worker process", "", "nginx: worker process", "nginx"},
		{"postgres", "postgres: backend", "", "postgres: backend", "postgres"},
		{"python3.11", "gunicorn: worker", "", "gunicorn: worker", "gunicorn"},
		{"redis-server", "", "", "redis-server", "redis-server"},
		{"", "", "", "", ""},
	} {
		x.Describe(p, observe.Info{Attrs: map[string]string{AttrExecutable: tt.executable, AttrCommand: tt.command, AttrProgram: tt.program}})
		if got := Command(x, p); got != tt.wantCommand {
			t.Errorf("command of %+v = %q", tt, got)
		}
		if got := Program(x, p); got != tt.wantProgram {
			t.Errorf("program of %+v = %q", tt, got)
		}
		x.Describe(p, observe.Info{Parent: x.Entity(box), Attrs: x.Info(p).Attrs})
		if got := Program(x, p); got != tt.executable {
			t.Errorf("program of %+v in a container = %q", tt, got)
		}
	}
}
