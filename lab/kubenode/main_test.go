// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inside is set in the environment of the process in the separate namespaces; its
// value is the folder of the run.
const inside = "HEADROOM_KUBENODE"

// TestMain runs the tests in a child process with its own network, mounts and cgroups,
// so that killing its processes removes the whole node.
func TestMain(m *testing.M) {
	if dir := os.Getenv(inside); dir != "" {
		os.Exit(runInside(m, dir))
	}
	os.Exit(runOutside())
}

// runOutside prepares the host for a node, runs the child, and restores the host. It
// fails if it could not restore everything.
func runOutside() int {
	if _, err := os.Stat(os.Getenv("HEADROOM_IMAGE")); err != nil {
		log.Print("HEADROOM_IMAGE names no image of the agent: run make e2e-kube")
		return 1
	}
	if err := buildTools(); err != nil {
		log.Print(err)
		return 1
	}
	before := readSysctls()
	dir, err := os.MkdirTemp("/var/tmp", "headroom-kubenode-")
	if err != nil {
		log.Print(err)
		return 1
	}
	began := time.Now()
	code, err := runChild(dir)
	ended := time.Now()
	err = errors.Join(err, removeCgroups(), before.restore(), os.RemoveAll(dir), nothingLeft(dir))
	log.Printf("kubenode: %v, of which %v to take everything back", time.Since(began).Round(time.Second), time.Since(ended).Round(time.Second))
	if err != nil {
		log.Printf("kubenode: %v", err)
		return 1
	}
	return code
}

// runChild runs this program again in new namespaces.
func runChild(dir string) (code int, err error) {
	if err := removeCgroups(); err != nil { // of a run that was killed
		return 1, err
	}
	group, err := makeCgroups()
	if err != nil {
		return 1, err
	}
	defer group.Close()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
		UseCgroupFD: true, CgroupFD: int(group.Fd())}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(stop)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("starting the tests in new namespaces (needs root): %w", err)
	}
	go func() {
		for range stop {
			_ = cmd.Process.Kill()
		}
	}()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		return 1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// runInside starts the node, and runs the tests.
func runInside(m *testing.M, dir string) int {
	if err := errors.Join(ownMounts(dir), ownNetwork()); err != nil {
		log.Print(err)
		return 1
	}
	var err error
	if node, err = startNode(dir); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

// ownDirs are folders of the host that the node's programs write to, and the folders
// of the run that are mounted over them.
var ownDirs = map[string]string{"/run": "run", "/var/lib": "lib", "/var/log": "log"}

// ownMounts makes the node's programs write only below dir, and hides their mounts
// from the host.
func ownMounts(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for at, name := range ownDirs {
		from := filepath.Join(dir, name)
		if err := os.Mkdir(from, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(from, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting a folder over %s: %w", at, err)
		}
	}
	// The kubelet needs shared mounts, for mount propagation to containers.
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

// The addresses of the node, and of the API server's Service. There is no kube-proxy:
// the API server listens at the address of its Service.
const (
	nodeIP    = "10.77.0.1"
	serviceIP = "10.96.0.1"
)

func ownNetwork() error {
	for _, args := range []string{
		"link set lo up",
		"addr add " + serviceIP + "/32 dev lo",
		"link add node0 type veth peer name node1",
		"addr add " + nodeIP + "/24 dev node0",
		"link set node0 up", "link set node1 up",
		"route add default dev node0",
	} {
		if _, err := run("ip", strings.Fields(args)...); err != nil {
			return err
		}
	}
	return nil
}

// cgroup is the root of all cgroups of the node, in each hierarchy. The package of test
// cgroups makes a group with limits in a few hierarchies; the kubelet needs a root in
// every one, and leaves groups below it.
const cgroup = "headroom-kubenode"

// hierarchies returns the root folders of cgroups: one in pure v2, one for each
// controller in v1. unified is the one of v2.
func hierarchies() (all []string, unified string) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		return []string{root}, root
	}
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if e.IsDir() { // not a symlink to cpu,cpuacct
			all = append(all, filepath.Join(root, e.Name()))
		}
	}
	return all, root + "/unified"
}

// makeCgroups makes the root cgroup in each hierarchy, and returns the one of v2 for
// the node's own programs.
func makeCgroups() (*os.File, error) {
	all, unified := hierarchies()
	for _, h := range all {
		if err := os.MkdirAll(filepath.Join(h, cgroup), 0o755); err != nil {
			return nil, err
		}
		if err := prepareCgroup(h); err != nil {
			return nil, err
		}
	}
	system := filepath.Join(unified, cgroup, "system")
	if err := os.Mkdir(system, 0o755); err != nil {
		return nil, err
	}
	return os.Open(system)
}

// prepareCgroup writes the files that a v1 cgroup needs before a process can enter it,
// and gives the node's pods most of the CPU, so that other load on this host does not
// change the findings.
func prepareCgroup(h string) error {
	write := map[string]string{"cpu.shares": "100000"}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, _ := os.ReadFile(filepath.Join(h, name)) // only the cpuset controller has these files
		write[name] = string(b)
	}
	for name, value := range write {
		path := filepath.Join(h, cgroup, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups kills the processes in the node's cgroups, and removes the cgroups.
func removeCgroups() error {
	all, unified := hierarchies()
	_ = os.WriteFile(filepath.Join(unified, cgroup, "cgroup.kill"), []byte("1"), 0) // the cgroup may not exist
	var left error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		left = nil
		for _, h := range all {
			left = errors.Join(left, removeTree(filepath.Join(h, cgroup)))
		}
		if left == nil {
			return nil
		}
	}
	return left
}

// removeTree removes a cgroup and those below it.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	if err := syscall.Rmdir(dir); err != nil && err != syscall.ENOENT {
		return fmt.Errorf("removing the cgroup %s: %w", dir, err)
	}
	return nil
}

// sysctls are the sysctls of the host that a kubelet changes, with their values.
type sysctls map[string][]byte

func readSysctls() sysctls {
	s := make(sysctls)
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		path := "/proc/sys/" + name
		if b, err := os.ReadFile(path); err == nil {
			s[path] = b
		}
	}
	return s
}

func (s sysctls) restore() (err error) {
	for path, value := range s {
		err = errors.Join(err, os.WriteFile(path, value, 0))
	}
	return err
}

// nothingLeft returns an error if mounts or processes of the run are left.
func nothingLeft(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), dir) {
		err = errors.Join(err, fmt.Errorf("a mount of %s is left", dir))
	}
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		// All processes that the node's programs start inherit it.
		if b, _ := os.ReadFile(path); strings.Contains(string(b), inside+"="+dir) {
			err = errors.Join(err, fmt.Errorf("%s is left", filepath.Dir(path)))
		}
	}
	return err
}
