// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestAgentUnderClients checks that clients that do not read, do not speak TLS or guess
// passwords affect neither responses to other clients nor the log, and that log lines
// about them are in the agent's format.
func TestAgentUnderClients(t *testing.T) {
	a := configuredAgent(t, webConfig)
	a.start("--web.config.file", "web.yml", "--log.format", "json", "--web.allowed-host", "headroom.example")
	attacker := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for i := range 60 {
		c, err := attacker.Dial("tcp", a.address)
		if err != nil {
			continue // refused: limit reached
		}
		t.Cleanup(func() { _ = c.Close() })
		if i%2 == 0 {
			_, _ = fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", a.address) // not TLS
		}
	}
	for range 10 {
		if status, body := a.get("https", "/metrics", secret); status != http.StatusOK {
			t.Errorf("/metrics beside clients that stall: %d %.200s", status, body)
		}
	}
	wrong := make(map[int]int)
	for range 20 {
		status, _ := a.get("https", "/metrics", "guessed")
		wrong[status]++
	}
	if wrong[http.StatusTooManyRequests] == 0 {
		t.Errorf("20 wrong passwords got %v, want 429 for some", wrong)
	}
	if status, body := a.get("https", "/metrics", secret); status != http.StatusOK || !strings.Contains(body, `headroom_http_requests_rejected_total{reason="password"}`) {
		t.Errorf("the right password after wrong ones got %d, want 200 with metrics about them", status)
	}
	lines := 0
	for line := range strings.Lines(a.log()) {
		var record struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("a line is not JSON: %q", line)
		}
		if record.Msg == "TLS handshake failed" {
			lines++
		}
	}
	if lines == 0 || lines > 5 {
		t.Errorf("%d lines of failed handshakes, want 1 to 5:\n%s", lines, a.log())
	}
}
