// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// version of Kubernetes, as in scripts/kube-check.sh.
const version = "v1.37.2"

// nodeName is the node's name in the API.
const nodeName = "node-1"

// A kubeNode is a cluster of one node: its programs, and their files.
type kubeNode struct {
	dir      string
	programs map[string]*exec.Cmd
}

// node is the node of all tests.
var node *kubeNode

// bin returns the path of a Kubernetes program, which buildTools has built.
func bin(name string) string { return filepath.Join(os.Getenv("HEADROOM_KUBE_BIN"), name) }

// buildTools builds the programs that are not cached. It needs the network, which the
// node does not have.
func buildTools() error {
	minor, _, _ := strings.Cut(strings.TrimPrefix(version, "v1."), ".")
	const pkg = "k8s.io/component-base/version"
	cmd := exec.Command("../../scripts/go-tool.sh", "k8s.io/kubernetes@"+version,
		"cmd/kube-apiserver", "cmd/kubectl", "cmd/kubelet", "cmd/kube-scheduler", "cmd/kube-controller-manager")
	cmd.Env = append(os.Environ(), fmt.Sprintf("LDFLAGS=-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s", pkg, version, pkg, pkg, minor))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("building Kubernetes: %w", err)
	}
	if _, err := run("../../scripts/helm.sh", "version"); err != nil {
		return err
	}
	return os.Setenv("HEADROOM_KUBE_BIN", strings.TrimSpace(string(out)))
}

func (n *kubeNode) path(name string) string { return filepath.Join(n.dir, name) }

// start starts a program with its log in the folder of the run, and stores it under
// its base name.
func (n *kubeNode) start(program string, args ...string) error {
	name := filepath.Base(program)
	out, err := os.OpenFile(n.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	n.programs[name] = cmd
	return nil
}

// kill kills a program, as a power failure does.
func (n *kubeNode) kill(name string) error {
	cmd := n.programs[name]
	err := cmd.Process.Kill()
	_ = cmd.Wait()
	return err
}

// startNode starts all programs, and returns when the API server answers and the
// images are imported.
func startNode(dir string) (*kubeNode, error) {
	n := &kubeNode{dir: dir, programs: make(map[string]*exec.Cmd)}
	steps := []func() error{n.writeFiles, n.startEtcd, n.startAPI, n.startContainerd, n.startControllers, n.importImages, n.startKubelet}
	for _, step := range steps {
		if err := step(); err != nil {
			return n, errors.Join(err, n.lastWords())
		}
	}
	return n, nil
}

// lastWords returns the ends of the programs' logs.
func (n *kubeNode) lastWords() error {
	logs, _ := filepath.Glob(n.path("*.log"))
	said, _ := run("tail", append([]string{"-n", "15"}, logs...)...)
	return errors.New(said)
}

// await waits up to a minute for a part of the node.
func await(what string, ready func() error) (err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = ready(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// files is the configuration of the node, by file name in the folder of the run, which
// DIR stands for.
var files = map[string]string{
	"tokens": `of-the-test,admin,admin,system:masters
of-the-node,system:node:` + nodeName + `,node,system:nodes
`,
	"admin.conf":   kubeconfig("of-the-test"),
	"kubelet.conf": kubeconfig("of-the-node"),
	// It is not allowed to lower its OOM score on a host
	// whose root lacks CAP_SYS_RESOURCE.
	"containerd.toml": `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/` + pauseImage + `"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "DIR/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
`,
	"cni/10-bridge.conflist": `{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`,
	"kubelet.yaml": `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /` + cgroup + `
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
podLogsDir: /var/log/pods
volumePluginDir: DIR/plugins
failSwapOn: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}}
authorization: {mode: Webhook}
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
nodeStatusUpdateFrequency: 4s
`,
}

func kubeconfig(token string) string {
	return `apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "https://` + nodeIP + `:443", insecure-skip-tls-verify: true}}]
users: [{name: it, user: {token: ` + token + `}}]
`
}

func (n *kubeNode) writeFiles() error {
	if err := os.Mkdir(n.path("cni"), 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(n.path(name), []byte(strings.ReplaceAll(text, "DIR", n.dir)), 0o600); err != nil {
			return err
		}
	}
	_, err := run("openssl", "genrsa", "-out", n.path("sa.key"), "2048")
	return err
}

func (n *kubeNode) startEtcd() error {
	return n.start("etcd", "--data-dir", n.path("etcd"))
}

// startAPI starts or restarts the API server.
func (n *kubeNode) startAPI() error {
	key := n.path("sa.key")
	err := n.start(bin("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0", "--secure-port=443",
		"--advertise-address="+nodeIP, "--cert-dir="+n.path("certs"), "--token-auth-file="+n.path("tokens"), "--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--allow-privileged=true")
	if err != nil {
		return err
	}
	return await("the API server is not ready", func() error {
		_, err := n.kubectl("", "get", "--raw", "/readyz")
		return err
	})
}

func (n *kubeNode) startControllers() error {
	config := n.path("admin.conf")
	return errors.Join(
		n.start(bin("kube-controller-manager"), "--kubeconfig="+config, "--leader-elect=false", "--service-account-private-key-file="+n.path("sa.key"),
			"--root-ca-file="+n.path("certs/apiserver.crt")),
		n.start(bin("kube-scheduler"), "--kubeconfig="+config, "--leader-elect=false"))
}

func (n *kubeNode) startContainerd() error {
	if err := n.start("containerd", "--config", n.path("containerd.toml")); err != nil {
		return err
	}
	return await("containerd is not ready", func() error { _, err := run("ctr", "version"); return err })
}

func (n *kubeNode) importImages() error {
	all, err := images(n.dir)
	if err != nil {
		return err
	}
	for _, i := range all {
		file := n.path("image.tar")
		if err := i.write(file); err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
		if err := importImage(file); err != nil {
			return err
		}
	}
	return importImage(os.Getenv("HEADROOM_IMAGE"))
}

func importImage(file string) error {
	_, err := run("ctr", "-n", "k8s.io", "images", "import", file)
	return err
}

// startKubelet starts or restarts the kubelet.
func (n *kubeNode) startKubelet() error {
	return n.start(bin("kubelet"), "--config="+n.path("kubelet.yaml"), "--kubeconfig="+n.path("kubelet.conf"), "--node-ip="+nodeIP,
		"--hostname-override="+nodeName, "--root-dir=/var/lib/kubelet")
}

// kubectl runs kubectl as the administrator.
func (n *kubeNode) kubectl(input string, args ...string) (string, error) {
	return runWith(input, bin("kubectl"), append([]string{"--kubeconfig=" + n.path("admin.conf"), "--cache-dir=" + n.path("cache")}, args...)...)
}

// helm runs helm as the administrator.
func (n *kubeNode) helm(args ...string) (string, error) {
	return run("../../scripts/helm.sh", append([]string{"--kubeconfig=" + n.path("admin.conf")}, args...)...)
}

// cost logs the memory and CPU usage of the node's programs and of the agent.
func (n *kubeNode) cost(t *testing.T) {
	pids := []string{agentPID(t)}
	for _, cmd := range n.programs {
		pids = append(pids, fmt.Sprint(cmd.Process.Pid))
	}
	out, err := run("ps", "-o", "rss,cputime,etime,comm", "-p", strings.Join(pids, ","))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("KiB of memory, CPU time, age:\n%s", out)
}
