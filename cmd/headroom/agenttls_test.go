// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
)

// certificatesOnly accepts only clients with a certificate that is signed by the
// agent's own certificate, which is self-signed.
const certificatesOnly = `tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: cert.pem
`

func TestAgentAsksForCertificates(t *testing.T) {
	a := startAgent(t, certificatesOnly)
	stranger := &runningAgent{t: t, dir: t.TempDir()}
	stranger.certify()
	transport := a.client.Transport.(*http.Transport)
	for _, c := range []struct {
		whose string
		show  []tls.Certificate
		in    bool
	}{
		{"nobody's", nil, false},
		{"a stranger's", []tls.Certificate{certificateIn(t, stranger.dir)}, false},
		{"the right", []tls.Certificate{certificateIn(t, a.dir)}, true},
	} {
		transport.TLSClientConfig.Certificates = c.show
		answer, err := a.client.Get("https://" + a.address + "/healthz")
		if err == nil {
			_ = answer.Body.Close()
		}
		if (err == nil) != c.in {
			t.Errorf("with %s certificate: %v, want to be let in: %v", c.whose, err, c.in)
		}
	}
	a.signal(syscall.SIGTERM)
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v, want 0:\n%s", err, a.log())
	}
}

func certificateIn(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
