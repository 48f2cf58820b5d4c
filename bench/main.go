// Bench measures the sandbox and prints each figure beside its bound. What is a speed is a ratio against something else
// of the same run: the first `up` against the waits that the AWS provider has built in, what is typed every day against an
// engine that has nothing to do.
//
//	go run ./bench
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"time"

	"plan-charge/internal/testkit/process"
	"plan-charge/test/testbed"
)

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	s, err := testbed.New("")
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // what was measured stands, whatever becomes of the folder
	box := sandbox{s}
	if _, err := box.run("setup"); err != nil {
		return err
	}

	first, err := box.run("up")
	if err != nil {
		return err
	}
	up, err := phase(first, "pulumi up")
	if err != nil {
		return err
	}
	fixed := fixedWaits(first)
	began := time.Now()
	if _, err := box.run("up"); err != nil {
		return err
	}
	again := time.Since(began)
	memory, err := box.memory()
	if err != nil {
		return err
	}

	fmt.Printf("\n%-44s %10s %10s\n", "figure", "measured", "bound")
	fmt.Printf("%-44s %10s\n", "first pulumi up", up.Round(100*time.Millisecond))
	fmt.Printf("%-44s %10s\n", "the provider's own waits on the longest way", fixed)
	fmt.Printf("%-44s %10.2f %10s\n", "ratio of the two", up.Seconds()/fixed.Seconds(), "1.30")
	fmt.Printf("%-44s %10s %10s\n", "second sandbox up", again.Round(100*time.Millisecond), "1m0s")
	fmt.Printf("%-44s %7d MB %10s\n", "memory, database included", memory>>20, "1500 MB")
	return box.daily()
}

type sandbox struct{ *testbed.Sandbox }

// run calls the sandbox's program, shows what it prints and returns it.
func (s sandbox) run(args ...string) (string, error) {
	cmd := s.CLI(context.Background(), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, os.Stderr), os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("sandbox %s: %w", args[0], err)
	}
	return out.String(), nil
}

// phase reads a time from the table at the end of `up`.
func phase(out, name string) (time.Duration, error) {
	found := regexp.MustCompile(`time: ` + name + ` +(\S+)`).FindStringSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("the table of 'up' has no time of %q", name)
	}
	return time.ParseDuration(found[1])
}

// fixedWaits adds up what the AWS provider itself waits on the longest way through the deployment: the network, then
// either the database or the load balancer and the distribution.
func fixedWaits(out string) time.Duration {
	took := func(kind string) time.Duration {
		found := regexp.MustCompile(`aws:` + kind + ` \S+ created \(([0-9.]+s)\)`).FindStringSubmatch(out)
		if found == nil {
			return 0
		}
		d, _ := time.ParseDuration(found[1])
		return d
	}
	return took("ec2:Vpc") + max(took("rds:Instance"), took("lb:LoadBalancer")+took("cloudfront:Distribution"))
}

// memory sums the proportional set sizes, in bytes, of the sandbox's background process and all below it.
func (s sandbox) memory() (total int64, err error) {
	root := s.PID()
	if root == 0 {
		return 0, errors.New("the sandbox does not run")
	}
	pids := []int{root}
	for _, p := range process.Below(root) {
		pids = append(pids, p.PID)
	}
	for _, pid := range pids {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it ended meanwhile
		}
		if found := regexp.MustCompile(`(?m)^Pss: +(\d+) kB`).FindSubmatch(rollup); found != nil {
			kb, _ := strconv.ParseInt(string(found[1]), 10, 64)
			total += kb << 10
		}
	}
	return total, nil
}
