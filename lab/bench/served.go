// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// httpNumber gets a page that consists of one number.
func httpNumber(url string) (float64, error) {
	r, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
}

// redisCommands asks redis how many commands it has processed.
func redisCommands(port string) (float64, error) {
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "INFO stats\r\n"); err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "total_commands_processed:"); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("no total_commands_processed in the answer of redis")
}
