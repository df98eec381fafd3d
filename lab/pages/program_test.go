// SPDX-License-Identifier: Apache-2.0

package pages

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/headroom-project/headroom/internal/testutil/outside"
	"github.com/headroom-project/headroom/lab/compile"
)

// built has the program that all tests use.
var built struct {
	once     sync.Once
	headroom string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.headroom != "" {
		_ = os.RemoveAll(filepath.Dir(built.headroom))
	}
	os.Exit(code)
}

// headroom returns the path of the program, which the first test builds.
func headroom(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "headroom-pages-")
		outside.Must(t, err)
		built.headroom = filepath.Join(dir, "headroom")
		compile.Program(t, compile.Product, "./cmd/headroom", built.headroom)
	})
	return built.headroom
}

// A pageServer is a test of the product in a separate process. It serves a page and
// reads commands, one per line.
type pageServer struct {
	t       *testing.T
	url     string
	cmd     *exec.Cmd
	in      io.Writer
	answers *bufio.Scanner
	log     outside.Output
}

// servePage runs a test of a package, such as analyzers/publish/web, until the end of
// t. The environment selects what the test serves. The test prints the address of the
// page, and a line for each command.
func servePage(t *testing.T, pkg, test string, env ...string) *pageServer {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "page.test")
	compile.Tests(t, "./"+pkg, binary)
	s := &pageServer{t: t, cmd: exec.Command(binary, "-test.run", "^"+test+"$")}
	s.cmd.Dir = filepath.Join(compile.Product, pkg)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr = &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := s.cmd.StdinPipe()
	outside.Must(t, err)
	out, err := s.cmd.StdoutPipe()
	outside.Must(t, err)
	s.in, s.answers = in, bufio.NewScanner(out)
	outside.Must(t, s.cmd.Start())
	t.Cleanup(s.end)
	s.url = s.answer("its address")
	return s
}

// tell sends a command and returns the answer.
func (s *pageServer) tell(format string, args ...any) string {
	s.t.Helper()
	command := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		s.t.Fatalf("telling the page server to %s: %v\n%s", command, err, &s.log)
	}
	return s.answer(command)
}

func (s *pageServer) answer(to string) string {
	s.t.Helper()
	const done = "done "
	for s.answers.Scan() {
		if answer, ok := strings.CutPrefix(s.answers.Text(), done); ok {
			return answer
		}
		fmt.Fprintln(&s.log, s.answers.Text())
	}
	s.t.Fatalf("the page server ended before it answered to %q:\n%s", to, &s.log)
	return ""
}

// end kills the server.
func (s *pageServer) end() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // it was killed
}
