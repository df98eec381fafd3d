// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"regexp"
	"syscall"
	"testing"
)

// passwordOnly is webConfig without TLS.
const passwordOnly = `basic_auth_users: {prometheus: "$2b$04$abcdefghijklmnopqrstuuT2yttZzfGzzeZsPu1W3CYiZRJeAsSSq"}
`

// TestMetricsListener checks that the address for metrics serves neither findings nor
// the page, with or without a password, and that health checks need no password on any
// address.
func TestMetricsListener(t *testing.T) {
	const full, metrics = "127.0.0.1", "127.0.0.2"
	for _, c := range []struct {
		name, config string
		locked       int // status of a request without a password
	}{
		{"open", "{}\n", http.StatusOK},
		{"password", passwordOnly, http.StatusUnauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &runningAgent{t: t, dir: t.TempDir()}
			a.write("headroom.yml", "every: 10s\n")
			a.write("web.yml", c.config)
			a.start("--web.config.file", "web.yml", "--web.metrics-listen-address", metrics+":0")
			at := map[string]string{full: a.listensOn(full), metrics: a.listensOn(metrics)}
			for path, want := range map[string]map[string]int{
				"/metrics":                    {full: http.StatusOK, metrics: http.StatusOK},
				"/healthz":                    {full: http.StatusOK, metrics: http.StatusOK},
				"/":                           {full: http.StatusOK, metrics: http.StatusNotFound},
				"/api/v1/services":            {full: http.StatusOK, metrics: http.StatusNotFound},
				"/api/v1/findings/history":    {full: http.StatusOK, metrics: http.StatusNotFound},
				"/metrics/../api/v1/services": {full: http.StatusOK, metrics: http.StatusNotFound},
				"//api/v1/services":           {full: http.StatusOK, metrics: http.StatusNotFound},
			} {
				for ip, status := range want {
					a.address = at[ip]
					if got, body := a.get("http", path, secret); got != status {
						t.Errorf("GET %s at %s = %d %.80q, want %d", path, ip, got, body, status)
					}
					if path == "/healthz" {
						status = http.StatusOK
					} else if c.locked != http.StatusOK {
						status = c.locked
					}
					if got, body := a.get("http", path, ""); got != status {
						t.Errorf("GET %s at %s without a password = %d %.80q, want %d", path, ip, got, body, status)
					}
				}
			}
			a.signal(syscall.SIGTERM)
			if err := a.cmd.Wait(); err != nil {
				t.Errorf("it ends with %v, want 0:\n%s", err, a.log())
			}
		})
	}
}

// listensOn returns the address that the agent logs for an IP address.
func (a *runningAgent) listensOn(ip string) (address string) {
	a.t.Helper()
	line := regexp.MustCompile(`address=(` + regexp.QuoteMeta(ip) + `:\d+)`)
	a.await("it listens on "+ip, func() bool {
		found := line.FindStringSubmatch(a.log())
		if found != nil {
			address = found[1]
		}
		return found != nil
	})
	return address
}
