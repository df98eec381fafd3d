// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const tutorial = "../../docs/tutorial.md"

// TestTutorial runs the commands of docs/tutorial.md in one shell, and compares their
// output with the output in the tutorial. Numbers may differ. For a diagnosis, only
// the verdict and the causes must be the same.
//
// TUTORIAL_UPDATE=1 writes the new output to the file instead.
func TestTutorial(t *testing.T) {
	shop := newShop(t)
	text, err := os.ReadFile(tutorial)
	must(t, err)
	sh := newShell(t, "../..")
	update := os.Getenv("TUTORIAL_UPDATE") != ""
	parts := blocks(string(text))
	steps := 0
	for i := range parts {
		for j := range parts[i].steps {
			s := &parts[i].steps[j]
			steps++
			said, status := sh.run(t, s.command)
			t.Logf("$ %s\n%s", s.command, said)
			switch {
			case status != 0:
				t.Fatalf("%s: exit status %d", s.command, status)
			case update:
				s.answer = said
			default:
				s.check(t, said)
			}
		}
	}
	if steps < 8 {
		t.Errorf("%d commands found in the tutorial: its format was not understood", steps)
	}
	if update {
		must(t, os.WriteFile(tutorial, []byte(join(parts)), 0o644)) //nolint:gosec // a document
	}
	mustHaveLeftNothing(t, shop.before)
}

// A part of the tutorial is prose, or a block of commands with their output.
type part struct {
	prose string
	steps []step
}

type step struct{ command, answer string }

const blockStart, blockEnd = "```console\n", "```\n"

func blocks(text string) []part {
	var parts []part
	for {
		before, rest, found := strings.Cut(text, blockStart)
		parts = append(parts, part{prose: before})
		if !found {
			return parts
		}
		var block string
		block, text, _ = strings.Cut(rest, blockEnd)
		var p part
		for _, line := range strings.SplitAfter(block, "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				p.steps = append(p.steps, step{command: strings.TrimSpace(command)})
			} else if n := len(p.steps); n > 0 {
				p.steps[n-1].answer += line
			}
		}
		parts = append(parts, p)
	}
}

func join(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.prose)
		if len(p.steps) == 0 {
			continue
		}
		b.WriteString(blockStart)
		for _, s := range p.steps {
			fmt.Fprintf(&b, "$ %s\n%s", s.command, s.answer)
		}
		b.WriteString(blockEnd)
	}
	return b.String()
}

// check compares all lines that must match, in any order.
func (s step) check(t *testing.T, said string) {
	t.Helper()
	for line := range strings.Lines(s.answer) {
		line = s.matters(line)
		if robbed(said) && isVerdict(line) {
			t.Logf("the hypervisor takes CPU time, which is a finding: the verdict %q is not compared", line)
			continue
		}
		if line != "" && !strings.Contains(blank(said), blank(line)) {
			t.Errorf("%s\nno longer says %q; it says\n%s", s.command, line, said)
		}
	}
}

// robbed reports whether a diagnosis has the finding that the hypervisor of the test
// machine takes CPU time.
func robbed(said string) bool {
	return strings.Contains(strings.Join(strings.Fields(said), " "), "of its CPU time to other guests of its hypervisor")
}

func isVerdict(line string) bool {
	verdict, found := strings.CutSuffix(line, ":")
	return found && slices.Contains([]string{"healthy", "info", "warning", "critical"}, verdict)
}

// matters returns the part of a line that must match. For a diagnosis, only the
// verdict and the line of each finding with its cause must match.
func (s step) matters(line string) string {
	line = strings.TrimSpace(line)
	if !strings.Contains(s.command, "diagnose") {
		return line
	}
	if verdict, _, found := strings.Cut(line, ": "); found && strings.HasSuffix(line, "observed)") {
		return verdict + ":"
	}
	if cause, _, found := strings.Cut(line, ", impact"); found && strings.HasPrefix(line, "why ") {
		return cause
	}
	return ""
}

var number = regexp.MustCompile(`[0-9][0-9.,]*( ?(ns|µs|ms|s|kB|MB|KiB|MiB|GiB|%))?`)

// blank removes what differs between runs: numbers with their units, and the spaces
// between columns.
func blank(s string) string {
	return regexp.MustCompile(` +`).ReplaceAllString(number.ReplaceAllString(s, "#"), " ")
}

// A shell is one bash for the whole tutorial: commands can start background jobs.
type shell struct {
	in  io.Writer
	out *bufio.Reader
}

func newShell(t *testing.T, dir string) *shell {
	t.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc")
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	must(t, err)
	r, w, err := os.Pipe()
	must(t, err)
	cmd.Stdout, cmd.Stderr = w, w
	must(t, cmd.Start())
	w.Close() //nolint:errcheck // the shell has its own descriptor
	t.Cleanup(func() {
		in.Close() //nolint:errcheck // the shell ends with its input
		cmd.Wait() //nolint:errcheck // its error is of no interest
		r.Close()  //nolint:errcheck // everything was read
	})
	sh := &shell{in: in, out: bufio.NewReader(r)}
	// The tests run as root: sudo may not be installed.
	sh.run(t, `sudo() { "$@"; }; unset MAKEFLAGS MAKELEVEL MFLAGS; shopt -s expand_aliases; alias make="make --no-print-directory"`)
	return sh
}

// run runs a command in the shell, and returns its output and exit status.
func (sh *shell) run(t *testing.T, command string) (said string, status int) {
	t.Helper()
	const end = "tutorial-step-ended"
	_, err := fmt.Fprintf(sh.in, "%s\necho %s $?\n", command, end)
	must(t, err)
	for {
		line, err := sh.out.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: the shell ended: %v\n%s", command, err, said)
		}
		if before, after, found := strings.Cut(line, end+" "); found {
			_, err := fmt.Sscanf(after, "%d", &status)
			must(t, err)
			return said + before, status
		}
		said += line
	}
}
