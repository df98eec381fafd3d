// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// A Redis is one connection that sends one command at a time.
type Redis struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

// DialRedis opens a connection.
func DialRedis(addr string) (*Redis, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Redis{conn: conn, in: bufio.NewReaderSize(conn, 1<<20)}, nil
}

// Close closes the connection.
func (c *Redis) Close() { c.conn.Close() } // no pending data matters

// Do sends an inline command and reads its whole answer. The connection cannot be
// used after the context has ended.
func (c *Redis) Do(ctx context.Context, command string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
		return err
	}
	return c.skip()
}

// skip reads one reply: a line, a string, or an array of replies.
func (c *Redis) skip() error {
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
