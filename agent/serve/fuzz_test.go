// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzConnection sends arbitrary bytes on a connection and checks that the server
// answers the next connection and logs no panic.
func FuzzConnection(f *testing.F) {
	for _, text := range []string{
		"GET /big HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip;q=0.5, *\r\nIf-None-Match: W/\"1\"\r\n\r\n",
		"HEAD /big?often=1 HTTP/1.0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"POST /big HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"GET http://evil.example/%2e%2e//big HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic dTpw\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x16\x03\x01\x00\x05",
	} {
		f.Add([]byte(text))
	}
	l := patient()
	l.Connections, l.AddressConnections = 10_000, 10_000
	l.AddressConnectionRate, l.AddressRequestRate, l.QueriesPerSecond, l.AddressPasswords, l.Passwords = 1e9, 1e9, 1e9, 1e9, 1e9
	s := newSite(f, "http", l, plainStart)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // only the behavior of the server matters
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		go func() {
			_, _ = c.Write(text)
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, c); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Errorf("%q: no end: %v", text, err)
			}
		}
		answer, err := http.Get("http://" + s.address + "/healthz")
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("after %q: %v %v", text, answer, err)
		}
		_ = answer.Body.Close()
		if log := s.log.String(); strings.Contains(log, "this is a bug") {
			t.Fatalf("after %q: %s", text, log)
		}
	})
}
