// SPDX-License-Identifier: Apache-2.0

package kubeapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// version of Kubernetes, as in scripts/kube-check.sh.
const version = "v1.37.2"

// server is the one API server of all tests.
var server *apiServer

func TestMain(m *testing.M) {
	os.Exit(withServer(m))
}

func withServer(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kubeapi")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server = &apiServer{dir: dir}
	defer server.stop()
	if err := server.prepare(); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

type apiServer struct {
	dir, bin            string
	etcdPort, apiPort   string
	etcdProc, apiServer *exec.Cmd
}

func (s *apiServer) path(name string) string { return filepath.Join(s.dir, name) }

// prepare starts etcd and the API server, and creates the permissions of headroom.
func (s *apiServer) prepare() error {
	out, err := run("../../scripts/go-tool.sh", "k8s.io/kubernetes@"+version, "cmd/kube-apiserver", "cmd/kubectl")
	if err != nil {
		return err
	}
	s.bin = strings.TrimSpace(out)
	var peer string
	for _, port := range []*string{&peer, &s.etcdPort, &s.apiPort} {
		free, err := outside.Port()
		if err != nil {
			return err
		}
		*port = strconv.Itoa(free)
	}
	client := "http://127.0.0.1:" + s.etcdPort
	s.etcdProc, err = s.start("etcd", "etcd", "--data-dir", s.path("etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", "http://127.0.0.1:"+peer, "--initial-advertise-peer-urls", "http://127.0.0.1:"+peer,
		"--initial-cluster", "default=http://127.0.0.1:"+peer)
	if err != nil {
		return err
	}
	if _, err := run("openssl", "genrsa", "-out", s.path("sa.key"), "2048"); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("tokens"), []byte("of-the-test,admin,admin,system:masters\n"), 0o600); err != nil {
		return err
	}
	if err := s.startAPI(); err != nil {
		return err
	}
	if _, err := s.kubectl("", "create", "namespace", "headroom"); err != nil {
		return err
	}
	if _, err := s.kubectl("", "create", "serviceaccount", "headroom", "-n", "headroom"); err != nil {
		return err
	}
	rules, err := documented()
	if err != nil {
		return err
	}
	_, err = s.kubectl(rules, "apply", "-f", "-")
	return err
}

// documented returns the permissions that docs/kubernetes.md lists.
func documented() (string, error) {
	page, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		return "", err
	}
	block := regexp.MustCompile("(?s)```yaml\n(apiVersion: rbac.*?)```").FindSubmatch(page)
	if block == nil {
		return "", fmt.Errorf("docs/kubernetes.md has no block of RBAC rules")
	}
	return string(block[1]), nil
}

// startAPI starts the API server and waits until it is ready.
func (s *apiServer) startAPI() error {
	var err error
	s.apiServer, err = s.start("kube-apiserver", filepath.Join(s.bin, "kube-apiserver"), "--etcd-servers=http://127.0.0.1:"+s.etcdPort,
		"--bind-address=127.0.0.1", "--secure-port="+s.apiPort, "--cert-dir="+s.path("certs"), "--token-auth-file="+s.path("tokens"),
		"--authorization-mode=RBAC", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+s.path("sa.key"),
		"--service-account-signing-key-file="+s.path("sa.key"), "--disable-admission-plugins=ServiceAccount")
	if err != nil {
		return err
	}
	for range 240 {
		if _, err = s.kubectl("", "get", "--raw", "/readyz"); err == nil {
			if _, err = s.kubectl("", "get", "namespace", "default"); err == nil {
				return nil
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	tail, _ := run("tail", "-n", "20", s.path("kube-apiserver.log"))
	return fmt.Errorf("the API server is not ready: %w\n%s", err, tail)
}

// killAPI kills the API server, as a power failure does.
func (s *apiServer) killAPI(t *testing.T) {
	t.Helper()
	if err := s.apiServer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.apiServer.Wait()
}

func (s *apiServer) start(name, program string, args ...string) (*exec.Cmd, error) {
	out, err := os.OpenFile(s.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

func (s *apiServer) stop() {
	for _, cmd := range []*exec.Cmd{s.apiServer, s.etcdProc} {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
}

// kubectl runs kubectl as the administrator.
func (s *apiServer) kubectl(input string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(s.bin, "kubectl"), append([]string{"--server=https://127.0.0.1:" + s.apiPort, "--token=of-the-test",
		"--insecure-skip-tls-verify", "--cache-dir=" + s.path("cache"), "--kubeconfig=/dev/null"}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// do runs kubectl, and fails the test if kubectl fails.
func (s *apiServer) do(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := s.kubectl(input, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// as returns a client config for a service account in the namespace headroom, as a
// pod has it.
func (s *apiServer) as(t *testing.T, account string) *rest.Config {
	t.Helper()
	token := s.do(t, "", "create", "token", account, "-n", "headroom")
	return &rest.Config{
		Host:            "https://127.0.0.1:" + s.apiPort,
		BearerToken:     strings.TrimSpace(token),
		TLSClientConfig: rest.TLSClientConfig{CAFile: s.path("certs/apiserver.crt")},
	}
}

// A pod has the fields of a pod that tests set.
type pod struct {
	namespace, name, node string
	owner, ownerName      string
	labels, annotations   map[string]string
	containers            map[string]string // ID by name; "" for a container that is not created yet
}

// create creates a pod with its status, as a controller and a kubelet do, and returns
// its UID.
func (s *apiServer) create(t *testing.T, p pod) (uid string) {
	t.Helper()
	if _, err := s.kubectl("", "get", "namespace", p.namespace); err != nil {
		s.do(t, "", "create", "namespace", p.namespace)
	}
	meta := map[string]any{"name": p.name, "namespace": p.namespace, "labels": p.labels, "annotations": p.annotations}
	if p.owner != "" {
		meta["ownerReferences"] = []any{map[string]any{"apiVersion": "apps/v1", "kind": p.owner, "name": p.ownerName, "uid": "0d39e4f2-6a0c-4d3a-9a52-6a6f7d4c1b11", "controller": true}}
	}
	var containers []any
	for name := range p.containers {
		containers = append(containers, map[string]any{"name": name, "image": "none", "env": []any{map[string]any{"name": "SECRET", "value": "hunter2"}},
			"resources": map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "64Mi"}, "limits": map[string]any{"cpu": "200m"}}})
	}
	s.do(t, encode(t, map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta,
		"spec": map[string]any{"nodeName": p.node, "containers": containers}}), "create", "-f", "-")
	s.run(t, p)
	return strings.TrimSpace(s.do(t, "", "get", "pod", p.name, "-n", p.namespace, "-o", "jsonpath={.metadata.uid}"))
}

// run sets the IDs of a pod's containers.
func (s *apiServer) run(t *testing.T, p pod) {
	t.Helper()
	var states []any
	for name, id := range p.containers {
		if id != "" {
			states = append(states, map[string]any{"name": name, "containerID": "containerd://" + id, "image": "none", "imageID": "none", "ready": true, "restartCount": 0})
		}
	}
	if states != nil {
		s.do(t, "", "patch", "pod", p.name, "-n", p.namespace, "--subresource=status", "--type=merge", "-p",
			encode(t, map[string]any{"status": map[string]any{"phase": "Running", "containerStatuses": states}}))
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, stderr.String())
	}
	return string(out), nil
}

// patience is the timeout for a busy machine.
const patience = 90 * time.Second
