// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"slices"
	"strings"
)

// interpreters maps an interpreter to the function that finds the program that it
// runs.
var interpreters = map[string]func(args []string) target{
	"node": node.find, "nodejs": node.find, "bun": bun.find, "deno": deno.find,
	"python": python.find, "pypy": python.find,
	"ruby": ruby.find, "perl": perl.find, "php": php.find,
	"java": java, "dotnet": dotnet,
	"bash": shell.find, "sh": shell.find, "dash": shell.find, "zsh": shell.find, "ksh": shell.find,
}

const digits = "0123456789"

var node = &grammar{
	endings: []string{"", ".js", ".cjs", ".mjs", "/index.js", "/package.json"},
	taking: words("-r --require --import --loader --experimental-loader -C --conditions --env-file --env-file-if-exists --title " +
		"--max-http-header-size --icu-data-dir --openssl-config --input-type --experimental-default-type --redirect-warnings --report-dir " +
		"--report-directory --report-filename --report-signal --diagnostic-dir --heapsnapshot-signal --heapsnapshot-near-heap-limit " +
		"--trace-event-categories --trace-event-file-pattern --unhandled-rejections --secure-heap --secure-heap-min --disable-warning --disable-proto " +
		"--dns-result-order --stack-trace-limit --inspect-port --debug-port --inspect-publish-uid --cpu-prof-dir --cpu-prof-name --cpu-prof-interval " +
		"--heap-prof-dir --heap-prof-name --heap-prof-interval --watch-path --experimental-config-file --tls-cipher-list --tls-keylog " +
		"--v8-pool-size --snapshot-blob --use-largepages --localstorage-file --network-family-autoselection-attempt-timeout"),
	plain: words("--abort-on-uncaught-exception --allow-addons --allow-child-process --allow-net --allow-wasi --allow-worker --check -c --cpu-prof " +
		"--disable-wasm-trap-handler --disallow-code-generation-from-strings --enable-etw-stack-walking --enable-fips --enable-source-maps " +
		"--enable-network-family-autoselection --experimental-eventsource --experimental-fetch --experimental-import-meta-resolve " +
		"--experimental-json-modules --experimental-modules --experimental-network-imports --experimental-network-inspection --experimental-permission " +
		"--experimental-repl-await --experimental-require-module --experimental-specifier-resolution --experimental-sqlite --experimental-strip-types " +
		"--experimental-test-coverage --experimental-transform-types --experimental-vm-modules --experimental-wasm-modules --experimental-webstorage " +
		"--experimental-websocket --experimental-worker --expose-gc --expose_gc --expose-internals --force-context-aware --force-fips " +
		"--force-node-api-uncaught-exceptions-policy --frozen-intrinsics --harmony --heap-prof --huge-max-old-generation-size " +
		"--insecure-http-parser --inspect --inspect-brk --inspect-wait --interpreted-frames-native-stack --jitless --lite-mode --node-memory-debug " +
		"--openssl-legacy-provider --openssl-shared-config --optimize-for-size --optimize_for_size --pending-deprecation --perf-basic-prof " +
		"--perf-basic-prof-only-functions --perf-prof --permission --preserve-symlinks --preserve-symlinks-main --prof --report-compact " +
		"--report-exclude-network --report-on-fatalerror --report-on-signal --report-uncaught-exception --throw-deprecation --tls-max-v1.2 " +
		"--tls-max-v1.3 --tls-min-v1.0 --tls-min-v1.1 --tls-min-v1.2 --tls-min-v1.3 --trace-atomics-wait --trace-deopt --trace-deprecation " +
		"--trace-exit --trace-gc --trace-opt --trace-promises --trace-sigint --trace-sync-io --trace-tls --trace-uncaught --trace-warnings " +
		"--track-heap-objects --use-bundled-ca --use-openssl-ca --use-system-ca --use-strict --use_strict --watch --watch-preserve-output --zero-fill-buffers"),
	text: words("-e --eval -p --print -pe -i --interactive --test --run inspect debug"),
}

var bun = &grammar{
	verbs:  words("run"),
	taking: words("-r --preload --require --import -c --config --cwd --env-file -d --define -l --loader --port --conditions --filter --shell --tsconfig-override"),
	plain: words("--smol --hot --watch --bun -b --silent --no-install -i --inspect --inspect-brk --inspect-wait --if-present --prefer-offline " +
		"--prefer-latest --expose-gc --no-clear-screen"),
	text: words("-e --eval -p --print x exec test repl install i add a remove rm update link unlink pm build create c init upgrade outdated publish patch"),
}

