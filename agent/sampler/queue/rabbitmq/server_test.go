// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/sampler"
)

// A server is a RabbitMQ of this test with only the management plugin.
type server struct {
	t       *testing.T
	home    string
	env     []string
	api     string
	process *exec.Cmd
}

const serverProgram = "/usr/lib/rabbitmq/bin/rabbitmq-server"

func ports4(t *testing.T) (all []int) {
	t.Helper()
	for range 4 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // only its number is needed
		all = append(all, l.Addr().(*net.TCPAddr).Port)
	}
	return all
}

func startServer(t *testing.T) *server {
	t.Helper()
	if _, err := os.Stat(serverProgram); err != nil || testing.Short() {
		t.Skip("needs rabbitmq-server, and half a minute")
	}
	s, p := &server{t: t, home: t.TempDir()}, ports4(t)
	s.api = fmt.Sprintf("127.0.0.1:%d", p[1])
	for name, text := range map[string]string{
		"plugins":       "[rabbitmq_management].\n",
		"rabbitmq.conf": fmt.Sprintf("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %d\ncollect_statistics_interval = 1000\n", p[1]),
	} {
		if err := os.WriteFile(filepath.Join(s.home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(os.Environ(), "HOME="+s.home, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		fmt.Sprintf("RABBITMQ_NODENAME=t%d@localhost", p[0]), fmt.Sprintf("RABBITMQ_NODE_PORT=%d", p[0]), fmt.Sprintf("RABBITMQ_DIST_PORT=%d", p[2]),
		"RABBITMQ_MNESIA_BASE="+s.home+"/mnesia", "RABBITMQ_LOG_BASE="+s.home+"/log", "RABBITMQ_ENABLED_PLUGINS_FILE="+s.home+"/plugins",
		"RABBITMQ_CONFIG_FILE="+s.home+"/rabbitmq", "ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprintf("ERL_EPMD_PORT=%d", p[3]),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}")
	epmd := exec.Command("epmd", "-address", "127.0.0.1", "-port", fmt.Sprint(p[3]))
	if err := epmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = epmd.Process.Kill(); _ = epmd.Wait() })
	t.Cleanup(s.stop)
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(serverProgram)
	s.process.Env = s.env
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.await("it starts", func() bool {
		resp, err := http.Get("http://" + s.api + "/api/whoami")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusUnauthorized
	})
}

func (s *server) stop() {
	_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL) // it may have ended
	_ = s.process.Wait()                                      // killed
}

func (s *server) await(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := filepath.Glob(s.home + "/log/*.log") //nolint:errcheck // the pattern is right
			s.t.Fatalf("%s: not within two minutes; logs: %v", what, log)
		}
	}
}

// as asks the API as the user that every server has.
func (s *server) as(method, path, body string) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.api+"/api/"+path, bytes.NewBufferString(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth("guest", "guest")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s, %v", method, path, resp.Status, err)
	}
}

// TestServer checks the fallback on a real server, from a user that is not there to one
// that may look, and through a new password, a stop and a restart.
func TestServer(t *testing.T) {
	s := startServer(t)
	password := marked
	l := login(s.api)
	l.Password = func() (string, error) { return password, nil }
	a := newAPI("127.0.0.1:5672", l)
	defer a.Close()
	fails := func(want string, d time.Duration) {
		t.Helper()
		a.until = time.Time{} // instead of waiting for a minute
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if _, err := a.Read(ctx); err == nil || !strings.Contains(err.Error(), want) || sampler.Cure(err) == "" || strings.Contains(err.Error(), marked) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
	works := func(what string, ready, acked float64) {
		t.Helper()
		s.await(what, func() bool {
			a.until = time.Time{}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r, err := a.Read(ctx)
			return err == nil && r.Partial == nil && len(r.Queues) == 1 && r.Queues[0].Name == "a" && r.Queues[0].Ready == ready && r.Queues[0].Counts[whole].Acked == acked
		})
	}
	fails("refuses the user or the password", time.Minute)
	s.as("PUT", "users/u", `{"password":"`+marked+`","tags":""}`)
	fails("set_user_tags", time.Minute)
	s.as("PUT", "users/u", `{"password":"`+marked+`","tags":"management"}`)
	fails("set_user_tags", time.Minute)
	s.as("PUT", "users/u", `{"password":"`+marked+`","tags":"monitoring"}`)
	s.as("PUT", "queues/%2f/a", `{"durable":true}`)
	for range 3 {
		s.as("POST", "exchanges/%2f/amq.default/publish", `{"properties":{"delivery_mode":2},"routing_key":"a","payload":"x","payload_encoding":"string"}`)
	}
	s.as("POST", "queues/%2f/a/get", `{"count":1,"ackmode":"ack_requeue_false","encoding":"auto"}`)
	s.await("hidden queues are reported", func() bool {
		r, err := a.Read(t.Context())
		return err == nil && r.Partial != nil && strings.Contains(r.Partial.Error(), "virtual hosts")
	})
	s.as("PUT", "permissions/%2f/u", `{"configure":"^$","write":"^$","read":"^$"}`)
	works("the queue is read", 2, 1)
	s.as("PUT", "users/u", `{"password":"rotated","tags":"monitoring"}`)
	s.await("the old password is refused", func() bool {
		_, err := a.Read(t.Context())
		return err != nil && strings.Contains(err.Error(), "refuses")
	})
	password = "rotated"
	works("the new password is taken", 2, 1)
	if err := syscall.Kill(-s.process.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	fails("in time", time.Second)
	if err := syscall.Kill(-s.process.Process.Pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	works("it goes on", 2, 1)
	s.stop()
	fails("cannot be asked (connection re", time.Minute) // refused; or reset, while the kernel closes its sockets
	s.start()
	works("it has begun again", 2, 0)
}
