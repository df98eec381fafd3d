// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os/exec"
	"strconv"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/traffic"
)

// redis starts a server without persistence.
func (l *lab) redis(t *testing.T) *process {
	t.Helper()
	port := strconv.Itoa(outside.FreePort(t))
	p := start(t, exec.Command(need(t, "redis-server"), "--bind", "127.0.0.1", "--port", port,
		"--save", "", "--appendonly", "no", "--dir", l.dir, "--enable-debug-command", "local"))
	waitPort(t, p, "127.0.0.1:"+port)
	return p
}

func dialRedis(t *testing.T, addr string) *traffic.Redis {
	t.Helper()
	c, err := traffic.DialRedis(addr)
	outside.Must(t, err)
	t.Cleanup(c.Close)
	return c
}
