// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// redisDo sends one command, as an array of bulk strings, and returns the
// first line of the answer.
//
//	*2\r\n$4\r\nHDEL\r\n$13\r\nshop:settings\r\n  →  :1\r\n
func redisDo(words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr(portRedis), 2*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()                                //nolint:errcheck // everything was read
	conn.SetDeadline(time.Now().Add(2 * time.Second)) //nolint:errcheck // fails with the next use
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words)) //nolint:errcheck // a Builder does not fail
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w) //nolint:errcheck // as above
	}
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	if message, bad := strings.CutPrefix(line, "-"); bad {
		return "", errors.New("redis: " + strings.TrimSpace(message))
	}
	return strings.TrimSpace(line), nil
}
