// SPDX-License-Identifier: Apache-2.0

package cmdline

import "testing"

// TestByShape checks names that earlier versions wrote.
func TestByShape(t *testing.T) {
	for _, tt := range []struct{ executable, was, want string }{
		{"node", "node", "node"},
		{"node", "node server.js", "node server.js"},
		{"node", "node shop/server.js", "node server.js"},
		{"nodejs", "node server.js", "node server.js"},
		{"python3.11", "python3 app.py", "python3 app.py"},
		{"python3.11", "python3 gunicorn", "python3 gunicorn"},
		{"python3.11", "python3 -m http.server", "python3 -m http.server"},
		{"ruby3.1", "ruby rails", "ruby rails"},
		{"php8.2", "php artisan", "php artisan"},
		{"java", "java app.jar", "java app.jar"},
		{"java", "java org.acme.Main", "java org.acme.Main"},
		{"dotnet", "dotnet Shop.dll", "dotnet Shop.dll"},
		{"bash", "bash run/start.sh", "bash start.sh"},
		{"dash", "dash start.sh", "dash start.sh"},
		{"nginx", "nginx: worker process", "nginx: worker process"},
		{"postgres", "postgres: backend", "postgres: backend"},
		{"redis-server", "redis-server", "redis-server"},

		{"python3.11", "python3 SECRET", "python3"},
		{"python3.11", "python3 -m SECRET", "python3"},
		{"perl", "perl s/x/SECRET", "perl"},
		{"deno", "deno SECRET@host/x.ts", "deno"},
		{"deno", "deno SECRET/mod.ts", "deno mod.ts"},
		{"node", "node u:SECRET@h/x.js", "node"},
		{"node", "node SECRET", "node"},
		{"java", "java SECRET", "java"},
		{"java", "java SECRET.SECRET", "java"},
		{"nginx", "nginx: SECRET", "nginx"},
		{"node", "SECRET", "node"},
		{"node", "SECRET server.js", "node"},
	} {
		if got := ByShape(tt.executable, tt.was); got != tt.want {
			t.Errorf("%q of %s = %q, want %q", tt.was, tt.executable, got, tt.want)
		}
	}
}
