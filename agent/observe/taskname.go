// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"strings"
	"unicode"
)

// OwnTitle replaces the name of a main thread that is not shown.
const OwnTitle = "(title)"

// UnknownProgram replaces the name of a program of which only a title is known.
const UnknownProgram = "unknown"

// ThreadName returns the part of a thread's name (its comm) that may be shown, or "" if
// there is none. A name that is one word comes from the source of the program and not
// from data. What a process writes over its own name, which is the name of its main
// thread, is a title ("celery: reports of alice"), and threads that it starts later
// inherit the title: of a title only common words are shown. main is the main thread's
// name.
func ThreadName(comm, main, executable string) string {
	if strings.HasPrefix(executable, comm) || spoken(comm) || comm != main && identifier(comm) {
		return comm
	}
	return ""
}

// ProgramName returns the part of the main thread's name that may be shown for a
// process whose executable is not known.
func ProgramName(comm string) string {
	if comm != "" && (identifier(comm) || spoken(comm)) {
		return comm
	}
	return UnknownProgram
}

// maxDigits is the maximum number of digits in a number such as a port or a counter.
const maxDigits = 5

// identifier reports whether s looks like a name from the source of a program: words
// and numbers, which do not alternate as they do in a token.
func identifier(s string) bool {
	letters, digits, changes := 0, 0, 0
	last := ' '
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			if digits++; digits > maxDigits {
				return false
			}
			if unicode.IsLetter(last) {
				changes++
			}
		case c < 0x80 && unicode.IsLetter(c):
			letters++
			digits = 0
			if unicode.IsDigit(last) {
				changes++
			}
		case strings.ContainsRune("-_.:/#|[]()+~", c):
			digits, changes = 0, 0
		default:
			return false
		}
		if changes > 2 {
			return false
		}
		last = c
	}
	return letters > 0
}

// spoken reports whether s is made of common words and numbers. The last word
// may be cut: the kernel keeps 15 bytes.
func spoken(s string) bool {
	const kept = 15
	words, letters := 0, 0
	rest := s
	for rest != "" {
		n := wordLength(rest)
		if n == 0 {
			d := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
			if d > maxDigits || d == 0 && !strings.Contains(" -_.:/#|[]()", rest[:1]) {
				return false
			}
			rest = rest[max(d, 1):]
			continue
		}
		word := strings.ToLower(rest[:n])
		rest = rest[n:]
		if n == 1 { // C2, G1, V8
			if letters++; letters > 1 {
				return false
			}
			continue
		}
		if words++; !common[word] && (rest != "" || len(s) < kept || !begins(word)) {
			return false
		}
	}
	return words > 0
}

// wordLength returns the length of the first word: V8Worker has V and Worker,
// MainThread has Main and Thread.
func wordLength(s string) int {
	for i := range len(s) {
		upper, lower := s[i] >= 'A' && s[i] <= 'Z', s[i] >= 'a' && s[i] <= 'z'
		if !upper && !lower || i > 0 && upper && s[i-1] >= 'a' {
			return i
		}
	}
	return len(s)
}

func begins(word string) bool {
	for w := range common {
		if strings.HasPrefix(w, word) {
			return true
		}
	}
	return false
}

// common has the words in the names that runtimes and servers give to threads, and the
// names of programs that distributions install under another name: sh is dash, awk is
// mawk.
var common = func() map[string]bool {
	all := make(map[string]bool)
	for _, w := range strings.Fields(`accept acceptor aof async attach aux awk backend background bio br catalina cleaner client close common compiler conc
		connection consumer container content cpu deflation delayed dispatch dispatcher epoll event exec executor file finalizer flush flusher
		fork free gc handler heartbeat http https idle init inspector io java jemalloc join kafka lazy lib libuv listener log logger loop main manager marker
		master metrics monitor net network nginx nio node notification periodic poll pool postgres process producer python queue reader
		reaper receiver redis reference refine request ruby runc runtime sched scheduler selector sender server service sh signal socket
		sweeper sync task thread timer tokio uv vm watcher web work worker writer`) {
		all[w] = true
	}
	return all
}()
