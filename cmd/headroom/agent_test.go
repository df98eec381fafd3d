// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// secret is the password of the user in webConfig; bcrypt at its lowest cost keeps the
// test short.
const (
	secret    = "of the test"
	webConfig = `tls_server_config: {cert_file: cert.pem, key_file: key.pem}
basic_auth_users: {prometheus: "$2b$04$abcdefghijklmnopqrstuuT2yttZzfGzzeZsPu1W3CYiZRJeAsSSq"}
`
)

// TestAgentServes runs the agent as an operator does, with TLS, a password and a config
// that becomes invalid. The test does not depend on what the agent may observe here.
func TestAgentServes(t *testing.T) {
	a := startAgent(t, webConfig)
	for _, c := range []struct {
		scheme, path, password string
		status                 int
		says                   string
	}{
		{"https", "/healthz", secret, http.StatusOK, "ok"},
		{"https", "/metrics", secret, http.StatusOK, "headroom_config_last_reload_successful 1"},
		{"https", "/healthz", "", http.StatusOK, "ok"}, // kubelet probes send no password
		{"https", "/", "", http.StatusUnauthorized, ""},
		{"https", "/api/v1/findings", "", http.StatusUnauthorized, ""},
		{"https", "/metrics", "guessed", http.StatusUnauthorized, ""},
		{"http", "/metrics", secret, http.StatusBadRequest, ""},
	} {
		if status, body := a.get(c.scheme, c.path, c.password); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s with password %q = %d %.200q, want %d and %q", c.scheme, c.path, c.password, status, body, c.status, c.says)
		}
	}
	a.write("headroom.yml", "windw: 30s\n")
	a.signal(syscall.SIGHUP)
	a.await("it says that the config is refused", func() bool {
		_, body := a.get("https", "/metrics", secret)
		return strings.Contains(body, "headroom_config_last_reload_successful 0")
	})
	a.signal(syscall.SIGTERM)
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v, want 0:\n%s", err, a.log())
	}
	if _, err := os.Stat(filepath.Join(a.dir, "state", "history")); err != nil {
		t.Errorf("what it remembers is not kept: %v", err)
	}
}

// A runningAgent is an agent that runs in its own process.
type runningAgent struct {
	t       *testing.T
	dir     string
	cmd     *exec.Cmd
	client  http.Client
	address string
	// under is a command that starts the agent by exec, followed by its arguments.
	under []string
}

func startAgent(t *testing.T, webConfig string) *runningAgent {
	t.Helper()
	a := configuredAgent(t, webConfig)
	a.start("--web.config.file", "web.yml")
	return a
}

// configuredAgent returns an agent with its files that is not started yet.
func configuredAgent(t *testing.T, webConfig string) *runningAgent {
	t.Helper()
	a := &runningAgent{t: t, dir: t.TempDir()}
	a.write("web.yml", webConfig)
	a.write("headroom.yml", "every: 10s\n")
	a.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.certify()}, DisableKeepAlives: true}
	return a
}

// start runs the agent with the config headroom.yml, and waits until it serves
// requests.
func (a *runningAgent) start(args ...string) {
	a.t.Helper()
	line := append(slices.Clone(a.under), "headroom", "agent", "--web.listen-address", "127.0.0.1:0", "--config.file", "headroom.yml")
	line = append(line, args...)
	a.cmd = exec.Command(line[0], line[1:]...)
	a.cmd.Dir = a.dir
	a.cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+filepath.Join(a.dir, "state"))
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(a.dir, "log"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // the agent has its own
	a.cmd.Stderr = log
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = a.cmd.Process.Kill() // if the test has not ended it
		if a.t.Failed() {
			a.t.Log(a.log())
		}
	})
	serves := regexp.MustCompile(`TLS is (?:en|dis)abled.*address"?[=:]"?([^"\s]+)`)
	a.await("it serves", func() bool {
		found := serves.FindStringSubmatch(a.log())
		if found != nil {
			a.address = found[1]
		}
		return found != nil
	})
}

// certify creates the agent's certificate and key, and returns a pool that trusts the
// certificate.
func (a *runningAgent) certify() *x509.CertPool {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	a.write("cert.pem", string(public))
	a.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

func (a *runningAgent) write(name, text string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *runningAgent) log() string {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, "log"))
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

func (a *runningAgent) signal(s syscall.Signal) {
	a.t.Helper()
	if err := a.cmd.Process.Signal(s); err != nil {
		a.t.Fatalf("%v: %v\n%s", s, err, a.log())
	}
}

// get requests a path, with a password unless it is "".
func (a *runningAgent) get(scheme, path, password string) (status int, body string) {
	a.t.Helper()
	r, err := http.NewRequest(http.MethodGet, scheme+"://"+a.address+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if password != "" {
		r.SetBasicAuth("prometheus", password)
	}
	answer, err := a.client.Do(r)
	if err != nil {
		a.t.Fatalf("GET %s: %v\n%s", r.URL, err, a.log())
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// await waits until holds returns true, and otherwise fails the test with the agent's
// log.
func (a *runningAgent) await(what string, holds func() bool) {
	a.t.Helper()
	const patience = 20 * time.Second // for a busy machine
	outside.Eventually(a.t, patience, what, holds)
}
