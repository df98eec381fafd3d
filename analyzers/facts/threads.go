// SPDX-License-Identifier: Apache-2.0

package facts

import "fmt"

// threadSettings holds the setting that limits the threads that run at the same time, by
// runtime; %[1]d is their number.
var threadSettings = map[string]string{
	"node": "start at most %[1]d worker threads (maxThreads: %[1]d in Piscina), and set UV_THREADPOOL_SIZE=%[1]d for " +
		"fs, dns, crypto and zlib and --v8-pool-size=%[1]d for V8's helpers",
	"bun":    "start at most %[1]d Workers, and set UV_THREADPOOL_SIZE=%[1]d",
	"deno":   "start at most %[1]d Workers, and set --v8-flags=--single-threaded-gc if they are V8's helpers",
	"python": "set max_workers=%[1]d of its executors, --threads %[1]d of gunicorn, and OMP_NUM_THREADS=%[1]d for numpy",
	"go":     "set GOMAXPROCS=%[1]d",
	"jvm":    "set -XX:ActiveProcessorCount=%[1]d, and the maximum of its executors to %[1]d",
	"ruby":   "set threads %[1]d, %[1]d in config/puma.rb (RAILS_MAX_THREADS=%[1]d)",
	"dotnet": "set DOTNET_PROCESSOR_COUNT=%[1]d",
	"beam":   "set +S %[1]d:%[1]d",
	"nginx":  "set worker_processes %[1]d, and thread_pool default threads=%[1]d",
	"redis":  "set io-threads %[1]d",
	"php":    "set pm.max_children = %[1]d",
}

// ThreadSetting returns how to limit the threads of a runtime that run at the same time
// to n; ok is false for an unknown runtime.
func ThreadSetting(runtime string, n int) (setting string, ok bool) {
	format, ok := threadSettings[runtime]
	if !ok {
		return "", false
	}
	return fmt.Sprintf(format, n), true
}
