// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/headroom-project/headroom/agent/sampler"
)

// question is INFO for the sections that are read, as three commands: servers before 7.0 accept
// one section. https://redis.io/docs/latest/commands/info
const question = "*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n*2\r\n$4\r\nINFO\r\n$5\r\nstats\r\n*2\r\n$4\r\nINFO\r\n$8\r\nkeyspace\r\n"

const (
	answersOfQuestion = 3
	// maxAnswer is the largest answer that is read. One section has less than 4 KB.
	maxAnswer = 64 << 10
)

// A connection is the one connection to a server. It is kept, because opening one costs
// the server more than the question.
type connection struct {
	address netip.AddrPort
	conn    net.Conn // nil while it is closed
	lines   *bufio.Reader
}

func (c *connection) close() {
	if c.conn != nil {
		c.conn.Close() //nolint:errcheck // nothing was written that matters
		c.conn = nil
	}
}

// read asks the server. A connection that was closed meanwhile, as servers do with idle
// clients (timeout), is opened once more.
func (c *connection) read(ctx context.Context) (info, error) {
	kept := c.conn != nil
	i, err := c.ask(ctx)
	if kept && errors.Is(err, errEnded) && ctx.Err() == nil {
		i, err = c.ask(ctx)
	}
	return i, err
}

// errEnded means that the connection has ended.
var errEnded = errors.New("the connection ended")

func (c *connection) ask(ctx context.Context) (info, error) {
	var none info
	if c.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.address.String())
		if err != nil {
			return none, c.failed("find out why in the log of the server", "cannot be reached")
		}
		c.conn, c.lines = conn, bufio.NewReader(conn)
	}
	fields, err := c.exchange(ctx)
	if err != nil {
		c.close()
		return none, err
	}
	return parse(fields), nil
}

// exchange sends the question, and returns the lines of the answers.
func (c *connection) exchange(ctx context.Context) (map[string]string, error) {
	until, ok := ctx.Deadline()
	if !ok {
		return nil, errors.New("a question without a deadline")
	}
	if err := c.conn.SetDeadline(until); err != nil {
		return nil, errEnded
	}
	if _, err := io.WriteString(c.conn, question); err != nil {
		return nil, errEnded
	}
	fields := make(map[string]string)
	for range answersOfQuestion {
		if err := c.answer(ctx, fields); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// answer reads one answer: a string of lines.
//
//	$45\r\nused_memory:1048576\r\nmaxmemory:104857600\r\n…\r\n
func (c *connection) answer(ctx context.Context, fields map[string]string) error {
	line, err := c.lines.ReadSlice('\n')
	switch {
	case err != nil && ctx.Err() != nil || isTimeout(err):
		return c.failed("find out what keeps it busy", "does not answer INFO in time")
	case errors.Is(err, bufio.ErrBufferFull):
		return c.notRedis()
	case err != nil:
		return errEnded
	}
	text := strings.TrimSuffix(string(line), "\r\n")
	if reason, refused := strings.CutPrefix(text, "-"); refused {
		return c.refused(reason)
	}
	size, isString := strings.CutPrefix(text, "$")
	n, err := strconv.Atoi(size)
	if !isString || err != nil || n < 0 || n > maxAnswer {
		return c.notRedis()
	}
	body := make([]byte, n+len("\r\n"))
	if _, err := io.ReadFull(c.lines, body); err != nil {
		if isTimeout(err) {
			return c.failed("find out what keeps it busy", "does not answer INFO in time")
		}
		return errEnded
	}
	for l := range strings.SplitSeq(string(body), "\r\n") {
		if key, value, ok := strings.Cut(l, ":"); ok {
			fields[key] = value
		}
	}
	return nil
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

func (c *connection) failed(cure, what string) error {
	return sampler.NotSupported(cure, "Redis at %s %s: its hits and evictions are not observed", c.address, what)
}

func (c *connection) notRedis() error {
	return c.failed("let it listen on a port without encryption that headroom can reach", "answers INFO with something else than Redis does")
}

// refused explains an error of the server. Its text can have names of users: only the
// code is shown.
//
//	NOAUTH Authentication required.
func (c *connection) refused(reason string) error {
	code, _, _ := strings.Cut(reason, " ")
	switch code {
	case "NOAUTH", "NOPERM":
		return c.failed("let clients without a password run INFO: a rule of its ACL for the user default, with other users for the applications", "does not answer INFO without a password")
	case "DENIED":
		return c.failed("set a password for its users, or protected-mode no", "is in protected mode")
	case "LOADING", "MASTERDOWN", "BUSY":
		return c.failed("", "loads its data, or runs a script")
	}
	return c.failed("find out whether INFO is renamed", "refuses INFO")
}

// An info is what a server says of itself.
type info struct {
	hits, misses, evicted, expired float64
	keys                           float64
	used, data, limit              float64 // bytes
	policy                         string
}

// policies are the values of maxmemory-policy.
var policies = []string{"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"}

func parse(fields map[string]string) info {
	number := func(key string) float64 {
		v, err := strconv.ParseFloat(fields[key], 64)
		if err != nil || v < 0 || v > 1<<60 {
			return 0
		}
		return v
	}
	i := info{
		hits: number("keyspace_hits"), misses: number("keyspace_misses"),
		evicted: number("evicted_keys"), expired: number("expired_keys"),
		used: number("used_memory") - number("mem_not_counted_for_evict"), limit: number("maxmemory"),
	}
	i.data = max(0, i.used-number("used_memory_startup")-number("mem_clients_normal"))
	for _, p := range policies {
		if fields["maxmemory_policy"] == p {
			i.policy = p
		}
	}
	for key, value := range fields {
		if isDatabase(key) {
			i.keys += keysOf(value)
		}
	}
	return i
}

// isDatabase reports whether a field is about a database: db0.
func isDatabase(key string) bool {
	number, ok := strings.CutPrefix(key, "db")
	_, err := strconv.Atoi(number)
	return ok && err == nil
}

// keysOf returns the number of keys of a database.
//
//	keys=1000,expires=0,avg_ttl=0
func keysOf(value string) float64 {
	var n float64
	if _, err := fmt.Sscanf(value, "keys=%f,", &n); err != nil || n < 0 {
		return 0
	}
	return n
}
