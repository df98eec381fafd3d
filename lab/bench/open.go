// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
)

const (
	// holderMode, set in the environment, makes this program hold sockets and
	// descriptors open. The value is the number of each.
	holderMode = "HEADROOM_BENCH_HOLD"
	// holders are the processes that share the load.
	holders = 20
)

// holdOpen starts processes that hold the sockets and descriptors of the load.
func holdOpen(c config) ([]*exec.Cmd, error) {
	var all []*exec.Cmd
	for range holders {
		p := exec.Command("/proc/self/exe")
		p.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", holderMode, c.sockets/holders, c.descriptors/holders))
		p.Stderr = os.Stderr
		if _, err := p.StdinPipe(); err != nil { // it exits when this process exits
			return all, err
		}
		out, err := p.StdoutPipe()
		if err != nil {
			return all, err
		}
		if err := p.Start(); err != nil {
			return all, err
		}
		all = append(all, p)
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			return all, fmt.Errorf("starting a process that holds descriptors: %w", err)
		}
	}
	return all, nil
}

// hold opens sockets and descriptors, and waits until stdin is closed.
func hold(load string) error {
	var sockets, descriptors int
	if _, err := fmt.Sscan(load, &sockets, &descriptors); err != nil {
		return err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var held []any
	for range sockets / 2 {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			return err
		}
		s, err := l.Accept()
		if err != nil {
			return err
		}
		held = append(held, c, s)
	}
	for range max(0, descriptors-sockets) {
		f, err := os.Open("/dev/null")
		if err != nil {
			return err
		}
		held = append(held, f)
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	_ = held
	return err
}
