// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Cached reads keys of a Redis as an application does that has it in front of a database:
// it gets a key, and sets it if it is not there.
type Cached struct {
	Hits, Misses atomic.Int64

	conn  net.Conn
	in    *bufio.Reader
	next  func() uint64
	value string
}

// batchEvery is the interval of batches: the commands of one are sent together.
const batchEvery = 5 * time.Millisecond

// DialCached opens a connection. next returns the number of a key, and the values have a
// size in bytes.
func DialCached(addr string, size int, next func() uint64) (*Cached, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Cached{conn: conn, in: bufio.NewReaderSize(conn, 1<<20), next: next, value: strings.Repeat("x", size)}, nil
}

// Run reads keys at a rate until the context ends. What the server cannot take is not
// sent later.
func (c *Cached) Run(ctx context.Context, perSecond int) error {
	defer c.conn.Close() // no pending data matters
	each := max(1, int(float64(perSecond)*batchEvery.Seconds()))
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.batch(each); err != nil {
				return err
			}
		}
	}
}

func (c *Cached) batch(n int) error {
	keys := make([]string, n)
	var gets, sets strings.Builder
	for i := range keys {
		keys[i] = "user:" + strconv.FormatUint(c.next(), 10)
		write(&gets, "GET", keys[i])
	}
	missed := 0
	err := c.exchange(gets.String(), n, func(i int, hit bool) {
		if hit {
			c.Hits.Add(1)
			return
		}
		c.Misses.Add(1)
		missed++
		write(&sets, "SET", keys[i], c.value)
	})
	if err != nil || missed == 0 {
		return err
	}
	return c.exchange(sets.String(), missed, func(int, bool) {})
}

// exchange sends commands, and calls f for each of the answers, with whether it is a
// value.
func (c *Cached) exchange(commands string, answers int, f func(i int, hit bool)) error {
	if _, err := io.WriteString(c.conn, commands); err != nil {
		return err
	}
	for i := range answers {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		switch {
		case line[0] == '-':
			return replyError(strings.TrimSpace(line[1:]))
		case line[0] != '$' || line == "$-1\r\n":
			f(i, false)
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
		if err != nil {
			return err
		}
		if _, err := c.in.Discard(n + len("\r\n")); err != nil {
			return err
		}
		f(i, true)
	}
	return nil
}

// write adds a command as clients send it.
func write(to *strings.Builder, words ...string) {
	fmt.Fprintf(to, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(to, "$%d\r\n%s\r\n", len(w), w)
	}
}