var deno = &grammar{
	verbs:  words("run serve"),
	taking: words("-c --config -L --log-level --import-map --location --seed --cert --port --host --ext --v8-flags"),
	plain: words("-A --allow-all --allow-env --allow-sys --allow-hrtime --allow-net --allow-ffi --allow-read --allow-run --allow-write --allow-import " +
		"--deny-env --deny-sys --deny-net --deny-ffi --deny-read --deny-run --deny-write --cached-only --check --no-check --frozen --lock --quiet -q " +
		"--reload -r --unstable --watch --watch-hmr --inspect --inspect-brk --inspect-wait --node-modules-dir --vendor --env-file --parallel -R -W -N -E -S -I"),
	text: words("eval repl task test bench fmt lint check cache compile doc info install i uninstall add remove upgrade types vendor bundle " +
		"completions coverage init jupyter lsp publish outdated clean deploy sandbox"),
}

var python = &grammar{
	taking: words("--check-hash-based-pycs"),
	single: "bBdEiIOPqRsSuvx", valued: "WXQ", program: "c", module: 'm',
}

// ruby and perl loop over their input with -n and -p: the next argument is rarely a
// script.
var ruby = &grammar{
	taking: words("--encoding --external-encoding --internal-encoding"),
	plain: words("--jit --yjit --rjit --debug --verbose --disable-gems --disable-all --enable-all --disable-did_you_mean --disable-rubyopt " +
		"--enable-frozen-string-literal --disable-frozen-string-literal"),
	single: "aclsSUvwd" + digits, valued: "CIr", joined: "EFiKTWx", program: "enp",
}

var perl = &grammar{
	single: "acflsStTuUwWX" + digits, valued: "I", joined: "CdDFimMx", program: "eEnp",
}

var php = &grammar{
	taking: words("--define --php-ini --zend-extension"),
	plain:  words("--no-php-ini --no-header --timing"),
	text:   words("--run --interactive --server --process-code --process-begin --process-end --process-file --docroot"),
	single: "CHlnqsw", valued: "cdtz", program: "aBeEFpRrS", named: 'f',
}

var shell = &grammar{
	taking: words("--rcfile --init-file"),
	plain:  words("--login --posix --norc --noprofile --noediting --restricted --verbose --debugger --rcs --no-rcs"),
	single: "abBCdefghHiklmnpPrtTuvxEXyw", next: "oO", program: "csD", plus: true,
}

var javaTaking = words("--upgrade-module-path --add-modules --add-exports --add-opens --add-reads " +
	"--limit-modules --patch-module --source --describe-module -d --enable-native-access")

var javaPlain = words("-server -client -zero -d32 -d64 -ea -enableassertions -da -disableassertions -esa -enablesystemassertions -dsa " +
	"-disablesystemassertions --enable-preview -showversion --show-version --dry-run --validate-modules")

// java finds a jar, a main class, or a source file.
func java(args []string) target {
	classPath := "."
	for i := 0; i < len(args); i++ {
		a := args[i]
		value := ""
		if i+1 < len(args) {
			value = args[i+1]
		}
		switch {
		case a == "-jar":
			return target{text: value, alone: true}
		case a == "-m" || a == "--module":
			_, class, _ := strings.Cut(value, "/")
			return target{kind: aClass, text: class, classPath: classPath}
		case slices.Contains([]string{"-cp", "-classpath", "--class-path", "-p", "--module-path"}, a):
			classPath = value
			i++
		case strings.HasPrefix(a, "--class-path="), strings.HasPrefix(a, "--module-path="):
			_, classPath, _ = strings.Cut(a, "=")
		case javaTaking[a]:
			i++
		case javaPlain[a] || javaJoined(a):
		case a == "" || strings.HasPrefix(a, "-") || strings.HasPrefix(a, "@"):
			return target{}
		case strings.HasSuffix(a, ".java"):
			return target{text: a}
		default:
			return target{kind: aClass, text: a, classPath: classPath}
		}
	}
	return target{}
}

// javaJoined reports whether a flag has its value in the same argument.
func javaJoined(a string) bool {
	for _, prefix := range []string{"-D", "-X", "-ea:", "-da:", "-verbose", "-javaagent:", "-agentlib:", "-agentpath:", "-splash:", "-enableassertions:", "-disableassertions:"} {
		if strings.HasPrefix(a, prefix) {
			return true
		}
	}
	return strings.HasPrefix(a, "--") && strings.Contains(a, "=")
}

var dotnetHost = &grammar{
	verbs: words("exec"),
	taking: words("--depsfile --runtimeconfig --additionalprobingpath --additional-deps --fx-version --roll-forward " +
		"--roll-forward-on-no-candidate-fx"),
}

// dotnet finds an assembly: other words are commands of the SDK.
func dotnet(args []string) target {
	t := dotnetHost.find(args)
	if !strings.HasSuffix(t.text, ".dll") && !strings.HasSuffix(t.text, ".exe") {
		return target{}
	}
	t.alone = true
	return t
}

// knownModules are common modules: their names reveal nothing, and they may be in a
// place that is not searched.
var knownModules = words("http.server uvicorn gunicorn hypercorn daphne celery flask django waitress aiohttp.web streamlit jupyter notebook " +
	"jupyterlab ipykernel_launcher pip pytest unittest airflow rq huey dramatiq debugpy gunicorn.app.wsgiapp torch.distributed.run " +
	"vllm.entrypoints.openai.api_server")
