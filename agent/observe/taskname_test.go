// SPDX-License-Identifier: Apache-2.0

package observe

import "testing"

func TestThreadName(t *testing.T) {
	for _, tt := range []struct{ comm, main, executable, want string }{
		{"libuv-worker", "node", "node", "libuv-worker"},
		{"node", "node", "node", "node"},
		{"python3", "python3", "python3.11", "python3"},
		{"MainThread", "MainThread", "node", "MainThread"},
		{"node-MainThread", "node-MainThread", "node", "node-MainThread"},
		{"C2 CompilerThre", "java", "java", "C2 CompilerThre"},
		{"GC Thread#0", "java", "java", "GC Thread#0"},
		{"Signal Dispatch", "java", "java", "Signal Dispatch"},
		{"VM Periodic Tas", "java", "java", "VM Periodic Tas"},
		{"http-nio-8080-e", "java", "java", "http-nio-8080-e"},
		{"pool-1-thread-1", "java", "java", "pool-1-thread-1"},
		{"thumbnailer", "node", "node", "thumbnailer"},
		{"V8Worker", "node", "node", "V8Worker"},
		{"erts_sched_1", "beam.smp", "beam.smp", "erts_sched_1"},

		{"celery: SECRET", "celery: SECRET", "python3.11", ""},
		{"celery: SECRET", "celery: other", "python3.11", ""},
		{"SECRET", "SECRET", "python3.11", ""},
		{"npm run SECRET", "npm run SECRET", "node", ""},
		{"postgres: alice", "postgres: alice", "postgres", ""},
		{"a=SECRET", "node", "node", ""},
		{"u@SECRET", "node", "node", ""},
		{"4111111111111", "node", "node", ""},
		{"a9f8c7d6e5", "node", "node", ""},
		{"k4242424242", "node", "node", ""},
		{"sécret", "node", "node", ""},
		{"\x1b[31m", "node", "node", ""},
		{"a\nb", "node", "node", ""},
	} {
		if got := ThreadName(tt.comm, tt.main, tt.executable); got != tt.want {
			t.Errorf("name of %+v = %q", tt, got)
		}
	}
}

func TestProgramName(t *testing.T) {
	for comm, want := range map[string]string{
		"shop": "shop", "runc:[2:INIT]": "runc:[2:INIT]", "redis-server": "redis-server", "nginx": "nginx",
		"celery: SECRET": "unknown", "": "unknown", "a\tb": "unknown", "\xff\xfe": "unknown",
	} {
		if got := ProgramName(comm); got != want {
			t.Errorf("name of %q = %q, want %q", comm, got, want)
		}
	}
}
