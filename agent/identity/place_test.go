// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	hex1 = "8f6a1c9c2d9c4a7bb8f2b8d3f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3"
	hex2 = "0011223344556677889900112233445566778899001122334455667788990011"
	uid  = "0d39e4f2-6a0c-4d3a-9a52-6a6f7d4c1b11"
	uidS = "0d39e4f2_6a0c_4d3a_9a52_6a6f7d4c1b11"
)

func TestPlaceOf(t *testing.T) {
	for _, tt := range []struct {
		name, path                          string
		container, kind, pod, qos, svc, uni string
	}{
		{"docker, cgroupfs", "/docker/" + hex1, hex1, "docker", "", "", "", ""},
		{"docker, systemd", "/system.slice/docker-" + hex1 + ".scope", hex1, "docker", "", "", "", ""},
		{"docker, a cgroup parent", "/shop.slice/docker-" + hex1 + ".scope", hex1, "docker", "", "", "", ""},
		{"docker, a cgroup inside", "/docker/" + hex1 + "/init", hex1, "docker", "", "", "", ""},
		{"docker in docker", "/docker/" + hex1 + "/docker/" + hex2, hex2, "docker", "", "", "", ""},
		{"ctr", "/default/redis1", "redis1", "containerd", "", "", "", ""},
		{"nerdctl, cgroupfs", "/default/" + hex1, hex1, "containerd", "", "", "", ""},
		{"nerdctl, systemd", "/system.slice/nerdctl-" + hex1 + ".scope", hex1, "containerd", "", "", "", ""},
		{"ctr in k8s.io", "/k8s.io/" + hex1, hex1, "containerd", "", "", "", ""},
		{"podman, cgroupfs", "/libpod_parent/libpod-" + hex1, hex1, "podman", "", "", "", ""},
		{"podman, systemd", "/machine.slice/libpod-" + hex1 + ".scope/container", hex1, "podman", "", "", "", ""},
		{"podman, rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + hex1 + ".scope", hex1, "podman", "", "", "user@1000.service", "user@1000.service"},
		{"podman, split in a unit", "/system.slice/web.service/libpod-payload-" + hex1, hex1, "podman", "", "", "", ""},
		{"podman pod", "/machine.slice/machine-libpod_pod_" + hex2 + ".slice/libpod-" + hex1 + ".scope", hex1, "podman", "", "", "", ""},
		{"podman's monitor", "/machine.slice/libpod-conmon-" + hex1 + ".scope", "", "", "", "", "", ""},
		{"kubelet, cgroupfs, guaranteed", "/kubepods/pod" + uid + "/" + hex1, hex1, "", uid, "Guaranteed", "", ""},
		{"kubelet, cgroupfs, burstable", "/kubepods/burstable/pod" + uid + "/" + hex1, hex1, "", uid, "Burstable", "", ""},
		{"kubelet, cgroupfs, best effort", "/kubepods/besteffort/pod" + uid + "/" + hex1, hex1, "", uid, "BestEffort", "", ""},
		{"kubelet, the pod itself", "/kubepods/burstable/pod" + uid, "", "", uid, "Burstable", "", ""},
		{"kubelet, the class", "/kubepods/burstable", "", "", "", "", "", ""},
		{"kubelet, CRI-O on cgroupfs", "/kubepods/burstable/pod" + uid + "/crio-" + hex1, hex1, "cri-o", uid, "Burstable", "", ""},
		{"kubelet, static pod", "/kubepods/burstable/pod5a1b2c3d4e5f60718293a4b5c6d7e8f9/" + hex1, hex1, "", "5a1b2c3d4e5f60718293a4b5c6d7e8f9", "Burstable", "", ""},
		{"runc with a plain name below a pod", "/kubepods/burstable/podlab1/api", "api", "", "lab1", "Burstable", "", ""},
		{"kubelet, systemd, containerd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidS + ".slice/cri-containerd-" + hex1 + ".scope", hex1, "containerd", uid, "Burstable", "", ""},
		{"kubelet, systemd, guaranteed", "/kubepods.slice/kubepods-pod" + uidS + ".slice/cri-containerd-" + hex1 + ".scope", hex1, "containerd", uid, "Guaranteed", "", ""},
		{"kubelet, systemd, docker", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidS + ".slice/docker-" + hex1 + ".scope", hex1, "docker", uid, "BestEffort", "", ""},
		{"kubelet, systemd, CRI-O, crun", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidS + ".slice/crio-" + hex1 + ".scope/container", hex1, "cri-o", uid, "Burstable", "", ""},
		{"kubelet, CRI-O's monitor", "/kubepods.slice/kubepods-pod" + uidS + ".slice/crio-conmon-" + hex1 + ".scope", "", "", uid, "Guaranteed", "", ""},
		{"drivers that disagree", "/system.slice/containerd.service/kubepods-burstable-pod" + uidS + ".slice:cri-containerd:" + hex1, hex1, "containerd", uid, "Burstable", "", ""},
		{"kind, cgroupfs", "/docker/" + hex2 + "/kubelet/kubepods/burstable/pod" + uid + "/" + hex1, hex1, "", uid, "Burstable", "", ""},
		{"kind, systemd", "/docker/" + hex2 + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + uidS + ".slice/cri-containerd-" + hex1 + ".scope", hex1, "containerd", uid, "Burstable", "", ""},
		{"kind, what is no pod", "/docker/" + hex2 + "/system.slice/kubelet.service", hex2, "docker", "", "", "kubelet.service", "kubelet.service"},

		{"root", "/", "", "", "", "", "", ""},
		{"user slice", "/user.slice", "", "", "", "", "", ""},
		{"session", "/user.slice/user-1000.slice/session-3.scope", "", "", "", "", "", ""},
		{"user manager", "/user.slice/user-1000.slice/user@1000.service/init.scope", "", "", "", "", "", "user@1000.service"},
		{"user's service", "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service", "", "", "", "", "user@1000.service/sync.service", "user@1000.service/sync.service"},
		{"user's application", "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-4242.scope", "", "", "", "", "", "user@1000.service"},
		{"service", "/system.slice/nginx.service", "", "", "", "", "nginx.service", "nginx.service"},
		{"template's instance", "/system.slice/system-postgresql.slice/postgresql@15-main.service", "", "", "", "", "postgresql@15-main.service", "postgresql@15-main.service"},
		{"service that delegates", "/system.slice/docker.service/init", "", "", "", "", "docker.service", "docker.service"},
		{"service in a slice of its own", "/batch.slice/batch-night.slice/report.service", "", "", "", "", "batch-night.slice/report.service", "batch-night.slice/report.service"},
		{"service of LXC's", "/lxc.payload.web/system.slice/nginx.service", "", "", "", "", "nginx.service", "nginx.service"},
		{"service of nspawn's", "/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service", "", "", "", "", "nginx.service", "nginx.service"},
		{"kubelet's cgroup root", "/nodes.slice/nodes-kubepods.slice/nodes-kubepods-burstable.slice/nodes-kubepods-burstable-pod" + uidS + ".slice/cri-containerd-" + hex1 + ".scope", hex1, "containerd", uid, "Burstable", "", ""},
		{"init", "/init.scope", "", "", "", "", "", ""},
		{"a short hash", "/process_api/40be8d9ef5f4d25924b564fa559ca53e", "", "", "", "", "", ""},
		{"podcast is no pod", "/system.slice/podcast.service", "", "", "", "", "podcast.service", "podcast.service"},
		{"podA outside the kubelet", "/podA/b", "", "", "", "", "", ""},
		{"docker's scope with a name", "/system.slice/docker-compose.scope", "", "", "", "", "", ""},
		{"a slice within a pod", "/kubepods/pod" + uid + "/nested.slice", "", "", uid, "Guaranteed", "", ""},
		{"upper-case hex", "/docker/" + strings.ToUpper(hex1), "", "", "", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := placeOf(tt.path, allTrusted)
			check := func(what, got, want string) {
				if got != want {
					t.Errorf("%s of %s = %q, want %q", what, tt.path, got, want)
				}
			}
			check("container", p.container, tt.container)
			check("kind", p.kind, tt.kind)
			check("pod", p.pod, tt.pod)
			check("QoS class", p.qos, tt.qos)
			check("service", p.service, tt.svc)
			check("unit", p.unit, tt.uni)
			if (p.container == "") != (p.containerPath == "") || !within(tt.path, orRoot(p.containerPath)) {
				t.Errorf("container path of %s = %q", tt.path, p.containerPath)
			}
		})
	}
}

// TestChosenNames checks that names are not trusted in places where no manager creates
// them: a user with delegated cgroups can choose such names.
func TestChosenNames(t *testing.T) {
	const pods = "/kubepods/pod" + uid + "/payments-db"
	for _, path := range []string{
		"/user-1000.slice" + pods,
		"/user-1000.slice/payments.service",
		"/user-1000.slice/docker-" + hex1 + ".scope",
		"/user.slice/user-1000.slice" + pods,
		"/user.slice/user-1000.slice/payments.service",
		"/user.slice/user-1000.slice/docker/" + hex1,
		"/user.slice/user-1000.slice/user@0.service/app.slice/payments.service",
		"/user.slice/user-1000.slice/session-3.scope/system.slice/payments.service",
		"/user.slice/user-1000.slice/session-3.scope/kubepods.slice/kubepods-pod" + uidS + ".slice/cri-containerd-" + hex1 + ".scope",
		"/user.slice/user-1000.slice/session-3.scope/user.slice/user-1001.slice/user@1001.service/a.service",
		"/payments.service",
		"/build/payments.service",
		"/build/system.slice/payments.service",
		"/system.slice/build.scope/payments.service",
		"/other.slice/system.slice/payments.service",
		"/a.slice/b.slice/payments.service",
	} {
		if p := placeOf(path, allTrusted); p.container != "" || p.pod != "" || p.service != "" {
			t.Errorf("%s is believed: %+v", path, p)
		}
	}
	for path, want := range map[string]string{
		"/system.slice/web.service/payments.service":                                             "web.service",
		"/system.slice/web.service/kubepods/podx/db":                                             "web.service",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/payments.service":               "user@1000.service/payments.service",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/a.service/payments.service":     "user@1000.service/a.service",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/a.service/kubepods/podx/db":     "user@1000.service/a.service",
		"/user.slice/user-1000.slice/user@1000.service/a.scope/system.slice/payments.service":    "",
		"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + hex1 + ".scope/a/b": "user@1000.service",
	} {
		if p := placeOf(path, allTrusted); p.service != want || p.pod != "" {
			t.Errorf("service of %s = %+v, want %q", path, p, want)
		}
	}
}

// TestSubtreeOfAnother creates cgroups in a directory that was delegated to a user.
func TestSubtreeOfAnother(t *testing.T) {
	const user = 1000
	for _, v1 := range []bool{false, true} {
		top := t.TempDir()
		tree := top
		if v1 {
			tree = filepath.Join(top, "cpu")
		}
		give := func(path string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Join(tree, path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(filepath.Join(tree, path), user, user); err != nil {
				t.Fatal(err)
			}
		}
		give("/system.slice/web.service")
		give("/batch")
		if !v1 {
			if err := os.WriteFile(filepath.Join(tree, "cgroup.controllers"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := New("testdata/proc", top, observe.NewIndex(1000))
		for _, path := range []string{"/batch/kubepods/podx/db", "/batch/docker/" + hex1, "/batch/docker-" + hex1 + ".scope"} {
			if err := os.MkdirAll(filepath.Join(tree, path), 0o755); err != nil { // owned by root, within the user's directory
				t.Fatal(err)
			}
			id := r.Cgroup(path)
			if x := r.index; x.Attr(id, catalog.AttrPodUID) != "" || x.Attr(id, catalog.AttrContainerID) != "" {
				t.Errorf("%s is believed: %v", path, x.Info(id).Attrs)
			}
		}
		web := r.Cgroup("/system.slice/web.service/docker-" + hex1 + ".scope")
		if x := r.index; x.Attr(web, catalog.AttrContainerID) != "" || x.Attr(web, catalog.AttrService) != "web.service" {
			t.Errorf("a container in a user's service = %v, want the service", x.Info(web).Attrs)
		}
		if real := r.Cgroup("/docker/" + hex1); r.index.Attr(real, catalog.AttrContainerID) != hex1 {
			t.Error("a container of root's is not believed")
		}
	}
}

func TestCgroupOf(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"v2", "0::/system.slice/nginx.service\n", "/system.slice/nginx.service"},
		{"v1, docker", "12:pids:/docker/" + hex1 + "\n4:cpu,cpuacct:/docker/" + hex1 + "\n1:name=systemd:/docker/" + hex1 + "\n", "/docker/" + hex1},
		{"hybrid, the cpu controller wins", "4:memory:/a\n1:cpu:/limits/b\n0::/c\n", "/limits/b"},
		{"hybrid, the cpu controller stayed at the root", "4:memory:/docker/" + hex1 + "\n2:cpuacct:/\n1:cpu:/\n0::/\n", "/docker/" + hex1},
		{"hybrid, unified names the service", "4:memory:/\n1:cpu:/\n0::/system.slice/cron.service\n", "/system.slice/cron.service"},
		{"v1, systemd without accounting", "4:cpu,cpuacct:/system.slice\n1:name=systemd:/system.slice/cron.service\n", "/system.slice/cron.service"},
		{"v1, a limit elsewhere is kept", "4:cpu:/batch\n1:name=systemd:/system.slice/cron.service\n", "/batch"},
		{"nothing of interest", "4:memory:/process_api/40be8d9ef5f4d25924b564fa559ca53e\n1:cpu:/\n0::/\n", "/"},
		{"hybrid, cpu is in unified", "9:name=systemd:/user.slice\n0::/kubepods/podx\n", "/kubepods/podx"},
		{"seen from a cgroup namespace", "0::/../../pod" + uid + "/" + hex1 + "\n", "/pod" + uid + "/" + hex1},
		{"removed", "0::/docker/" + hex1 + " (deleted)\n", "/docker/" + hex1},
		{"colons in the path", "0::/system.slice/containerd.service/kubepods-pod" + uidS + ".slice:cri-containerd:" + hex1 + "\n", "/system.slice/containerd.service/kubepods-pod" + uidS + ".slice:cri-containerd:" + hex1},
		{"empty", "", "/"},
		{"truncated", "4:mem", "/"},
		{"garbage", "\x00\xff:::\n::", "/"},
	} {
		if got := cgroupOf([]byte(tt.file), ""); got != tt.want {
			t.Errorf("%s: cgroup = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzCgroupOf(f *testing.F) {
	f.Add([]byte("4:cpu,cpuacct:/docker/" + hex1 + "\n0::/a/../b\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		got := cgroupOf(file, "/kubepods/podx")
		if !strings.HasPrefix(got, "/") || !plainOrUTF8(got) {
			t.Errorf("cgroup = %q", got)
		}
		placeOf(got, allTrusted)
		placeOf(got, 2)
	})
}
