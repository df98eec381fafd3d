// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
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

// A redisClient is one connection that sends one command at a time.
type redisClient struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

func dialRedis(t *testing.T, addr string) *redisClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	outside.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	return &redisClient{conn: conn, in: bufio.NewReaderSize(conn, 1<<20)}
}

// do sends an inline command and reads its whole answer.
func (c *redisClient) do(_ context.Context, command string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
		return err
	}
	return c.skip()
}

// skip reads one reply: a line, a string, or an array of replies.
func (c *redisClient) skip() error {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	kind, rest := line[0], string(line[1:len(line)-2])
	switch kind {
	case '-':
		return fmt.Errorf("redis: %s", rest)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return err
		}
		_, err = c.in.Discard(n + len("\r\n"))
		return err
	case '*':
		n, err := strconv.Atoi(rest)
		for ; err == nil && n > 0; n-- {
			err = c.skip()
		}
		return err
	}
	return nil
}
