// SPDX-License-Identifier: Apache-2.0

package rediskeys

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// described is a command as COMMAND INFO describes it: null if the server does not know it.
type described struct {
	flags             []string
	first, last, step int
}

func (d *described) UnmarshalJSON(b []byte) error {
	var name string
	var arity int
	return json.Unmarshal(b, &[]any{&name, &arity, &d.flags, &d.first, &d.last, &d.step})
}

// TestCommands compares the table with what a server says of its commands.
func TestCommands(t *testing.T) {
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	outside.Must(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	outside.Eventually(t, 20*time.Second, "redis-server answers", func() bool {
		return exec.Command("redis-cli", "-s", socket, "ping").Run() == nil
	})
	for _, g := range groups {
		names := strings.Fields(g.names)
		out, err := exec.Command("redis-cli", append([]string{"-s", socket, "--json", "command", "info"}, names...)...).Output()
		outside.Must(t, err)
		var all []*described
		outside.Must(t, json.Unmarshal(out, &all))
		for i, d := range all {
			if len(names[i]) > 16 {
				t.Errorf("%s is longer than the program reads", names[i])
			}
			if d != nil { // newer or older than this server
				compare(t, names[i], g, d)
			}
		}
	}
}

func compare(t *testing.T, name string, g group, d *described) {
	t.Helper()
	keys := rediskeysKeysKEYS_NONE
	switch {
	case slices.Contains(d.flags, "pubsub"): // its "keys" are channels
	case d.first == 1 && d.last == 1:
		keys = rediskeysKeysKEYS_FIRST
	case d.first == 1 && d.last == -1 && d.step == 1:
		keys = rediskeysKeysKEYS_ALL
	case d.first == 1 && d.last == -1 && d.step == 2:
		keys = rediskeysKeysKEYS_PAIRS
	}
	if want := g.keys; want != keys && (want < rediskeysKeysKEYS_DB || d.first != 0) && name != "watch" && name != "object" {
		t.Errorf("%s: keys %d, want %d as the server says (first %d, last %d, step %d)", name, want, keys, d.first, d.last, d.step)
	}
	if keys != rediskeysKeysKEYS_NONE && slices.Contains(d.flags, "write") == (g.access == rediskeysAccessACCESS_READ) {
		t.Errorf("%s: access %d, and the server says %v", name, g.access, d.flags)
	}
}
