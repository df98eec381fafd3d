// SPDX-License-Identifier: Apache-2.0

package catalog

import "strings"

// Attributes of entities: OpenTelemetry's resource attributes where one exists; the
// others begin with "headroom.".
const (
	AttrPID        = "process.pid"
	AttrTID        = "thread.id"
	AttrThreadName = "thread.name"             // of a process: the name of its main thread, if it differs from the executable's
	AttrExecutable = "process.executable.name" // the file's name: node
	AttrCommand    = "process.command"         // executable and script, without other arguments: node server.js
	// AttrProgram is the name of the program, if that is not AttrCommand: node
	// shop/server.js for a server.js in the package shop. See Command and Program.
	AttrProgram       = "headroom.program"
	AttrRuntime       = "process.runtime.name" // node, python, jvm, go, nginx, redis …; absent if unknown
	AttrService       = "service.name"         // systemd unit: nginx.service, batch.slice/report.service, user@1000.service/sync.service
	AttrContainerID   = "container.id"
	AttrContainerName = "container.name"    // in Kubernetes, the name in the pod's spec
	AttrContainerKind = "container.runtime" // docker, containerd, cri-o, podman
	AttrPodUID        = "k8s.pod.uid"
	AttrPodName       = "k8s.pod.name"
	AttrNamespace     = "k8s.namespace.name"
	AttrQoS           = "k8s.pod.qos_class"
	// AttrWorkload is the workload of a pod, as kubectl names it: deployment/shop,
	// cronjob/report, and pod/etcd-node-1 for a pod without a controller.
	AttrWorkload    = "headroom.workload"
	AttrDeployment  = "k8s.deployment.name"
	AttrReplicaSet  = "k8s.replicaset.name"
	AttrStatefulSet = "k8s.statefulset.name"
	AttrDaemonSet   = "k8s.daemonset.name"
	AttrJob         = "k8s.job.name"
	AttrCronJob     = "k8s.cronjob.name"
	AttrCgroup      = "linux.cgroup.path"
	AttrLoopKind    = "headroom.loop.kind"    // epoll, poll, select
	AttrLoopShared  = "headroom.loop.shared"  // "true": several threads wait on one epoll instance, an M:N scheduler
	AttrAddress     = "network.local.address" // of a listener: 127.0.0.1, ::, 0.0.0.0
	AttrPort        = "network.local.port"
	AttrDatabase    = "db.system.name" // of a client: postgresql, redis. AttrDestination and AttrDestPort are the address that it calls
	AttrSource      = "source.address" // of an upstream
	AttrDestination = "destination.address"
	AttrDestPort    = "destination.port"
	// AttrTimeWaitReused is "true" for an upstream whose connections in TIME_WAIT
	// release their port for a new connection after one second (net.ipv4.tcp_tw_reuse,
	// by default on the loopback).
	AttrTimeWaitReused = "headroom.upstream.time_wait.reused"
	// AttrPortsAssumed is "true" if the port range could not be read and the kernel's
	// default is assumed.
	AttrPortsAssumed = "headroom.upstream.ports.assumed"
	AttrSystem       = "messaging.system"           // of a queue: rabbitmq
	AttrQueue        = "messaging.destination.name" // orders; tenant/orders in a virtual host. AttrAddress and AttrPort are the broker's
	AttrPolicy       = "headroom.redis.policy"      // maxmemory_policy of a Redis: allkeys-lru, noeviction
	AttrDevice       = "system.device"
	AttrOn           = "headroom.disk.on" // the disks below a device mapper, md or loop device: sda,sdb. Its bytes are theirs too
	AttrInterface    = "network.interface.name"
	AttrVirtual      = "headroom.nic.virtual" // "true" for interfaces without hardware: veth, bridges, tunnels
	AttrKernelThread = "headroom.kernel"      // "true" for kernel threads
	AttrSelf         = "headroom.self"        // "true" for the headroom that observes
	// Attributes of a call: its name, the kind of its target, and what is known of the
	// target.
	AttrCall       = "headroom.syscall"
	AttrTarget     = "headroom.call.target" // TargetFile …; absent if the call is about no descriptor
	AttrFD         = "headroom.call.fd"     // absent for a mapped file
	AttrFile       = "file.path"
	AttrFilesystem = "system.filesystem.type"
	AttrMountpoint = "system.filesystem.mountpoint"
	AttrPeer       = "headroom.call.peer"      // ID of the process at the other end
	AttrPeerName   = "headroom.call.peer.name" // its executable
	// AttrWaitsForDisk is the flag of open(2) that makes each write to a file wait for
	// the disk: O_SYNC, O_DSYNC or O_DIRECT.
	AttrWaitsForDisk = "headroom.call.waits_for_disk"
	AttrServed       = "headroom.call.served" // "true": the other end is a client of this process
	AttrLock         = "headroom.lock.kind"   // LockInterpreter or LockMutex, of a call of futex
	// Attributes of Code. AttrFunction is absent for code outside of functions and for
	// functions without a name, AttrLine if the line is not known.
	AttrFunction = "code.function.name"
	AttrCodeFile = "code.file.path"
	AttrLine     = "code.line.number" // of the definition
	// AttrUses is what the function called, of a library or of the runtime: spin of
	// slowlib. AttrCaller, AttrCallerFile and AttrCallerLine are the function of the
	// program that called it.
	AttrUses       = "headroom.code.uses"
	AttrCaller     = "headroom.code.caller"
	AttrCallerFile = "headroom.code.caller.file"
	AttrCallerLine = "headroom.code.caller.line"
	// AttrOwner is the owner of a process: the container, otherwise the systemd
	// service, otherwise the process itself.
	AttrOwner = "headroom.owner"
)

// Values of AttrTarget.
const (
	TargetFile   = "file"   // a regular file, a directory or a block device
	TargetPipe   = "pipe"   // a pipe or a FIFO
	TargetDevice = "device" // a character device, such as a terminal
	TargetInet   = "inet"   // a TCP or UDP socket
	TargetUnix   = "unix"   // a Unix socket
	TargetOther  = "other"
)

// Values of AttrLock.
const (
	LockInterpreter = "interpreter" // the lock that lets one thread of CPython run at a time
	LockMutex       = "mutex"       // a mutex of the C library
)

// Labels of the second entity of a pair, in addition to the attributes of entities.
const (
	LabelCall    = "headroom.syscall"
	LabelCulprit = "headroom.culprit"
	LabelLimit   = "headroom.limit"
)

// NodeID is the ID of the one Node entity of a snapshot.
const NodeID = "node"

// HostPort joins AttrAddress and AttrPort in the usual notation, 127.0.0.1:8080 or
// [::]:80. It returns otherwise if they are not known.
func HostPort(address, port, otherwise string) string {
	switch {
	case address == "" || port == "":
		return otherwise
	case strings.Contains(address, ":"):
		return "[" + address + "]:" + port
	}
	return address + ":" + port
}
