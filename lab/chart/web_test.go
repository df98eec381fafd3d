// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	webtoolkit "github.com/prometheus/exporter-toolkit/web"
)

// listens returns the flags of the agent's server.
func listens(t *testing.T, made map[string]object) []string {
	t.Helper()
	return slices.DeleteFunc(strs(t, containerOf(t, made)["args"]), func(arg string) bool { return !strings.HasPrefix(arg, "--web.") })
}

// webFile returns the web.yml that the chart makes, and the password in it.
func webFile(t *testing.T, made map[string]object) (file, password string) {
	t.Helper()
	data := at[object](t, made, "Secret/headroom-web", "stringData")
	password, _ = data["password"].(string)
	return at[string](t, data, "web.yml"), password
}

// TestWhoReads checks what each address serves, and to which clients: the table in
// the README.md of the chart.
func TestWhoReads(t *testing.T) {
	const (
		loopback = "--web.listen-address=127.0.0.1:9779"
		metrics  = "--web.metrics-listen-address=[$(NODE_IP)]:9779"
		all      = "--web.listen-address=[$(NODE_IP)]:9779"
		file     = "--web.config.file=/etc/headroom/web/web.yml"
		issuer   = "certManager: {enabled: true, issuerRef: {name: ca}}"
	)
	for _, c := range []struct {
		name, values   string
		flags          []string
		scheme         string // of probes; "" is a TCP probe
		secret         bool   // the chart makes web.yml
		password       bool   // clients need a password
		scraped        bool   // the pod has annotations for Prometheus
		says, saysNext string
	}{
		{"by default", "", []string{metrics, loopback}, "HTTP", false, false, true,
			"read /metrics without a password", "The page and the API are not served there"},
		{"in the pod's network", "hostNetwork: false", []string{"--web.metrics-listen-address=[$(POD_IP)]:9779", loopback}, "HTTP", false, false, true,
			"the pod's address", "loopback of the pod"},
		{"metrics with a password", "web: {password: {enabled: true}}", []string{metrics, loopback, file}, "HTTP", true, true, false,
			"read /metrics with the password", "get secret headroom-web"},
		{"everything", "web: {expose: all}", []string{all, loopback, file}, "HTTP", true, true, false,
			"the page, the API and /metrics with the password", "get secret headroom-web"},
		{"TLS", "web: {tls: {secretName: certs}}", []string{metrics, loopback, file}, "HTTPS", true, false, true,
			"https://127.0.0.1:9779/", "read /metrics without a password"},
		{"everything with TLS", "web: {expose: all, tls: {" + issuer + "}}", []string{all, loopback, file}, "HTTPS", true, true, false,
			"https://127.0.0.1:9779/", "with the password"},
		{"web.yml of one's own", "web: {expose: all, config: {secretName: own, password: true}}", []string{all, loopback, file}, "HTTP", false, true, false,
			"the page, the API and /metrics with the password", ""},
		{"clients' certificates", "web: {expose: all, config: {secretName: own, tls: true, clientCertificates: true}}", []string{all, loopback, file}, "", false, true, false,
			"with a client certificate", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			made := render(t, c.values)
			if diff := cmp.Diff(c.flags, listens(t, made)); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
			for _, p := range []string{"startupProbe", "readinessProbe", "livenessProbe"} {
				probe := at[object](t, containerOf(t, made), p)
				if _, tcp := probe["tcpSocket"]; tcp != (c.scheme == "") {
					t.Errorf("%s: %v", p, probe)
				} else if !tcp && at[string](t, probe, "httpGet", "scheme") != c.scheme {
					t.Errorf("%s with scheme %s, want %s", p, at[string](t, probe, "httpGet", "scheme"), c.scheme)
				}
			}
			if made := made["Secret/headroom-web"] != nil; made != c.secret {
				t.Errorf("a Secret is made: %v, want %v", made, c.secret)
			}
			annotations := at[object](t, made, daemonSet, "spec", "template", "metadata", "annotations")
			if _, scraped := annotations["prometheus.io/scrape"]; scraped != c.scraped {
				t.Errorf("annotations %v, want scraped by them: %v", annotations, c.scraped)
			}
			said := notes(t, c.values)
			for _, want := range []string{c.says, c.saysNext} {
				if !strings.Contains(said, want) {
					t.Errorf("the notes do not contain %q:\n%s", want, said)
				}
			}
		})
	}
}

