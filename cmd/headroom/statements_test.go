// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Words in statements that must not be in any output.
var markedInStatements = []string{"Zq8MarkedTable", "Zq8MarkedLiteral", "Zq8MarkedParameter", "Zq8MarkedName"}

// TestPrivateStatements checks that no part of a statement of PostgreSQL, and none of its
// parameters, is in an output, a recording, a log, a file or the agent's memory, while
// their repeats are counted.
func TestPrivateStatements(t *testing.T) {
	end := askMarked(t)
	defer end()
	clean := func(what string, text []byte) {
		for _, word := range markedInStatements {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s has %s", what, word)
			}
		}
	}
	a := &runningAgent{t: t, dir: t.TempDir()}
	a.write("headroom.yml", "window: 4s\nevery: 2s\n")
	a.start()
	recording := filepath.Join(t.TempDir(), "x.hr")
	for _, args := range [][]string{{"record", "--duration", "5s", recording}, {"diagnose", "--from", recording, "-o", "json"}, {"diagnose", "--from", recording}} {
		out, _ := exec.Command("headroom", args...).CombinedOutput() //nolint:errcheck // findings have a status
		clean("headroom "+strings.Join(args, " "), out)
		if bytes.Contains(out, []byte("sock_send_length")) {
			t.Skip("the kernel does not show calls")
		}
	}
	recorded := unpacked(t, recording)
	clean("the recording", recorded)
	for _, metric := range []string{"headroom.client.read.fresh", "headroom.client.statement.calls"} {
		if !bytes.Contains(recorded, []byte(metric)) {
			t.Errorf("the recording has no %s", metric)
		}
	}
	checkEnding(t, a, clean)
}

// askMarked makes calls with marked words to a server that answers as PostgreSQL does, until
// end is called. A process of its own makes them: those of headroom do not count.
func askMarked(t *testing.T) (end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerCalls(c)
		}
	}()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), asksMarked+"="+l.Addr().String())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			_ = c.Process.Kill()
			_ = c.Wait()
			_ = l.Close()
		})
	}
}

// answerCalls answers each reception with ReadyForQuery.
func answerCalls(c net.Conn) {
	defer c.Close() //nolint:errcheck // the client is gone
	buf := make([]byte, 64<<10)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
		if _, err := io.WriteString(c, "C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I"); err != nil {
			return
		}
	}
}

// asksMarked is the environment variable that makes this binary a client of the address in
// it.
const asksMarked = "HEADROOM_TEST_ASKS_MARKED"

func askForMarked(address string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	buf := make([]byte, 1024)
	for {
		for _, m := range []string{
			statement('Q', "SELECT a FROM Zq8MarkedTable WHERE b = 'Zq8MarkedLiteral'\x00"),
			statement('P', "Zq8MarkedName\x00SELECT a FROM Zq8MarkedTable WHERE b = $1\x00\x00\x00") + bound("Zq8MarkedName", "Zq8MarkedParameter"),
			statement('Q', "UPDATE Zq8MarkedTable SET a = 'Zq8MarkedLiteral'\x00"),
			bound("Zq8MarkedName", "Zq8MarkedParameter"),
			bound("Zq8MarkedName", "Zq8MarkedParameter"),
		} {
			if _, err := io.WriteString(c, m); err != nil {
				return
			}
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	}
}

func statement(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))) + body
}

// bound runs a prepared statement with one parameter.
func bound(name, parameter string) string {
	size := string(binary.BigEndian.AppendUint32(nil, uint32(len(parameter))))
	return statement('B', "\x00"+name+"\x00\x00\x00\x00\x01"+size+parameter+"\x00\x00") + statement('E', "\x00\x00\x00\x00\x00") + statement('S', "")
}
