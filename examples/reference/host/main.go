// SPDX-License-Identifier: Apache-2.0

// Command shop runs the reference shop on a host without Kubernetes or Docker:
// Debian's servers, and the shop's own services in runc containers, all on loopback.
// It only stops and removes what it started itself.
//
//	shop up        start the shop
//	shop load      send requests of visitors and print latencies and errors
//	shop faults    list the faults
//	shop fault NAME LEVEL|off
//	shop down      stop the shop, also after a crash
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: shop up [-source DIR] | down | faults | fault NAME [LEVEL|off]
       shop load [-rate N] [-duration D] [-seed N] [-url URL] [-listen ADDR] [-json]`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "up":
		source := flags.String("source", "examples/reference", "folder of the shop's sources")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return up(ctx, *source)
	case "keep": // up starts it in the background
		return keep(ctx)
	case "down":
		return down()
	case "load":
		return runLoad(ctx, flags, args[1:])
	case "faults":
		return listFaults(os.Stdout)
	case "fault":
		return switchFault(args[1:])
	}
	return errors.New(usage)
}
