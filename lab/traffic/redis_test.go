// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"net"
	"testing"
	"time"
)

// TestRedisAfterACommandWithoutAnswer checks that a client can be used after the end of
// a context, with a server that answers on its second connection only.
func TestRedisAfterACommandWithoutAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if n > 0 {
				_, _ = bufio.NewReader(conn).ReadString('\n')
				_, _ = conn.Write([]byte("+PONG\r\n"))
			}
		}
	}()
	c, err := DialRedis(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Do(ctx, "PING"); err == nil {
		t.Error("a command without an answer succeeds")
	}
	if err := c.Do(t.Context(), "PING"); err != nil {
		t.Errorf("the next command: %v", err)
	}
}
