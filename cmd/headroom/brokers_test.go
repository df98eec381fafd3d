// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestPrivatePassword checks that the password of a broker is sent to the broker, and is in
// no output, log or file. The broker answers with what it was sent.
func TestPrivatePassword(t *testing.T) {
	const password = "Zq7-marked-password"
	var questions atomic.Int32
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, p, _ := r.BasicAuth(); p == password {
			questions.Add(1)
		}
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"not_authorized","reason":"` + password + r.Header.Get("Authorization") + `"}`))
	}))
	defer broker.Close()
	redis, asked := echoingRedis(t, password)
	words := []string{password, base64.StdEncoding.EncodeToString([]byte("u:" + password))}
	clean := func(what string, text []byte) {
		for _, word := range words {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s has the password", what)
			}
		}
	}

	a := &runningAgent{t: t, dir: t.TempDir()}
	a.write("password", password+"\n")
	a.write("headroom.yml", "window: 4s\nevery: 2s\nbrokers:\n  - kind: rabbitmq\n    address: "+strings.TrimPrefix(broker.URL, "http://")+
		"\n    username: u\n    password_file: "+filepath.Join(a.dir, "password")+"\n"+
		"  - kind: redis\n    address: "+redis+"\n    password_file: "+filepath.Join(a.dir, "password")+"\n")
	a.start()
	config, recording := filepath.Join(a.dir, "headroom.yml"), filepath.Join(t.TempDir(), "x.hr")
	for _, args := range [][]string{
		{"config", "check", config},
		{"diagnose", "--duration", "14s", "--brokers", config, "--save", recording, "-o", "json"},
		{"diagnose", "--from", recording, "-o", "html"},
	} {
		out, _ := exec.Command("headroom", args...).CombinedOutput() //nolint:errcheck // findings have a status
		clean("headroom "+strings.Join(args, " "), out)
		for _, server := range []string{"the management API of RabbitMQ at ", "Redis at " + redis + " refuses the user or the password"} {
			if args[0] == "diagnose" && !bytes.Contains(out, []byte(server)) {
				t.Errorf("headroom %v does not say that the password is wrong (%s):\n%.2000s", args, server, out)
			}
		}
	}
	clean("the recording", unpacked(t, recording))
	a.await("the wrong password is a gap", func() bool {
		_, body := a.get("http", "/api/v1/findings", "")
		return strings.Contains(body, "refuses the user or the password")
	})
	if n := questions.Load(); n < 2 || n > 10 {
		t.Errorf("the broker got the password %d times, want once a minute from each of two", n)
	}
	if n := asked.Load(); n < 2 || n > 20 {
		t.Errorf("Redis got the password %d times, want twice a minute from each of two", n)
	}
	for _, path := range []string{"/", "/metrics", "/api/v1/findings", "/api/v1/services", "/api/v1/status"} {
		_, body := a.get("http", path, "")
		clean("GET "+path, []byte(body))
	}
	a.signal(syscall.SIGTERM)
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v, want 0", err)
	}
	clean("the log", []byte(a.log()))
	state := os.DirFS(filepath.Join(a.dir, "state"))
	err := fs.WalkDir(state, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			clean(path, unpacked(t, filepath.Join(a.dir, "state", path)))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// echoingRedis refuses every command, and repeats it in its answer. It returns its address
// and how often it was sent the password.
func echoingRedis(t *testing.T, password string) (at string, asked *atomic.Int32) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked = new(atomic.Int32)
	serve := func(conn net.Conn) {
		defer conn.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if bytes.Contains(buf[:n], []byte(password)) {
				asked.Add(1)
			}
			for line := range bytes.Lines(buf[:n]) {
				if line[0] == '*' {
					_, _ = conn.Write([]byte("-WRONGPASS invalid username-password pair " + password + "\r\n"))
				}
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String(), asked
}