// notes returns the notes that helm prints after an installation. helm template does
// not print them, so notes renders them as an object of a copy of the chart.
func notes(t *testing.T, values string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "headroom")
	if err := os.CopyFS(dir, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(chart, "templates/NOTES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	object := `{{- define "said" }}` + string(text) + "{{ end -}}\n" +
		"apiVersion: v1\nkind: Notes\nmetadata: {name: notes}\nsaid: {{ include \"said\" . | quote }}\n"
	if err := os.WriteFile(filepath.Join(dir, "templates/said.yaml"), []byte(object), 0o600); err != nil {
		t.Fatal(err)
	}
	return at[string](t, renderChart(t, dir, values), "Notes/notes", "said")
}

// TestPassword checks that the agent's web library accepts the password of the
// Secret, and no other.
func TestPassword(t *testing.T) {
	for _, c := range []struct{ values, user, password string }{
		{"web: {expose: all}", "headroom", ""},
		{"web: {password: {enabled: true, username: prom, value: of-the-test}}", "prom", "of-the-test"},
	} {
		file, password := webFile(t, render(t, c.values))
		if len(password) < 8 || c.password != "" && password != c.password {
			t.Errorf("%s: password %q, want %q", c.values, password, c.password)
		}
		address := serveLocked(t, file)
		for _, shown := range []string{password, "guessed", ""} {
			r, err := http.NewRequest(http.MethodGet, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth(c.user, shown)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if in := answer.StatusCode == http.StatusOK; in != (shown == password) {
				t.Errorf("%s: with password %q: %s", c.values, shown, answer.Status)
			}
		}
	}
}

// serveLocked serves an empty answer behind a web.yml, until the test ends.
func serveLocked(t *testing.T, file string) (address string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	ended := make(chan error, 1)
	go func() {
		ended <- webtoolkit.Serve(l, server, &webtoolkit.FlagConfig{WebConfigFile: &path}, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return "http://" + l.Addr().String()
}

// TestPodMonitor checks that Prometheus uses the scheme, TLS and password of the agent.
func TestPodMonitor(t *testing.T) {
	key := func(name, key string) object { return object{"name": name, "key": key} }
	ours := object{"username": key("headroom-web", "username"), "password": key("headroom-web", "password")}
	for _, c := range []struct {
		name, values, scheme string
		tls, auth            any
	}{
		{"by default", "", "http", nil, nil},
		{"a password", "web: {password: {enabled: true}}", "http", nil, ours},
		{"a certificate of cert-manager", "web: {expose: all, tls: {certManager: {enabled: true, issuerRef: {name: ca}}}}", "https",
			object{"serverName": "headroom.watch.svc", "ca": object{"secret": key("headroom-tls", "ca.crt")}}, ours},
		{"a certificate of one's own", "{web: {tls: {secretName: certs}}, podMonitor: {tlsConfig: {insecureSkipVerify: true}}}", "https",
			object{"insecureSkipVerify": true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			endpoint := at[object](t, render(t, c.values, "podMonitor: {enabled: true}"), "PodMonitor/headroom", "spec", "podMetricsEndpoints", 0)
			if diff := cmp.Diff([]any{c.scheme, c.tls, c.auth}, []any{endpoint["scheme"], endpoint["tlsConfig"], endpoint["basicAuth"]}); diff != "" {
				t.Errorf("scheme, TLS and password (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCertificate checks that web.yml names files that the pod has, and that
// cert-manager writes the Secret with these files.
func TestCertificate(t *testing.T) {
	made := render(t, "web: {tls: {certManager: {enabled: true, issuerRef: {name: ca}, dnsNames: [headroom.example]}}}")
	secret := at[string](t, made, "Certificate/headroom", "spec", "secretName")
	if diff := cmp.Diff([]any{"headroom.watch.svc", "headroom.example"}, at[any](t, made, "Certificate/headroom", "spec", "dnsNames")); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	var files []string
	for _, v := range at[[]any](t, podOf(t, made), "volumes") {
		if v.(object)["name"] != "web" {
			continue
		}
		if got := at[string](t, v, "projected", "sources", 1, "secret", "name"); got != secret {
			t.Errorf("the pod mounts the certificate of Secret %s, cert-manager writes Secret %s", got, secret)
		}
		for _, item := range at[[]any](t, v, "projected", "sources", 1, "secret", "items") {
			files = append(files, at[string](t, item, "path"))
		}
	}
	file, _ := webFile(t, made)
	for _, name := range regexp.MustCompile(`_file: (\S+)`).FindAllStringSubmatch(file, -1) {
		if !slices.Contains(files, name[1]) {
			t.Errorf("web.yml names %s, the pod has %v", name[1], files)
		}
	}
	if len(files) != 2 {
		t.Errorf("files %v, want a certificate and its key", files)
	}
}

// TestFlags checks that the agent has the flags that the chart uses.
func TestFlags(t *testing.T) {
	reference, err := os.ReadFile(root + "docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range []string{"", "{web: {expose: all}, kubernetes: {enabled: false}}"} {
		for _, arg := range strs(t, containerOf(t, render(t, values))["args"])[1:] {
			if flag, _, _ := strings.Cut(arg, "="); !strings.Contains(string(reference), "| `"+flag+"` |") {
				t.Errorf("the agent has no flag %s (docs/cli.md)", flag)
			}
		}
	}
}
