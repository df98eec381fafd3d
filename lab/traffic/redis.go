// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// A Redis is a client that sends one command at a time.
type Redis struct {
	addr string
	mu   sync.Mutex
	conn net.Conn // nil after a command that was not answered
	in   *bufio.Reader
}

// DialRedis opens a connection.
func DialRedis(addr string) (*Redis, error) {
	c := &Redis{addr: addr}
	return c, c.dial()
}

func (c *Redis) dial() error {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return err
	}
	c.conn, c.in = conn, bufio.NewReaderSize(conn, 1<<20)
	return nil
}

// Close closes the connection.
func (c *Redis) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hangUp()
}

func (c *Redis) hangUp() {
	if c.conn != nil {
		c.conn.Close() // no pending data matters
		c.conn = nil
	}
}

// A replyError is an error that the server answers.
type replyError string

func (e replyError) Error() string { return "redis: " + string(e) }

// Do sends an inline command and reads its whole answer. If that fails, or the context
// ends first, the next command opens another connection: the answer can still arrive.
func (c *Redis) Do(ctx context.Context, command string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return err
		}
	}
	conn := c.conn
	cancel := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	_, err := io.WriteString(conn, command+"\r\n")
	if err == nil {
		err = c.skip()
	}
	var reply replyError
	if !cancel() || err != nil && !errors.As(err, &reply) {
		c.hangUp()
	}
	return err
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
		return replyError(rest)
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
